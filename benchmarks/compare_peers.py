"""Accuracy against SynOps of this kit's conversion beside that of others: the same network, images
and count of SynOps for all.

    python benchmarks/compare_peers.py [--samples 2000] [--environments FOLDER]

The shipped `digits_cnn` on MNIST test digits, shown as analog images at every step; the first
layer's multiply-accumulates are the same for all and left out. Everybody is calibrated on the same
256 training digits. SpikingJelly is installed from PyPI into an environment of its own under
`--environments` (kept between runs; without its requirement torchvision, which has no CPU build on
PyPI and is not used here). snntoolbox 0.6.0 converts Keras models through TensorFlow, and is not
run. Writes `benchmarks/results/compare_peers.json` and `docs/figures/compare_peers.svg`. All
simulated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from speck_adacal import AdaptSettings, adapt
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.ann import Kind, trace
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import new_file
from speck_adacal.datasets.catalogue import fetch, load_images
from speck_adacal.datasets.demo import demo_checkpoint_path
from speck_adacal.snn.synops import fan_out

HERE = Path(__file__).resolve().parent
STEPS = (2, 4, 8, 16, 32, 64)
MODES = ("Max", "99.9%")
SPIKINGJELLY = "spikingjelly==2.0.0"
NEEDS = ("torch==2.13.0", "numpy", "scipy", "tqdm", "loguru", "matplotlib", "h5py", "requests",
         "packaging")  # fmt: skip
_OPTIONS = {
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    nn.Linear: ("in_features", "out_features"),
    nn.AvgPool2d: ("kernel_size",),
    nn.ReLU: (),
    nn.Flatten: (),
}


def ours(network: nn.Module, data: dict[str, np.ndarray], phi: int) -> list[dict[str, float]]:
    """AdaFire with light calibration, at every number of steps."""
    rows = []
    for steps in STEPS:
        settings = AdaptSettings(time_steps=steps, phi=phi, input_coding="analog")
        started = time.perf_counter()
        adapted = adapt(network, data["calibration"], input_shape=(1, 28, 28), settings=settings)
        calibrated = time.perf_counter() - started
        images, labels = torch.from_numpy(data["images"]), torch.from_numpy(data["labels"])
        evaluator = Evaluator(adapted.ann, [images], settings, labels)
        found = evaluator.measure(adapted.recipe, adapted.graph)
        rows.append(
            {
                "steps": steps,
                "accuracy": found.accuracy,
                "synops": found.synops_per_sample,
                "calibration_s": calibrated,
            }
        )
    return rows


def of_sinabs(network: nn.Module, data: dict[str, np.ndarray]) -> list[dict[str, float]]:
    """`sinabs.from_torch.from_model` with its defaults."""
    from sinabs import layers as sl
    from sinabs.from_torch import from_model

    fans = spiking_fan_out(network)
    rows = []
    for steps in STEPS:
        spiking = from_model(network, batch_size=None, num_timesteps=steps).spiking_model
        neurons = [module for module in spiking.modules() if isinstance(module, sl.IAFSqueeze)]
        spikes: dict[int, Any] = {}
        for index, neuron in enumerate(neurons):
            neuron.register_forward_hook(noting(spikes, index, steps))
        right = 0
        with torch.no_grad():
            for start in range(0, len(data["images"]), 250):
                batch = torch.from_numpy(data["images"][start : start + 250])
                for neuron in neurons:
                    neuron.reset_states()
                out = spiking(batch.repeat_interleave(steps, 0)).unflatten(0, (-1, steps)).sum(1)
                right += int((out.argmax(1).numpy() == data["labels"][start : start + 250]).sum())
        samples = len(data["images"])
        synops = sum(
            float((spikes[i] / samples * fan).sum()) for i, fan in enumerate(fans.values())
        )
        rows.append({"steps": steps, "accuracy": right / samples, "synops": synops})
    return rows


def noting(spikes: dict[int, Any], index: int, steps: int) -> Any:
    """A hook that adds up a layer's spikes, neuron by neuron."""

    def hook(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        counts = output.unflatten(0, (-1, steps)).sum((0, 1)).double().numpy()
        spikes[index] = spikes.get(index, 0) + counts

    return hook


def of_spikingjelly(
    network: nn.Sequential, data: dict[str, np.ndarray], environments: Path
) -> dict[str, list[dict[str, float]]]:
    """SpikingJelly's rate-coding recipe in its two common modes."""
    python = environment(environments)
    with tempfile.TemporaryDirectory() as folder:
        arrays = {
            f"{i}.weight": m.weight.detach().numpy()
            for i, m in enumerate(network)
            if hasattr(m, "weight")
        }
        np.savez(f"{folder}/data.npz", **data, **arrays)
        request = {
            "layers": [described(module) for module in network],
            "data": f"{folder}/data.npz",
            "out": f"{folder}/spikes.npz",
            "modes": MODES,
            "steps": STEPS,
        }
        script = HERE / "peers" / "spikingjelly_ann2snn.py"
        done = subprocess.run(
            [str(python), str(script), json.dumps(request)],
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        with np.load(f"{folder}/spikes.npz") as archive:
            spikes = {key: archive[key] for key in archive.files}
    fans = spiking_fan_out(network)
    rows = {}
    for mode in MODES:
        rows[mode] = [
            {
                "steps": steps,
                "accuracy": found[mode]["accuracy"][str(steps)],
                "synops": sum(
                    float((spikes[f"{mode}/{steps}/{i}"] * fan).sum())
                    for i, fan in enumerate(fans.values())
                ),
            }
            for steps in STEPS
        ]
    return rows


def environment(folder: Path) -> Path:
    """The peer's own Python, made at the first run."""
    python = folder / "spikingjelly" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, *NEEDS], check=True)
        subprocess.run([*pip, "--no-deps", SPIKINGJELLY], check=True)
    return python


