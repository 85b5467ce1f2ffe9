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
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ablation_data import Images, cifar10, grey_images, resnet20, shipped
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.evaluate import Evaluator
from speck_adacal.adaptation.exits import ExitRule, apply_rule
from speck_adacal.adaptation.journal import Journal
from speck_adacal.adaptation.pipeline import Pipeline
from speck_adacal.adaptation.plan import AdaptPlan, Stage
from speck_adacal.ann import LayerGraph

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
    parser.add_argument("--network", choices=("resnet20", "digits", "fashion"), default="resnet20")
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=user_cache_path("speck-adacal") / "ablation")
    parser.add_argument("--test", type=int, default=10000)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--phi", type=int, default=8, help="of AdaFire in the rows with SSC, IAT")
    parser.add_argument("--budgets", type=int, nargs="*", default=[2, 4], help="uniform φ to beat")
    parser.add_argument("--kl-ratio", type=float, default=1.5)
    parser.add_argument("--exit-loss", type=float, default=0.003)
    parser.add_argument("--search-steps", type=int, default=2)
    parser.add_argument("--search-samples", type=int, default=128)
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--table-samples", type=int, default=32)
    parser.add_argument("--calibrate-only", action="store_true")
    parser.add_argument("--correction-samples", type=int, default=96)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    graph, train, test = load(arguments)
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
        phis=(*range(1, 9), 10, 12, 16),
        kl_ratio=arguments.kl_ratio,
        exit_loss=arguments.exit_loss,
        search_samples=arguments.search_samples,
        evaluations=arguments.evaluations,
        table_samples=arguments.table_samples,
    )
    arguments.work.mkdir(parents=True, exist_ok=True)
    folder = arguments.work / "journal"
    whole, short = (
        Pipeline(graph, [train.x], settings, p, labels=train.y, folder=folder)
        for p in (plan, replace(plan, search_steps=arguments.search_steps))
    )
    stages, rules = calibrate(whole, short, arguments.phi, arguments.budgets)
    trace = [
        {"step": r.step, "seconds": r.seconds, **r.values} for r in (*whole.records, *short.records)
    ]
    _write(arguments.work / "trace.json", trace)
    if not arguments.calibrate_only:
        rows = measure(whole, stages, rules, test, arguments.work)
        found = {"images": len(test.y), "rows": [asdict(r) for r in rows]}
        _write(arguments.work / "ablation.json", found)
        show(rows)


def load(arguments: argparse.Namespace) -> tuple[LayerGraph, Images, Images]:
    """The network, training images to calibrate on, and test images."""
    if arguments.network == "resnet20":
        train, test = cifar10(arguments.data, arguments.train, arguments.test)
        return resnet20(arguments.weights), train, test
    name, data = {"digits": ("digits_cnn", "mnist"), "fashion": ("fashion_cnn", "fashion_mnist")}[
        arguments.network
    ]
    train, test = grey_images(data, arguments.train, arguments.test)
    return shipped(name), train, test


def calibrate(
    whole: Pipeline, short: Pipeline, phi: int, budgets: list[int]
) -> tuple[dict[str, Stage], dict[str, tuple[str, ExitRule]]]:
    """All networks of the table; and for rows with exits, on which network and by which rule.

    Networks that show every image for all T steps are searched at T; those for early exits
    (from "AdaFire" on) at the few steps that most images will see.
    """
    stages = {f"φ = {k}": whole.uniform(k) for k in sorted({1, *budgets})}
    for k in budgets:
        stages[f"searched φ, SynOps of {k}"] = whole.search_phi(stages[f"φ = {k}"])
    base = short.uniform(phi)
    stages[f"AdaFire (φ = {phi})"] = base
    stages["+ SSC"] = short.search_rho(base)
    rules = {
        "+ IAT": (f"AdaFire (φ = {phi})", short.calibrate_exit(base)),
        "+ SSC + IAT": ("+ SSC", short.calibrate_exit(stages["+ SSC"])),
    }
    return stages, rules


def measure(
    pipeline: Pipeline,
    stages: dict[str, Stage],
    rules: dict[str, tuple[str, ExitRule]],
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
        _progress(rows[-1])
        for label, (network, rule) in rules.items():
            if network == name:
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
    from speck_adacal.adaptation.energy import count_macs

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
    Console(width=None if sys.stdout.isatty() else 170).print(table)


if __name__ == "__main__":
    main()
