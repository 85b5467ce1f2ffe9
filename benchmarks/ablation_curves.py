"""Curves behind the ablation: searched against uniform, exits against a constant bar, and errors.

    python benchmarks/ablation_curves.py [--data FOLDER] [--work FOLDER] [--test 2000]

Writes `curves.json`, `curves.svg` (KL and accuracy over SynOps of uniform and searched φ, uniform
and searched ρ, and both kinds of exits) and `errors.svg` (clipping, quantisation and unevenness
over φ). Everything is simulated, at T = 8. Finished work is kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from ablation import _SHARD
from ablation_data import Images, cifar10, resnet20
from platformdirs import user_cache_path
from rich.console import Console

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.decompose import decompose
from speck_adacal.adaptation.evaluate import Evaluator
from speck_adacal.adaptation.exits import ExitRule, apply_rule, calibrate_exit
from speck_adacal.adaptation.journal import Journal
from speck_adacal.adaptation.pieces import CalibrationBatches
from speck_adacal.adaptation.pipeline import Pipeline
from speck_adacal.adaptation.plan import AdaptPlan, Stage
from speck_adacal.adaptation.search import Limit

mpl.use("svg")
Point = dict[str, float]


def main() -> None:
    """Search, measure on test images, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[2] / "shared/data/cifar10_resnet20_akamaster.npz"
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=user_cache_path("speck-adacal") / "ablation")
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--phis", type=int, nargs="+", default=[2, 3, 4, 6])
    parser.add_argument("--rhos", type=float, nargs="+", default=[1.5, 2.0, 3.0])
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train, test = cifar10(arguments.data, arguments.train, arguments.test)
    settings = AdaptSettings(
        time_steps=8,
        phi=4,
        per_channel=True,
        correction="both",
        input_coding="analog",
        batch_size=64,
        correction_samples=96,
    )
    plan = AdaptPlan(evaluations=arguments.evaluations)
    graph = resnet20(arguments.weights)
    folder = arguments.work / "journal"
    pipeline = Pipeline(graph, [train.x], settings, plan, labels=train.y, folder=folder)
    tester = Tester(pipeline, test, folder)
    curves: dict[str, list[Point]] = {
        name: [] for name in ("uniform φ", "searched φ", "uniform ρ", "searched ρ")
    }
    for phi in arguments.phis:
        uniform = pipeline.uniform(phi)
        curves["uniform φ"].append(tester.point(uniform, phi=phi))
        curves["searched φ"].append(tester.point(pipeline.search_phi(uniform), phi=phi))
    base = pipeline.uniform(settings.phi)
    for rho in arguments.rhos:
        uniform = pipeline.uniform(settings.phi, rho)
        curves["uniform ρ"].append(tester.point(uniform, rho=rho))
        found = pipeline.search_rho(base, Limit(synops=uniform.synops))
        curves["searched ρ"].append(tester.point(found, rho=rho))
    curves |= exits(pipeline, tester, base, train)
    curves["errors"] = errors(pipeline, train)
    (arguments.work / "curves.json").write_text(json.dumps(curves, indent=1))
    draw(curves, arguments.work)
    Console().print_json(json.dumps(curves))


class Tester:
    """Measures stages on the test images."""

    def __init__(self, pipeline: Pipeline, test: Images, folder: Path) -> None:
        journal = Journal(folder)
        self.labels = test.y.numpy()
        self.shards = [
            Evaluator(pipeline.graph, [x], pipeline.settings, y, journal)
            for x, y in zip(test.x.split(_SHARD), test.y.split(_SHARD), strict=True)
        ]

    def outputs(self, stage: Stage) -> tuple[np.ndarray, np.ndarray, float]:
        """Outputs per step, SynOps per sample and step of all images, and the mean KL."""
        found = [s.measure(stage.recipe, stage.graph) for s in self.shards]
        weights = np.array([s.samples for s in self.shards]) / len(self.labels)
        synops = sum(w * f.synops.sum(0) for w, f in zip(weights, found, strict=True))
        kl = float(sum(w * f.kl for w, f in zip(weights, found, strict=True)))
        return np.concatenate([f.outputs for f in found]), np.asarray(synops), kl

    def point(self, stage: Stage, **tags: float) -> Point:
        """One point of a curve; the calibration figures beside those on test images."""
        outputs, synops, kl = self.outputs(stage)
        accuracy = float((outputs.mean(1).argmax(1) == self.labels).mean())
        point = {**tags, "synops": float(synops.sum()), "accuracy": accuracy, "kl": kl}
        point |= {"calibration_kl": stage.kl, "calibration_synops": stage.synops}
        Console(stderr=True).print(stage.name, point)
        return point


