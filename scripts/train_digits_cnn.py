"""Train the demo's network (`digits_cnn`) on MNIST and write its checkpoint and card.

    OMP_NUM_THREADS=1 python scripts/train_digits_cnn.py

The same as `train_image_cnn.py mnist`, whose options it takes.
"""

from __future__ import annotations

import sys

from train_image_cnn import main

if __name__ == "__main__":
    main(["mnist", *sys.argv[1:]])
