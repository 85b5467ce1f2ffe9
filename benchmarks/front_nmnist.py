"""The front of the NIR paper's N-MNIST network on the chip twin, and early exit along it.

    python benchmarks/front_nmnist.py --model nmnist_cnn_nir_paper.npz --recordings nmnist.npz

The network comes as its authors had it: a spiking network of sinabs, taken as it is by
`from_sinabs`; states are reset before each recording. Two-fold: the front is searched on one half
of the recordings (weights are not trained; labels are used), a point is chosen there for each
budget of SynOps, and it is measured once on the other half, which nothing before has seen. The
exit's bars are calibrated on the first half as well. Beside it the network as it came, by sinabs'
own discretisation, and every point by the time-stepped estimator. Writes
`benchmarks/results/front_nmnist.json` and `docs/figures/front_nmnist.svg`. Everything is simulated.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sinabs.from_torch import from_model

import speck_adacal
from speck_adacal import Deployment, deploy, from_sinabs, with_front_point
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import new_file
from speck_adacal.chip.simulation import Simulation, run_on_twin
from speck_adacal.chip_description import usual_board
from speck_adacal.errors import SettingsError
from speck_adacal.events import Events
from speck_adacal.events.sample_files import load_samples
from speck_adacal.inspection.exit_calibration import calibrate_early_exit, windowed_output
from speck_adacal.samples.batches import encode_samples
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin import Twin
from speck_adacal.twin_search.estimators import time_stepped
from speck_adacal.twin_search.front import Front, FrontPoint
from speck_adacal.virtual_samna import ensure_samna

HERE = Path(__file__).resolve().parent
CHIP = "speck2f"
WINDOW_US = 10_000
LOSS = 0.0025
BUDGETS = (0.7e6, 0.8e6, 0.9e6, 1.0e6, 1.1e6, 1.2e6, 1.5e6)
Half = tuple[list[Events], np.ndarray]


def share(right: np.ndarray) -> dict[str, float]:
    """Accuracy and its standard error (Agresti and Coull)."""
    p = (right.sum() + 2) / (len(right) + 4)
    error = float(np.sqrt(p * (1 - p) / (len(right) + 4)))
    return {"accuracy": float(right.mean()), "standard_error": error}


def spiking_network(network: torch.nn.Module, shape: tuple[int, ...]) -> torch.nn.Module:
    """The network as its authors ran it: sinabs' neurons of threshold 1 and lowest potential -1."""
    found = from_model(network, input_shape=shape, batch_size=1, add_spiking_output=True)
    spiking: torch.nn.Module = found.spiking_model
    return spiking


def stock(network: torch.nn.Module, recordings: list[Events], labels: np.ndarray) -> dict[str, Any]:
    """sinabs' own discretisation, on the twin."""
    ensure_samna()
    from sinabs.backend.dynapcnn import DynapcnnNetwork

    shape = recordings[0].shape
    mapped = DynapcnnNetwork(spiking_network(network, shape), input_shape=shape, discretize=True)
    with contextlib.redirect_stdout(io.StringIO()):
        configuration = mapped.make_config(device=usual_board(CHIP))
    readout = list(mapped.layer2core_map.values())[-1]
    runs = Twin.from_configuration(configuration, chip=CHIP, observe=(readout,)).run_many(
        recordings
    )
    counts = np.stack([np.bincount(run.output.channel, minlength=10) for run in runs])
    right = (counts.argmax(1) == labels) & counts.any(1)
    return {**share(right), "synops": float(np.mean([run.synops for run in runs]))}


def early(
    deployment: Deployment, calibration: Half, test: Half, simulation: Simulation
) -> tuple[np.ndarray, np.ndarray]:
    """Early exit: SynOps are those of the input events before the exit, over all cores."""
    rule = calibrate_early_exit(
        deployment, *calibration, names=10, window_us=WINDOW_US, loss=LOSS
    ).rule
    recordings, labels = test
    found = windowed_output(
        deployment.class_map, simulation.output, window_us=WINDOW_US, windows=len(rule.bars)
    )
    exits = rule.exits(found.counts.cumsum(axis=1))
    decisions = found.leaders[np.arange(len(labels)), exits]
    until = np.where(exits + 1 < len(rule.bars), (exits + 1) * WINDOW_US, np.iinfo(np.int64).max)
    return decisions == labels, synops_until(deployment, recordings, until)


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


def searched(network: torch.nn.Module, calibration: Half) -> tuple[AdaptedNetwork, Front, float]:
    """The front of one half, and the seconds it took from the spiking network on."""
    shape = calibration[0][0].shape
    spiking = spiking_network(network, shape)
    started = time.perf_counter()
    taken = from_sinabs(spiking, shape)
    front = speck_adacal.front(taken, *calibration, chip=CHIP)
    return taken, front, time.perf_counter() - started


