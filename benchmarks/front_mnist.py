"""The front of sinabs' MNIST network against its stock conversion by sinabs, on the chip twin.

    python benchmarks/front_mnist.py --model mnist_cnn_sinabs.npz

Stock is `sinabs.from_torch.from_model` and `DynapcnnNetwork` with their own discretisation, and
Bernoulli-coded digits of T steps. The front is searched on training digits and measured on test
digits, stock (which is slow) on the first hundred of these. Writes
`benchmarks/results/front_mnist.json` and `docs/figures/front_mnist.svg`. Everything is simulated.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import speck_adacal
from speck_adacal import AdaptSettings, adapt, deploy, simulate, with_front_point
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import new_file
from speck_adacal.chip_description import usual_board
from speck_adacal.datasets.catalogue import fetch, load_images
from speck_adacal.events import Events
from speck_adacal.twin import Twin
from speck_adacal.twin_search.front_search import FrontSettings
from speck_adacal.virtual_samna import ensure_samna

HERE = Path(__file__).resolve().parent
CHIP = "speck2f"


def share(right: np.ndarray) -> dict[str, float]:
    """Accuracy and its standard error (Agresti and Coull)."""
    p = (right.sum() + 2) / (len(right) + 4)
    error = float(np.sqrt(p * (1 - p) / (len(right) + 4)))
    return {"accuracy": float(right.mean()), "standard_error": error}


def bernoulli(images: np.ndarray, steps: int, seed: int) -> list[Events]:
    """One event with the pixel's value as its probability, in each step of 1 ms."""
    rng = np.random.default_rng(seed)
    made = []
    for image in images:
        t, channel, y, x = np.nonzero(rng.random((steps, *image.shape)) < image)
        made.append(Events(t * 1000, x, y, channel, image.shape, steps * 1000))
    return made


def stock_twin(network: torch.nn.Module) -> Twin:
    ensure_samna()
    from sinabs.backend.dynapcnn import DynapcnnNetwork
    from sinabs.from_torch import from_model

    spiking = from_model(network, input_shape=(1, 28, 28), batch_size=1, add_spiking_output=True)
    mapped = DynapcnnNetwork(spiking.spiking_model, input_shape=(1, 28, 28), discretize=True)
    with contextlib.redirect_stdout(io.StringIO()):
        configuration = mapped.make_config(device=usual_board(CHIP))
    cores = list(mapped.layer2core_map.values())
    return Twin.from_configuration(configuration, chip=CHIP, observe=(cores[-1],))


def stock(twin: Twin, images: np.ndarray, labels: np.ndarray, steps: int) -> dict[str, Any]:
    runs = twin.run_many(bernoulli(images, steps, seed=steps))
    decisions = [
        np.bincount(run.output.channel, minlength=10).argmax() if len(run.output) else -1
        for run in runs
    ]
    return {
        "time_steps": steps,
        **share(np.array(decisions) == labels),
        "synops": float(np.mean([run.synops for run in runs])),
    }


def draw(result: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for key, label in (("front", "front (this project)"), ("stock", "stock sinabs conversion")):
        rows = result[key]
        axes.errorbar(
            [row["synops"] / 1e6 for row in rows],
            [100 * row["accuracy"] for row in rows],
            yerr=[100 * row["standard_error"] for row in rows],
            fmt="o-",
            capsize=3,
            label=label,
        )
    axes.set_xscale("log")
    axes.set_xlabel("SynOps a digit, millions (simulated on the twin)")
    axes.set_ylabel("accuracy on test digits, %")
    axes.legend(frameon=False)
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "front"}),
        new_file(path, force=True) as temporary,
    ):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def main() -> None:
    """Search, measure, and write the results and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--calibration", type=int, default=300)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--stock-samples", type=int, default=200)
    parser.add_argument("--stock-steps", type=int, nargs="+", default=[60, 80, 100, 150, 200, 300])
    parser.add_argument("--time-steps", type=int, default=4)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    fetch("mnist")
    train, test = load_images("mnist", "train"), load_images("mnist", "test")
    calibration = train.intensities()[: args.calibration]
    images, labels = test.intensities()[: args.samples], test.labels[: args.samples]
    network = load_network(args.model, "mnist_cnn_sinabs")
    started = time.perf_counter()
    settings = AdaptSettings(time_steps=args.time_steps)
    adapted = adapt(network, calibration, input_shape=(1, 28, 28), settings=settings)
    front = speck_adacal.front(
        adapted, calibration, train.labels[: args.calibration], settings=FrontSettings()
    )
    seconds = time.perf_counter() - started
    rows = []
    for point in front.points:
        simulation = simulate(deploy(with_front_point(adapted, point)), images)
        synops = float(simulation.synops.mean())
        rows.append({**share(simulation.decisions == labels), "synops": synops})
        print(f"front {rows[-1]['accuracy']:.1%} at {synops:,.0f}", flush=True)
    twin, some = stock_twin(network), slice(0, args.stock_samples)
    stocks = []
    for steps in args.stock_steps:
        stocks.append(stock(twin, images[some], labels[some], steps))
        print(f"stock T={steps} {stocks[-1]['accuracy']:.1%} at {stocks[-1]['synops']:,.0f}")
    result = {
        "command": "python benchmarks/front_mnist.py --model mnist_cnn_sinabs.npz",
        "calibration": args.calibration,
        "test": args.samples,
        "stock_test": args.stock_samples,
        "search_seconds": seconds,
        "recipes_tried": front.evaluations,
        "front": rows,
        "stock": stocks,
    }
    with new_file(HERE / "results" / "front_mnist.json", force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    draw(result, HERE.parent / "docs" / "figures" / "front_mnist.svg")


if __name__ == "__main__":
    main()
