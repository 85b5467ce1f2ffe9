"""Ordinary CNNs on the chip twin, default settings: what they keep and what they cost.

    python benchmarks/ordinary_networks.py --networks FOLDER [--names bn_chain bn_residual]
    python benchmarks/ordinary_networks.py --networks FOLDER --front 1024
    python benchmarks/ordinary_networks.py --networks FOLDER --calibration 256 --test 300

FOLDER holds `networks.py`, whose functions without arguments return networks for Fashion-MNIST
images of 0 to 1, and `NAME.npz` with each one's weights. Calibrated on training images, measured on
test images. With `--front` the front is searched too, without labels, on that many of the
calibration images, and its best point within 0.7 of the default's SynOps is measured. Writes
`benchmarks/results/ordinary_networks.json`; networks that are not asked for keep what was recorded.
Accuracy and SynOps are simulated.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from machine import RESULTS, machine, save
from torch import nn

from speck_adacal import AdaptedNetwork, adapt, deploy, front, simulate, with_front_point
from speck_adacal.datasets.catalogue import fetch, load_images

NAME, DATA = "ordinary_networks", "fashion_mnist"
PART = 0.7  # of the default's SynOps, for the front
NAMES = ("bn_chain", "bn_residual", "bn_maxpool_chain", "bn_maxpool_resnet")


def main() -> None:
    """Measure network by network; what is done is recorded at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--names", nargs="+", default=list(NAMES))
    parser.add_argument("--calibration", type=int, default=1024)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--front", type=int, default=0, help="images to search the front on")
    parser.add_argument("--data", type=Path, default=None)
    arguments = parser.parse_args()
    fetch(DATA, arguments.data)
    train, test = (load_images(DATA, split, arguments.data) for split in ("train", "test"))
    sets = (
        torch.from_numpy(train.intensities()[: arguments.calibration]),
        torch.from_numpy(test.intensities()[: arguments.test]),
    )
    module = module_of(arguments.networks / "networks.py")
    for name in arguments.names:
        network = with_weights(getattr(module, name)(), arguments.networks / f"{name}.npz")
        row = measured(network, *sets, test.labels[: arguments.test], arguments.front)
        record(name, row, arguments)
        print(name, json.dumps({k: v for k, v in row.items() if k != "layers"}))


def module_of(path: Path) -> ModuleType:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_weights(network: nn.Module, path: Path) -> nn.Module:
    """The network with the weights of an archive."""
    with np.load(path, allow_pickle=False) as file:
        network.load_state_dict({key: torch.from_numpy(file[key]) for key in file})
    return network.eval()


def measured(
    network: nn.Module, x: torch.Tensor, x_test: torch.Tensor, labels: np.ndarray, searched: int
) -> dict[str, Any]:
    """What one network keeps on the twin, and how it was brought there."""
    started = time.perf_counter()
    adapted = adapt(network, x, input_shape=x.shape[1:])
    seconds = time.perf_counter() - started
    with torch.no_grad():
        trained = network(x_test).argmax(1).numpy() == labels
    row = on_the_twin(adapted, x_test, labels, trained)
    if searched:
        started_front = time.perf_counter()
        found = front(adapted, x[:searched])
        point = found.choose(max_synops=PART * row["synops"])
        cheaper = on_the_twin(with_front_point(adapted, point), x_test, labels, trained)
        row["front"] = cheaper | {"seconds": time.perf_counter() - started_front}
    return row | {
        "trained": float(trained.mean()),
        "adapt_seconds": seconds,
        "rewritten": [record.step for record in adapted.recipe.trace],
    }


def on_the_twin(
    adapted: AdaptedNetwork, x: torch.Tensor, labels: np.ndarray, trained: np.ndarray
) -> dict[str, Any]:
    """What the deployed network decides of test images, and what that costs."""
    deployment = deploy(adapted)
    found = simulate(deployment, x)
    right = found.decisions == labels
    p = (right.sum() + 2) / (len(right) + 4)
    return {
        "chip": float(right.mean()),
        "standard_error": float(np.sqrt(p * (1 - p) / (len(right) + 4))),
        # of the difference: the same images are decided by both
        "difference_error": float(np.std(trained.astype(int) - right) / np.sqrt(len(right))),
        "synops": float(found.synops.mean()),
        "events": float(found.events.mean()),
        "cores": len(deployment.cores),
        "layers": [layer.folded.name for layer in deployment.layers],
    }


def record(name: str, row: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Put a network's figures among those recorded."""
    path = RESULTS / f"{NAME}.json"
    kept = json.loads(path.read_text())["networks"] if path.is_file() else {}
    row |= {"calibration": arguments.calibration, "test": arguments.test, "machine": machine()}
    save(
        NAME,
        {
            "command": f"python benchmarks/{NAME}.py --networks FOLDER --front {arguments.front}",
            "kind": "simulated",
            "networks": {**kept, name: row},
        },
    )


if __name__ == "__main__":
    main()
