"""Train one of the ablation's own networks; half a minute an epoch on one core.

    OMP_NUM_THREADS=1 python scripts/train_ablation_cnn.py fashion_vgg --out fashion_vgg.safetensors
    OMP_NUM_THREADS=1 python scripts/train_ablation_cnn.py digits_maxpool --out FILE

An ordinary ANN on ordinary images (mirrored clothes, moved digits); no penalty on activity, no
rate coding. The last weights are kept: the test images choose nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from train_common import ImageBatches, Plan, accuracy, default_device, fit

from speck_adacal.datasets.catalogue import fetch, load_images

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from ablation_networks import NETWORKS


def main() -> None:
    """Train, say how well it does on the test images, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=sorted(NETWORKS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="data folder; by default the cache")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default=default_device())
    arguments = parser.parse_args()
    build, dataset = NETWORKS[arguments.network]
    fetch(dataset, arguments.data)
    train, test = (load_images(dataset, split, arguments.data) for split in ("train", "test"))
    torch.manual_seed(arguments.seed)
    net = build()
    clothes = dataset == "fashion_mnist"
    batches = ImageBatches(
        train.images, train.labels, 128, 0 if clothes else 1, clothes, arguments.seed, coded=False
    )
    plan = Plan(arguments.epochs, len(train) // 128, 4e-3, 0.0, arguments.device)
    fit(net, batches.epochs(), plan)
    print(f"test accuracy {accuracy(net, test.intensities(), test.labels):.4f}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), arguments.out)


if __name__ == "__main__":
    main()