def measure(
    adapted: AdaptedNetwork, point: FrontPoint, calibration: Half, test: Half
) -> dict[str, Any]:
    """A point on the other half: on the twin, with early exit, and in time steps."""
    deployment = deploy(with_front_point(adapted, point), chip=CHIP)
    simulation = run_on_twin(deployment, test[0])
    batches = encode_samples(test[0], adapted.ann.input_shape, adapted.recipe.settings)
    stepped = time_stepped(point, batches, test[1])
    spikes = simulation.spikes_per_core
    return {
        "right": {
            "whole": (simulation.decisions == test[1], simulation.synops),
            "early_exit": early(deployment, calibration, test, simulation),
        },
        "search": point.to_dict(),
        "time_stepped": {
            "accuracy": stepped.accuracy,
            "synops": stepped.synops,
            "layers": [
                {**asdict(layer), "twin": float(spikes[:, core].mean())}
                for layer, core in zip(stepped.layers, deployment.cores, strict=False)
            ],
        },
    }


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A measured point without its arrays."""
    shown = {
        key: {**share(right), "synops": float(synops.mean())}
        for key, (right, synops) in row["right"].items()
    }
    return {**shown, "search": row["search"], "time_stepped": row["time_stepped"]}


def within(folds: list[tuple[Front, list[dict[str, Any]]]], budget: float | None) -> dict[str, Any]:
    """The points that both halves choose for a budget, together on all recordings."""
    chosen = []
    for front, rows in folds:
        point = front.choose(max_synops=budget)
        chosen.append(rows[front.points.index(point)])
    together: dict[str, Any] = {"max_synops": budget}
    for key in ("whole", "early_exit"):
        right, synops = (np.concatenate([row["right"][key][k] for row in chosen]) for k in (0, 1))
        together[key] = {**share(right), "synops": float(synops.mean())}
    stepped = [row["time_stepped"] for row in chosen]
    together["time_stepped"] = {
        name: float(np.mean([row[name] for row in stepped])) for name in ("accuracy", "synops")
    }
    return together


def draw(result: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    colors = {"whole": "#3567b5", "early_exit": "#b8560f", "time_stepped": "#626b78"}
    labels = {
        "whole": "twin, whole recording",
        "early_exit": "twin, with early exit",
        "time_stepped": "time-stepped estimator (estimated)",
    }
    for fold, marker in zip(result["folds"], "os", strict=True):
        for key, color in colors.items():
            rows = [point[key] for point in fold["points"]]
            axes.plot(
                [row["synops"] / 1e6 for row in rows],
                [100 * row["accuracy"] for row in rows],
                f"{marker}:",
                color=color,
                label=labels[key] if marker == "o" else None,
                markersize=4,
            )
    axes.errorbar(
        result["stock"]["synops"] / 1e6,
        100 * result["stock"]["accuracy"],
        yerr=100 * result["stock"]["standard_error"],
        fmt="D",
        color="black",
        capsize=3,
        label="stock sinabs conversion, twin",
    )
    axes.set_xscale("log")
    axes.set_xlabel("SynOps a recording, millions (simulated; a marker for each half)")
    axes.set_ylabel("accuracy on unseen recordings, %")
    axes.legend(frameon=False, fontsize=9)
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "front"}),
        new_file(path, force=True) as temporary,
    ):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def fold_of(
    network: torch.nn.Module, calibration: Half, test: Half
) -> tuple[dict[str, Any], Front, list[dict[str, Any]]]:
    adapted, front, seconds = searched(network, calibration)
    rows = [measure(adapted, point, calibration, test) for point in front.points]
    shown = [plain(row) for row in rows]
    for row in shown:
        print(
            *(f"{k}: {row[k]['accuracy']:.1%} at {row[k]['synops']:,.0f}" for k in list(row)[:2]),
            flush=True,
        )
    entry = {"search_seconds": seconds, "recipes_run": front.evaluations, "points": shown}
    return entry, front, rows


def main() -> None:
    """Search, measure, and write the results and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "front_nmnist.json")
    parser.add_argument(
        "--figure", type=Path, default=HERE.parent / "docs/figures/front_nmnist.svg"
    )
    parser.add_argument(
        "--first", type=int, help="only so many recordings (100 or more), for a trial"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    samples = load_samples(args.recordings).part(slice(args.first))
    middle = len(samples) // 2
    first = list(samples.inputs[:middle]), samples.labels[:middle]
    second = list(samples.inputs[middle:]), samples.labels[middle:]
    network = load_network(args.model, "nmnist_cnn_nir_paper")
    found = [fold_of(network, *halves) for halves in ((second, first), (first, second))]
    folds = [(front, rows) for _, front, rows in found]
    budgets = []
    for budget in (*BUDGETS, None):
        with contextlib.suppress(SettingsError):  # a half has no point that cheap
            budgets.append(within(folds, budget))
    result = {
        "command": "python benchmarks/front_nmnist.py --model nmnist_cnn_nir_paper.npz "
        "--recordings nmnist_train1000.npz",
        "recordings": len(samples),
        "allowed_loss": LOSS,
        "stock": stock(network, list(samples.inputs), samples.labels),
        "budgets": budgets,
        "folds": [entry for entry, _, _ in found],
    }
    with new_file(args.out, force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    draw(result, args.figure)


if __name__ == "__main__":
    main()
