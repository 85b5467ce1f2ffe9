"""The paper's Fig. 4 from our own runs: sensitivity over φ and ρ, and search against random.

    python benchmarks/sensitivity_resnet20.py [--samples 128]

ResNet-20, T = 8, CIFAR-10 *training* images, potentials at half a threshold (no correction), so
that uniform, random and searched settings differ in φ alone. Sensitivities are in situ: all layers
spike at φ = 4 but the one that is changed. Writes `benchmarks/results/sensitivity_resnet20.json`
and `docs/figures/sensitivity_resnet20.svg`. Everything is simulated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from ablation_data import cifar10, resnet20
from matplotlib.figure import Figure

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.candidates import phi_candidates, rho_candidates
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.pareto import frontier
from speck_adacal.adaptation.search import Search, Trial
from speck_adacal.adaptation.sensitivity import SensitivityTable, sensitivity
from speck_adacal.adaptation.thresholds import observe, thresholds
from speck_adacal.bundle import new_file
from speck_adacal.reporting.detail_figures import draw_heat
from speck_adacal.reporting.details import HeatMap
from speck_adacal.samples.encoded import encoded_batches

HERE = Path(__file__).resolve().parent
PHIS = (1, 2, 3, 4, 5, 6, 7, 8)
RHOS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
UNIFORM = (2, 3, 4, 6)
RANDOM = 24


def row(trial: Trial) -> dict[str, Any]:
    return {"phi": [PHIS[k] for k in trial.choice], "kl": trial.kl, "synops": trial.synops}


def compared(search: Search, table: SensitivityTable, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Uniform, random and frontier choices of φ, each measured on the assembled network."""
    layers = len(table.layers)
    uniform = [search.measure((PHIS.index(phi),) * layers, "uniform") for phi in UNIFORM]
    rng = np.random.default_rng(seed)
    random = [
        search.measure(tuple(rng.integers(0, len(PHIS), layers).tolist()), "random")
        for _ in range(RANDOM)
    ]
    # What a layer's choice costs the whole network, so that costs add up over the layers.
    costs = table.synops - table.synops.min(axis=1, keepdims=True)
    front = frontier(costs, table.harm, epsilon=1e-4)
    places = np.linspace(0, len(front.cost) - 1, 8).astype(int)
    searched = [search.measure(tuple(front.choices[i].tolist()), "frontier") for i in places]
    return {
        "uniform": [row(t) for t in uniform],
        "random": [row(t) for t in random],
        "frontier": [row(t) for t in searched],
    }


def heat(knob: str, values: tuple[float, ...], table: SensitivityTable) -> HeatMap:
    harm = tuple(tuple(r) for r in table.harm.tolist())
    return HeatMap(knob, tuple(map(float, values)), table.layers, harm)


def draw(maps: list[HeatMap], curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    figure = Figure(figsize=(13, 6), layout="constrained")
    axes = figure.subplots(1, 3)
    for place, one in zip(axes, maps, strict=False):
        draw_heat(place, one)
        place.set_title(f"KL (nats) above uniform φ = 4, by layer and {one.knob}")
    for name, style in (("random", "."), ("uniform", "s--"), ("frontier", "o-")):
        points = sorted(curves[name], key=lambda p: p["synops"])
        x, y = [p["synops"] / 1e6 for p in points], [p["kl"] for p in points]
        axes[2].plot(x, y, style, label=f"{name} φ")
    axes[2].set_yscale("log")
    axes[2].set_xlabel("SynOps an image, millions (simulated)")
    axes[2].set_ylabel("KL(ANN ‖ SNN), nats")
    axes[2].legend(frameon=False)
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sensitivity"}),
        new_file(path, force=True) as temporary,
    ):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def main() -> None:
    """Both tables, the comparison, and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = HERE.parents[1] / "shared/data/cifar10_resnet20_akamaster.npz"
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started = time.perf_counter()
    train, _ = cifar10(args.data, args.samples, 1)
    graph = resnet20(args.weights)
    settings = AdaptSettings(time_steps=8, phi=4, per_channel=True, input_coding="analog")
    statistics = observe(graph, encoded_batches([train.x], graph.input_shape, settings))
    recipe = recipe_of(statistics, settings, 4)
    evaluator = Evaluator(graph, [train.x], settings, temperature=None)
    at = {phi: thresholds(statistics, settings, phi) for phi in PHIS}
    by_phi = phi_candidates(recipe, at, PHIS)
    phi_table = sensitivity(evaluator, recipe, by_phi)
    rho_table = sensitivity(evaluator, recipe, rho_candidates(recipe, RHOS))
    curves = compared(Search(evaluator, recipe, by_phi), phi_table, args.seed)
    maps = [heat("φ", PHIS, phi_table), heat("ρ", RHOS, rho_table)]
    result = {
        "command": "python benchmarks/sensitivity_resnet20.py",
        "level": "simulated",
        "samples": args.samples,
        "seconds": round(time.perf_counter() - started),
        "layers": list(phi_table.layers),
        "phi": {"values": PHIS, "kl_above": phi_table.harm.tolist()},
        "rho": {"values": RHOS, "kl_above": rho_table.harm.tolist()},
        "curves": curves,
    }
    with new_file(HERE / "results" / "sensitivity_resnet20.json", force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    draw(maps, curves, HERE.parent / "docs" / "figures" / "sensitivity_resnet20.svg")
    for name, points in curves.items():
        print(name, *(f"{p['kl']:.4f}@{p['synops'] / 1e6:.0f}M" for p in points))


if __name__ == "__main__":
    main()
