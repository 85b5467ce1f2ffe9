"""Curves behind the ablation: searched against uniform, exits against a constant bar, and errors.

    python benchmarks/ablation_curves.py [--data FOLDER] [--work FOLDER] [--json FILE]

Networks are searched on training images and measured on test images, at T = 8. Give the same
options as to `ablation.py`: finished work is shared through the work folder, and a killed run goes
on. The results file is written after every point; `ablation_figures.py` draws it.

KL is given twice: at temperature 1 with the outputs as they are (eq. 9), which a few images that
are decided otherwise make up, and as searched: at the temperature at which the ANN is half
uncertain, the outputs at the one scale that suits them on training images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation import Found, Tester, _write, add_common, pipelines, with_options
from ablation_data import Images, cifar10, resnet20
from rich.console import Console

from speck_adacal.adaptation.decompose import decompose
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.pipeline import Pipeline
from speck_adacal.adaptation.plan import Stage
from speck_adacal.readout.early_exit import ExitRule, apply_rule, calibrate_exit_rule
from speck_adacal.samples.encoded import encoded_batches

Point = dict[str, float]
_LOSSES = (0.0, 0.002, 0.005, 0.01, 0.03)
_BARS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
_PARTS = ("clipping", "quantisation", "unevenness", "inherited", "total")


def main() -> None:
    """Search, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common(parser)
    parser.add_argument("--phis", type=int, nargs="*", default=[2, 3, 4, 6])
    parser.add_argument("--rhos", type=float, nargs="*", default=[2.0, 1.5, 3.0])
    parser.add_argument("--rho-phi", type=int, default=4, help="φ of the curves over ρ")
    parser.add_argument("--json", type=Path, default=None)
    arguments = with_options(parser, ("phis", "rhos", "rho_phi"))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train, test = cifar10(arguments.data, arguments.train, arguments.test)
    pipeline, _ = pipelines(arguments, resnet20(arguments.weights), train)
    curves = Curves(pipeline, test, arguments)
    base = pipeline.uniform(arguments.rho_phi)
    curves.put("errors", errors(pipeline, train))
    for name, points in exits(pipeline, curves.tester, base, train).items():
        curves.put(name, points)
    for phi in arguments.phis:
        uniform = pipeline.uniform(phi)
        curves.pair("φ", uniform, pipeline.search_phi(uniform), phi=phi)
    for rho in arguments.rhos:
        uniform = pipeline.uniform(arguments.rho_phi, rho)
        curves.pair("ρ", uniform, pipeline.search_rho_at(uniform), rho=rho)


class Curves:
    """The results so far, written after every point."""

    def __init__(self, pipeline: Pipeline, test: Images, arguments: argparse.Namespace) -> None:
        folder = arguments.work / "finished"
        self.tester = Tester(pipeline, test, folder)
        self._pipeline = pipeline
        self._as_searched = Tester(pipeline, test, folder, pipeline.evaluator.temperature)
        self._path = arguments.json or arguments.work / "ablation_curves.json"
        self._found: dict[str, Any] = {
            "command": f"python benchmarks/ablation_curves.py{arguments.options}",
            "level": "simulated",
            "images": len(test.y),
            "choices made on": "training images only",
            "curves": {},
        }

    def put(self, name: str, points: list[Point]) -> None:
        """A whole curve."""
        self._found["curves"][name] = points
        _write(self._path, self._found)

    def pair(self, name: str, uniform: Stage, searched: Stage, **tags: float) -> None:
        """Both networks on the test images, and what changed, image by image."""
        found = [self.tester.found(stage) for stage in (uniform, searched)]
        before, after = (self._measured(*x) for x in zip((uniform, searched), found, strict=True))
        changes = summarised({f"{key} change": after[key] - before[key] for key in before})
        self._add(f"uniform {name}", uniform, found[0], tags | summarised(before))
        self._add(f"searched {name}", searched, found[1], tags | changes | summarised(after))

    def _measured(self, stage: Stage, found: Found) -> dict[str, np.ndarray]:
        """Whether right, and both KLs, of every test image."""
        scale = self._pipeline.evaluator.measure(stage.recipe, stage.graph).output_scale
        return {
            "accuracy": (found.outputs.mean(1).argmax(1) == self.tester.labels).astype(float),
            "kl": found.kl,
            "kl as searched": self._as_searched.found(stage, scale).kl,
        }

    def _add(self, name: str, stage: Stage, found: Found, figures: Point) -> None:
        point = {**figures, "spikes": found.spikes, "synops": found.synops}
        point["calibration kl"] = stage.kl
        Console(stderr=True).print(name, point)
        self.put(name, [*self._found["curves"].get(name, []), point])


def summarised(values: dict[str, np.ndarray]) -> Point:
    """Mean of each, and its standard error under its name and "error"."""
    means = {key: float(x.mean()) for key, x in values.items()}
    errors = {f"{k} error": float(x.std(ddof=1) / np.sqrt(len(x))) for k, x in values.items()}
    return means | errors


def exits(
    pipeline: Pipeline, tester: Tester, stage: Stage, train: Images
) -> dict[str, list[Point]]:
    """Calibrated bars at several losses, and constant bars, on the same outputs."""
    finished = pipeline.evaluator.finished
    data = Evaluator(pipeline.graph, [train.x], pipeline.settings, train.y, finished)
    calibration = data.measure(stage.recipe, stage.graph).outputs
    outputs = tester.found(stage).outputs
    labels = train.y.numpy()
    rules = [(x, calibrate_exit_rule(calibration, labels, x, metric="entropy")) for x in _LOSSES]
    temperature, steps = rules[0][1].temperature, outputs.shape[1]
    constant = [(b, ExitRule((b,) * steps, "entropy", temperature)) for b in _BARS]
    found: dict[str, list[Point]] = {"calibrated bars": [], "constant bar": []}
    for name, group in (("calibrated bars", rules), ("constant bar", constant)):
        for setting, rule in group:
            outcome = apply_rule(rule, outputs, tester.labels)
            point = {
                "setting": setting,
                "steps": outcome.mean_windows,
                "accuracy": outcome.accuracy,
            }
            found[name].append(point)
    return found


def errors(pipeline: Pipeline, train: Images) -> list[Point]:
    """Mean parts of the error over the layers, for several φ, before and after correction."""
    settings = pipeline.settings
    batches = encoded_batches([train.x[:64]], pipeline.graph.input_shape, settings)
    rows = []
    for phi in (1, 2, 4, 8):
        stage = pipeline.uniform(phi)
        parts = decompose(pipeline.graph, stage.recipe, batches, settings, stage.graph)
        raw = decompose(pipeline.graph, pipeline.uncorrected(phi), batches, settings)
        rows.append(
            {"phi": float(phi)}
            | {n: float(np.mean([getattr(p, n) for p in parts])) for n in _PARTS}
            | {f"{n}, before": float(np.mean([getattr(p, n) for p in raw])) for n in _PARTS}
        )
    return rows


if __name__ == "__main__":
    main()
