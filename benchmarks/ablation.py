"""The ablation: ResNet-20 on CIFAR-10, each technique alone and all together, at T = 8.

    python benchmarks/ablation.py --weights PATH [--data FOLDER] [--test 10000] [--work FOLDER]

Everything is calibrated on training images and then measured on test images. Finished work is
kept in the work folder: a killed run goes on. Writes `ablation.json` there and prints a table.
Accuracies, spikes and SynOps are simulated; energies are estimated from them (4.6 pJ a MAC of the
first layer at every step, 0.9 pJ a SynOp).
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from ablation_data import Images, cifar10, resnet20
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from speck_adacal.adapt import AdaptSettings
from speck_adacal.adapt.evaluate import Evaluator
from speck_adacal.adapt.exits import ExitRule, apply_rule
from speck_adacal.adapt.journal import Journal
from speck_adacal.adapt.pipeline import Pipeline
from speck_adacal.adapt.plan import AdaptPlan, Stage

_SHARD = 500


@dataclass(frozen=True)
class Row:
    """One line of the table; figures are means per test image."""

    name: str
    accuracy: float
    mean_steps: float
    spikes: float
    synops: float
    energy_uj: float


def main() -> None:
    """Parse arguments, calibrate, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[2] / "shared/data/cifar10_resnet20_akamaster.npz"
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=user_cache_path("speck-adacal") / "ablation")
    parser.add_argument("--test", type=int, default=10000)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--phi", type=int, default=4)
    parser.add_argument("--low-phi", type=int, default=2)
    parser.add_argument("--kl-ratio", type=float, default=4.0)
    parser.add_argument("--exit-loss", type=float, default=0.002)
    parser.add_argument("--search-samples", type=int, default=128)
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--table-samples", type=int, default=32)
    parser.add_argument("--calibrate-only", action="store_true")
    parser.add_argument("--correction-samples", type=int, default=96)
    parser.add_argument("--one-search", action="store_true", help="search at one budget only")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train, test = cifar10(arguments.data, arguments.train, arguments.test)
    graph = resnet20(arguments.weights)
    settings = AdaptSettings(
        time_steps=arguments.steps,
        phi=arguments.phi,
        per_channel=True,
        correction="both",
        input_coding="analog",
        batch_size=64,
        correction_samples=min(arguments.correction_samples, arguments.train),
    )
    plan = AdaptPlan(
        kl_ratio=arguments.kl_ratio,
        exit_loss=arguments.exit_loss,
        search_samples=arguments.search_samples,
        evaluations=arguments.evaluations,
        table_samples=arguments.table_samples,
    )
    arguments.work.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline(
        graph, [train.x], settings, plan, labels=train.y, folder=arguments.work / "journal"
    )
    low = None if arguments.one_search else arguments.low_phi
    stages, rules = calibrate(pipeline, arguments.phi, arguments.low_phi, low)
    trace = [{"step": r.step, "seconds": r.seconds, **r.values} for r in pipeline.records]
    _write(arguments.work / "trace.json", trace)
    if not arguments.calibrate_only:
        rows = measure(pipeline, stages, rules, test, arguments.work)
        _write(arguments.work / "ablation.json", {"rows": [asdict(r) for r in rows]})
        show(rows)


def calibrate(
    pipeline: Pipeline, phi: int, low: int, low_search: int | None
) -> tuple[dict[str, Stage], dict[str, ExitRule]]:
    """All networks of the table, and the exit rules of two of them."""
    stages = {f"φ = {k}": pipeline.uniform(k) for k in (1, low, phi)}
    if low_search is not None:
        stages[f"searched φ, SynOps of {low}"] = pipeline.search_phi(stages[f"φ = {low}"])
    best = pipeline.search_phi(stages[f"φ = {phi}"])
    stages[f"searched φ, SynOps of {phi}"] = best
    stages["+ SSC"] = pipeline.search_rho(best)
    rules = {
        "+ IAT": pipeline.calibrate_exit(best),
        "+ SSC + IAT": pipeline.calibrate_exit(stages["+ SSC"]),
    }
    return stages, rules


def measure(
    pipeline: Pipeline,
    stages: dict[str, Stage],
    rules: dict[str, ExitRule],
    test: Images,
    work: Path,
) -> list[Row]:
    """Run every network on the test images, in shards that a killed run need not repeat."""
    journal = Journal(work / "journal")
    shards = [
        Evaluator(pipeline.graph, [x], pipeline.settings, y, journal)
        for x, y in zip(test.x.split(_SHARD), test.y.split(_SHARD), strict=True)
    ]
    ann = np.concatenate([torch.cat(s.targets).argmax(1).numpy() for s in shards])
    rows = [Row("network", float((ann == test.y.numpy()).mean()), 1, 0, 0, _ann_energy(shards[0]))]
    wanted = dict(zip((list(stages)[-2], list(stages)[-1]), rules.items(), strict=True))
    for name, stage in stages.items():
        found = [s.measure(stage.recipe, stage.graph) for s in shards]
        weights = np.array([s.samples for s in shards]) / len(test.y)
        spikes = sum(w * f.spikes for w, f in zip(weights, found, strict=True)).sum(0)
        synops = sum(w * f.synops for w, f in zip(weights, found, strict=True)).sum(0)
        outputs = np.concatenate([f.outputs for f in found])
        energy = np.concatenate([f.sample_energy_nj for f in found]) / 1000
        accuracy = float((outputs.mean(1).argmax(1) == test.y.numpy()).mean())
        steps = pipeline.settings.time_steps
        rows.append(Row(name, accuracy, steps, spikes.sum(), synops.sum(), energy.sum(1).mean()))
        if name in wanted:
            label, rule = wanted[name]
            rows.append(_early(label, rule, outputs, energy, test, shards[0]))
        _progress(rows[-1])
    return rows


def _early(
    name: str,
    rule: ExitRule,
    outputs: np.ndarray,
    energy: np.ndarray,
    test: Images,
    any_: Evaluator,
) -> Row:
    """What early exits give: energy is counted to each image's own exit."""
    outcome = apply_rule(rule, outputs, test.y.numpy())
    spent = energy.cumsum(1)[np.arange(len(energy)), outcome.steps - 1]
    macs_uj = any_.analog_macs * any_.constants.mac_pj / 1e6 * outcome.mean_steps
    synops = (spent.mean() - macs_uj) / any_.constants.ac_pj * 1e6
    return Row(name, outcome.accuracy, outcome.mean_steps, float("nan"), synops, spent.mean())


def _ann_energy(evaluator: Evaluator) -> float:
    from speck_adacal.adapt.energy import count_macs

    return sum(count_macs(evaluator.graph).values()) * evaluator.constants.mac_pj / 1e6


def _progress(row: Row) -> None:
    Console(stderr=True).print(f"{row.name}: {100 * row.accuracy:.2f} %, {row.energy_uj:.1f} µJ")


def _write(path: Path, data: object) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(data, indent=1))
    part.replace(path)


def show(rows: list[Row]) -> None:
    """Print the table."""
    table = Table("network", "accuracy %", "mean T", "SynOps (M)", "energy (µJ, estimated)")
    for row in rows:
        table.add_row(
            row.name,
            f"{100 * row.accuracy:.2f}",
            f"{row.mean_steps:.2f}",
            f"{row.synops / 1e6:.1f}",
            f"{row.energy_uj:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