def described(module: nn.Module) -> dict[str, Any]:
    """A layer as plain values."""
    names = _OPTIONS[type(module)]
    options = {name: getattr(module, name) for name in names}
    if hasattr(module, "weight"):
        options["bias"] = False
    return {"kind": type(module).__name__, "options": options}


def spiking_fan_out(network: nn.Module) -> dict[str, np.ndarray]:
    """Synapses of every spiking neuron, by layer in order, exact at the edges."""
    graph = trace(network, (1, 28, 28))
    fans = fan_out(graph)
    return {
        node.name: np.asarray(fans[node.name], dtype=np.float64)
        for node in graph.of_kind(Kind.ACTIVATION)
    }


def draw(result: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(100 * result["network"], color="#626b78", linestyle=":", label="trained network")
    for (name, rows), style in zip(
        result["rows"].items(), ("o-", "s-", "^--", "v--", "D:"), strict=True
    ):
        axes.plot(
            [row["synops"] / 1e6 for row in rows],
            [100 * row["accuracy"] for row in rows],
            style,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_ylim(80, 100)
    axes.set_xlabel("SynOps a digit, millions (simulated, time-stepped)")
    axes.set_ylabel("accuracy, %")
    axes.legend(frameon=False, fontsize=9)
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "peers"}),
        new_file(path, force=True) as temporary,
    ):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def main() -> None:
    """Convert by everybody, run, and write the results and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--environments", type=Path, default=Path("out") / "peers")
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    fetch("mnist")
    train, test = load_images("mnist", "train"), load_images("mnist", "test")
    data = {
        "images": test.intensities()[: args.samples],
        "labels": test.labels[: args.samples].astype(np.int64),
        "calibration": train.intensities()[:256],
    }
    network = load_network(demo_checkpoint_path()).eval()
    chain = nn.Sequential(*network)
    with torch.no_grad():
        decided = chain(torch.from_numpy(data["images"])).argmax(1).numpy()
    rows = {f"speck_adacal, φ = {phi}": ours(network, data, phi) for phi in (1, 4)}
    jelly = of_spikingjelly(chain, data, args.environments)
    rows |= {f"SpikingJelly 2.0.0, {mode}": found for mode, found in jelly.items()}
    rows["sinabs 3.1.3 from_model"] = of_sinabs(chain, data)
    result = {
        "command": "python benchmarks/compare_peers.py",
        "samples": args.samples,
        "network": float(np.mean(decided == data["labels"])),
        "rows": rows,
    }
    for name, found in rows.items():
        print(name, *(f"{r['accuracy']:.2%}@{r['synops'] / 1e6:.2f}M" for r in found), sep="  ")
    with new_file(HERE / "results" / "compare_peers.json", force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    draw(result, HERE.parent / "docs" / "figures" / "compare_peers.svg")


if __name__ == "__main__":
    main()
