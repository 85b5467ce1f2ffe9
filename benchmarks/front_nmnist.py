"""The front of the NIR paper's N-MNIST network on the chip twin, and early exit along it.

    python benchmarks/front_nmnist.py --model nmnist_cnn_nir_paper.npz --recordings nmnist.npz

The front is searched on the second half of the recordings (weights are not trained; labels are
used), and every point is then measured once on the first half, which nothing before has seen. The
exit's bars are calibrated on the second half as well. Writes `benchmarks/results/front_nmnist.json`
and `docs/figures/front_nmnist.svg`. Everything is simulated.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from speck_adacal import AdaptSettings, Deployment, adapt, deploy
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import new_file
from speck_adacal.chip.simulate import Simulation, run_on_twin
from speck_adacal.chip.twin_search.search import FrontSettings
from speck_adacal.events import Events
from speck_adacal.events.samples import load_samples
from speck_adacal.host.calibrate import calibrate_early_exit, window_counts
from speck_adacal.host.exit_rule import first_sure
from speck_adacal.twin import Twin
from speck_adacal.verbs import pareto_front, with_front_point

HERE = Path(__file__).resolve().parent
WINDOW_US = 10_000
LOSS = 0.0025


def share(right: np.ndarray) -> dict[str, float]:
    """Accuracy and its standard error (Agresti and Coull)."""
    p = (right.sum() + 2) / (len(right) + 4)
    error = float(np.sqrt(p * (1 - p) / (len(right) + 4)))
    return {"accuracy": float(right.mean()), "standard_error": error}


def whole(simulation: Simulation, labels: np.ndarray) -> dict[str, float]:
    return {
        **share(simulation.decisions == labels),
        "synops": float(simulation.synops.mean()),
    }


def early(
    deployment: Deployment, calibration: tuple, test: tuple, simulation: Simulation
) -> dict[str, float]:
    """Early exit: SynOps are those of the input events before the exit, over all cores."""
    rule = calibrate_early_exit(
        deployment, *calibration, names=10, window_us=WINDOW_US, loss=LOSS
    ).rule
    recordings, labels = test
    counts = window_counts(
        simulation.output, 10, window_us=WINDOW_US, windows=len(rule.bars)
    ).cumsum(axis=1)
    exits = first_sure(rule.confidence(counts), np.asarray(rule.bars))
    decisions = counts[np.arange(len(labels)), exits].argmax(axis=1)
    until = np.where(exits + 1 < len(rule.bars), (exits + 1) * WINDOW_US, np.iinfo(np.int64).max)
    spent = synops_until(deployment, recordings, until)
    return {**share(decisions == labels), "synops": float(spent.mean()), "allowed_loss": LOSS}


def synops_until(
    deployment: Deployment, recordings: list[Events], until_us: np.ndarray
) -> np.ndarray:
    twin = Twin.from_configuration(deployment.mapped.configuration, chip=deployment.chip)
    runs = twin.run_many(recordings, record_load=True)
    return np.array(
        [
            run.load.counts[run.load.t_us < end, :, 1].sum()
            for run, end in zip(runs, until_us, strict=True)
        ]
    )


def draw(result: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for key, label in (("whole", "whole recording"), ("early_exit", "with early exit")):
        rows = [point[key] for point in result["points"]]
        axes.errorbar(
            [row["synops"] / 1e6 for row in rows],
            [100 * row["accuracy"] for row in rows],
            yerr=[100 * row["standard_error"] for row in rows],
            fmt="o-",
            capsize=3,
            label=label,
        )
    axes.set_xscale("log")
    axes.set_xlabel("SynOps a recording, millions (simulated on the twin)")
    axes.set_ylabel("accuracy on unseen recordings, %")
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
    parser.add_argument("--recordings", type=Path, required=True)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    samples = load_samples(args.recordings)
    middle = len(samples) // 2
    test = samples.inputs[:middle], samples.labels[:middle]
    calibration = samples.inputs[middle:], samples.labels[middle:]
    started = time.perf_counter()
    network = load_network(args.model, "nmnist_cnn_nir_paper")
    settings = AdaptSettings(correction="none", chip_correction=False)
    adapted = adapt(network, calibration[0], input_shape=samples.input_shape, settings=settings)
    front = pareto_front(adapted, *calibration, settings=FrontSettings())
    seconds = time.perf_counter() - started
    points = []
    for point in front.points:
        deployment = deploy(with_front_point(adapted, point))
        simulation = run_on_twin(deployment, test[0])
        row = {
            "search": point.to_dict(),
            "whole": whole(simulation, test[1]),
            "early_exit": early(deployment, calibration, test, simulation),
        }
        points.append(row)
        print(
            *(f"{k}: {row[k]['accuracy']:.1%} at {row[k]['synops']:,.0f}" for k in list(row)[1:]),
            flush=True,
        )
    result = {
        "command": "python benchmarks/front_nmnist.py --model nmnist_cnn_nir_paper.npz "
        "--recordings nmnist_train1000.npz",
        "calibration": len(calibration[0]),
        "test": len(test[0]),
        "search_seconds": seconds,
        "recipes_tried": front.evaluations,
        "points": points,
    }
    with new_file(HERE / "results" / "front_nmnist.json", force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    draw(result, HERE.parent / "docs" / "figures" / "front_nmnist.svg")


if __name__ == "__main__":
    main()