def exits(
    pipeline: Pipeline, tester: Tester, stage: Stage, train: Images
) -> dict[str, list[Point]]:
    """Calibrated bars at several losses, and constant bars, on the same outputs."""
    data = Evaluator(pipeline.graph, [train.x], pipeline.settings, train.y)
    calibration = data.measure(stage.recipe, stage.graph).outputs
    outputs, _, _ = tester.outputs(stage)
    steps = outputs.shape[1]
    rules = {
        f"{x}": calibrate_exit(calibration, train.y.numpy(), x) for x in (0, 0.002, 0.01, 0.03)
    }
    temperature = next(iter(rules.values())).temperature
    constant = {
        f"{bar}": ExitRule((bar,) * steps, "entropy", temperature)
        for bar in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
    }
    found: dict[str, list[Point]] = {}
    for name, group in (("calibrated bars", rules), ("constant bar", constant)):
        found[name] = []
        for setting, rule in group.items():
            outcome = apply_rule(rule, outputs, tester.labels)
            point = {"setting": float(setting), "steps": outcome.mean_steps}
            found[name].append(point | {"accuracy": outcome.accuracy})
    return found


def errors(pipeline: Pipeline, train: Images) -> list[Point]:
    """Mean parts of the error over the layers, for several φ, without and with correction."""
    settings = pipeline.settings
    batches = CalibrationBatches([train.x[:64]], pipeline.graph.input_shape, settings)
    rows = []
    for phi in (1, 2, 4, 8):
        stage = pipeline.uniform(phi)
        parts = decompose(pipeline.graph, stage.recipe, batches, settings, stage.graph)
        names = ("clipping", "quantisation", "unevenness", "inherited", "total")
        rows.append(
            {"phi": phi} | {n: float(np.mean([getattr(p, n) for p in parts])) for n in names}
        )
    return rows


def draw(curves: dict[str, list[Point]], folder: Path) -> None:
    """Both figures as SVG."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    for name in ("uniform φ", "searched φ", "uniform ρ", "searched ρ"):
        points = sorted(curves[name], key=lambda p: p["synops"])
        x = [p["synops"] / 1e6 for p in points]
        style = "o-" if name.startswith("searched") else "s--"
        axes[0].plot(x, [p["kl"] for p in points], style, label=name)
        axes[1].plot(x, [100 * p["accuracy"] for p in points], style, label=name)
    for name in ("calibrated bars", "constant bar"):
        points = sorted(curves[name], key=lambda p: p["steps"])
        x = [p["steps"] for p in points]
        axes[2].plot(x, [100 * p["accuracy"] for p in points], "o-", label=name)
    axes[0].set(xlabel="SynOps an image (M, simulated)", ylabel="KL(ANN ‖ SNN) (nats)")
    axes[1].set(xlabel="SynOps an image (M, simulated)", ylabel="accuracy (%)")
    axes[2].set(xlabel="mean time steps", ylabel="accuracy (%)")
    for axis in axes:
        axis.legend()
    figure.savefig(folder / "curves.svg")
    figure, axis = plt.subplots(figsize=(6, 4), constrained_layout=True)
    rows = curves["errors"]
    for name in ("clipping", "quantisation", "unevenness"):
        axis.plot([r["phi"] for r in rows], [r[name] for r in rows], "o-", label=name)
    axis.set(xlabel="φ", ylabel="RMS error / RMS activation, mean of the layers")
    axis.legend()
    figure.savefig(folder / "errors.svg")


if __name__ == "__main__":
    main()
