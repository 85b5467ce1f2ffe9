"""Accuracy and SynOps at every level on MNIST's 10,000 test digits.

    python benchmarks/levels_mnist.py
    python benchmarks/levels_mnist.py --model mnist_cnn_sinabs.npz --arch mnist_cnn_sinabs

Without `--model` the shipped digits network is measured. MNIST is fetched where it is not yet
there (`speck-adacal datasets fetch mnist`). Calibration uses 256 training digits.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

from speck_adacal import AdaptSettings, adapt, deploy
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import new_file
from speck_adacal.cli.common import command_line
from speck_adacal.datasets.catalogue import fetch, load_images
from speck_adacal.datasets.demo import demo_checkpoint_path
from speck_adacal.reporting.summary import summarise

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure and write `benchmarks/results/levels_<arch>.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--arch", default="digits_cnn")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--time-steps", type=int, default=8)
    parser.add_argument("--phi", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    fetch("mnist")
    train, test = load_images("mnist", "train"), load_images("mnist", "test")
    network = load_network(args.model or demo_checkpoint_path(), args.arch)
    settings = AdaptSettings(time_steps=args.time_steps, phi=args.phi)
    adapted = adapt(network, train.intensities()[:256], input_shape=(1, 28, 28), settings=settings)
    part = slice(0, args.samples)
    summary = summarise(
        deploy(adapted), test.intensities()[part], test.labels[part], command=command_line()
    )
    result = {
        **summary.to_dict(),
        "command": f"python benchmarks/levels_mnist.py --arch {args.arch}",
    }
    path = RESULTS / f"levels_{args.arch}.json"
    with new_file(path, force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    for level in summary.levels:
        print(f"{level.level:10} {level.accuracy:8.2%}")
    print(f"SynOps a digit (simulated) {summary.synops:,.0f}; written to {path}")


if __name__ == "__main__":
    main()
