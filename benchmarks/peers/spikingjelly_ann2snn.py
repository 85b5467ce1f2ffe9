"""A network converted by SpikingJelly, run by `compare_peers.py` in an environment of its own.

Reads layers (JSON) and arrays (npz) of a plain chain, images and labels; prints one JSON line with
the accuracy of every mode after each of the asked numbers of steps, and writes the mean spikes of
every neuron to an npz.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from spikingjelly.activation_based import ann2snn, functional, neuron
from torch import nn


def chain(layers: list[dict], arrays: dict[str, np.ndarray]) -> nn.Sequential:
    """The network from its description."""
    made: list[nn.Module] = []
    for index, layer in enumerate(layers):
        kind, options = layer["kind"], layer["options"]
        module = getattr(nn, kind)(**options)
        if f"{index}.weight" in arrays:
            module.weight.data = torch.from_numpy(arrays[f"{index}.weight"])
        made.append(module)
    return nn.Sequential(*made).eval()


def run(
    network: nn.Module, images: torch.Tensor, labels: np.ndarray, steps: list[int]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Accuracy after each number of steps, and mean spikes of every neuron after the last."""
    spikes: dict[str, torch.Tensor] = {}

    def note(name: str):
        def hook(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
            fired = (output != 0).double().sum(0)
            spikes[name] = spikes.get(name, 0) + fired

        return hook

    nodes = [(n, m) for n, m in network.named_modules() if isinstance(m, neuron.IFNode)]
    hooks = [module.register_forward_hook(note(str(i))) for i, (_, module) in enumerate(nodes)]
    right = dict.fromkeys(steps, 0)
    by_steps: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for start in range(0, len(images), 250):
            batch, truth = images[start : start + 250], labels[start : start + 250]
            functional.reset_net(network)
            total = torch.zeros(())
            before = {name: value.clone() for name, value in spikes.items()}
            for step in range(1, max(steps) + 1):
                total = total + network(batch)
                if step in right:
                    right[step] += int((total.argmax(1).numpy() == truth).sum())
                    for name, value in spikes.items():
                        added = (value - before.get(name, 0)).numpy()
                        key = f"{step}/{name}"
                        by_steps[key] = by_steps.get(key, 0) + added
    for hook in hooks:
        hook.remove()
    means = {key: value / len(images) for key, value in by_steps.items()}
    return {str(k): v / len(images) for k, v in right.items()}, means


def main() -> None:
    """Convert in every mode, run, print."""
    given = json.loads(sys.argv[1])
    with np.load(given["data"]) as archive:
        data = {key: archive[key] for key in archive.files}
    network = chain(given["layers"], data)
    images = torch.from_numpy(data["images"])
    calibration = torch.from_numpy(data["calibration"])
    loader = [(calibration, torch.zeros(len(calibration)))]
    found, arrays = {}, {}
    for mode in given["modes"]:
        recipe = ann2snn.RateCodingRecipe(dataloader=loader, mode=mode)
        converted = ann2snn.FXConverter(recipe=recipe).convert(network)
        started = time.perf_counter()
        accuracy, spikes = run(converted, images, data["labels"], given["steps"])
        found[mode] = {"accuracy": accuracy, "seconds": time.perf_counter() - started}
        arrays |= {f"{mode}/{key}": value for key, value in spikes.items()}
    np.savez(given["out"], **arrays)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
