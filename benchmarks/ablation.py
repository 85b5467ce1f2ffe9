"""The ablation: ResNet-20 on CIFAR-10, each technique alone and all together, at T = 8.

    python benchmarks/ablation.py --weights PATH [--data FOLDER] [--test 10000] [--work FOLDER]
    python benchmarks/ablation.py --network fashion_vgg --weights FILE   # trained by scripts/

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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ablation_data import Images, cifar10, grey_images, resnet20, shipped
from ablation_networks import NETWORKS, own_network
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.energy import EnergyConstants, count_macs
from speck_adacal.adaptation.finished_work import FinishedWork
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.pipeline import Pipeline
from speck_adacal.adaptation.plan import AdaptPlan, Stage
from speck_adacal.adaptation.search import Limit
from speck_adacal.ann import LayerGraph
from speck_adacal.readout.early_exit import ExitRule, apply_rule

_SHARD = 500
_DECIDING = (
    "train",
    "steps",
    "phi",
    "kl_ratio",
    "wide_kl_ratio",
    "exit_loss",
    "search_steps",
    "search_samples",
    "table_samples",
    "correction",
    "correction_samples",
    "rounds",
)
DATA = {"digits": "mnist", "fashion": "fashion_mnist"} | {n: d for n, (_, d) in NETWORKS.items()}


@dataclass(frozen=True)
class Row:
    """One line of the table; figures are means per test image."""

    name: str
    accuracy: float
    mean_steps: float
    spikes: float | None
    synops: float
    energy_uj: float
    kl: float | None


@dataclass(frozen=True, eq=False)
class Found:
    """What was measured of one network on all test images.

    Attributes:
        outputs: per step, `[images, T, classes]`.
        energy_uj: per image and step, `[images, T]`.
        spikes, synops: means per image.
        kl: per image, at temperature 1.
    """

    outputs: np.ndarray
    energy_uj: np.ndarray
    spikes: float
    synops: float
    kl: np.ndarray


def main() -> None:
    """Parse arguments; calibrate, measure and write row by row."""
    arguments = parsed()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    graph, train, test = load(arguments)
    arguments.work.mkdir(parents=True, exist_ok=True)
    whole, short = pipelines(arguments, graph, train)
    tester = Tester(whole, test, arguments.work / "finished")
    rows = [tester.network_row()]
    for found in measured(tester, whole, short, arguments):
        rows.append(found)
        _progress(found)
        _write(arguments.json or arguments.work / "ablation.json", record(rows, test, arguments))
        trace = [
            {"step": r.step, "seconds": r.seconds, **r.values}
            for r in (*whole.records, *short.records)
        ]
        _write(arguments.work / "trace.json", trace)
    show(rows)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common(parser)
    parser.add_argument("--network", choices=("resnet20", *DATA), default="resnet20")
    parser.add_argument("--budgets", type=int, nargs="*", default=[4, 2], help="uniform φ to beat")
    parser.add_argument("--json", type=Path, default=None, help="where the results go")
    return with_options(parser)


def with_options(parser: argparse.ArgumentParser, more: Sequence[str] = ()) -> argparse.Namespace:
    """The arguments, and under `options` those that decide results and are not the default."""
    arguments = parser.parse_args()
    arguments.options = ""
    for name in (*more, *_DECIDING):
        value = getattr(arguments, name)
        if value != parser.get_default(name):
            values = value if isinstance(value, list) else [value]
            arguments.options += " ".join([f" --{name.replace('_', '-')}", *map(str, values)])
    return arguments


def add_common(parser: argparse.ArgumentParser) -> None:
    """Arguments of the ablation and of its curves: with the same ones they share all work."""
    default = Path(__file__).parents[2] / "shared/data/cifar10_resnet20_akamaster.npz"
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=user_cache_path("speck-adacal") / "ablation")
    parser.add_argument("--test", type=int, default=10000)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--phi", type=int, default=8, help="of AdaFire in the rows with SSC, IAT")
    parser.add_argument("--kl-ratio", type=float, default=1.25)
    parser.add_argument("--wide-kl-ratio", type=float, default=4.0, help="of SSC alone, at T")
    parser.add_argument("--exit-loss", type=float, default=0.005)
    parser.add_argument("--search-steps", type=int, default=2)
    parser.add_argument("--search-samples", type=int, default=2000)
    parser.add_argument("--table-samples", type=int, default=2000)
    parser.add_argument("--correction", default="both", help="'auto' tries biases per step too")
    parser.add_argument("--correction-samples", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)


def pipelines(
    arguments: argparse.Namespace, graph: LayerGraph, train: Images
) -> tuple[Pipeline, Pipeline]:
    """One that searches at T, and one for early exits, at the few steps that most images see."""
    settings = AdaptSettings(
        time_steps=arguments.steps,
        phi=arguments.phi,
        per_channel=True,
        correction=arguments.correction,
        input_coding="analog",
        batch_size=64,
        correction_samples=min(arguments.correction_samples, arguments.train),
    )
    plan = AdaptPlan(
        kl_ratio=arguments.kl_ratio,
        exit_loss=arguments.exit_loss,
        search_samples=arguments.search_samples,
        validation_samples=arguments.search_samples,
        table_samples=arguments.table_samples,
        frontier=False,
        refinements=arguments.rounds,
    )
    folder = arguments.work / "finished"
    whole, short = (
        Pipeline(graph, [train.x], settings, p, labels=train.y, folder=folder)
        for p in (plan, replace(plan, search_steps=arguments.search_steps))
    )
    return whole, short


def load(arguments: argparse.Namespace) -> tuple[LayerGraph, Images, Images]:
    """The network, training images to calibrate on, and test images."""
    if arguments.network == "resnet20":
        train, test = cifar10(arguments.data, arguments.train, arguments.test)
        return resnet20(arguments.weights), train, test
    train, test = grey_images(DATA[arguments.network], arguments.train, arguments.test)
    if arguments.network in NETWORKS:
        return own_network(arguments.network, arguments.weights), train, test
    return shipped(f"{arguments.network}_cnn"), train, test


def measured(
    tester: Tester, whole: Pipeline, short: Pipeline, arguments: argparse.Namespace
) -> Iterator[Row]:
    """Row after row; every choice is made on training images before its row is measured."""
    base = short.uniform(arguments.phi)
    name = f"AdaFire (φ = {arguments.phi})"
    yield tester.row(name, base)
    rule = short.calibrate_exit(base)
    yield tester.row("+ IAT", base, rule)
    thin = short.search_rho(base)
    yield tester.row("+ SSC", thin)
    yield tester.row("+ SSC + IAT", thin, short.calibrate_exit(thin))
    start = whole.uniform(arguments.phi)
    wide = whole.search_rho(start, Limit(kl=start.kl * arguments.wide_kl_ratio))
    yield tester.row(f"+ SSC, KL × {arguments.wide_kl_ratio:g}", wide)
    for k in arguments.budgets:
        uniform = whole.uniform(k)
        yield tester.row(f"φ = {k}", uniform)
        yield tester.row(f"searched φ, spikes of {k}", whole.search_phi(uniform))
    yield tester.row("φ = 1", whole.uniform(1))


def record(rows: list[Row], test: Images, arguments: argparse.Namespace) -> dict[str, object]:
    """What is written: the rows, and all that decides them."""
    return {
        "command": f"python benchmarks/ablation.py --network {arguments.network}"
        f" --test {len(test.y)}{arguments.options}",
        "level": "accuracy, spikes, SynOps simulated; energy estimated, "
        f"{EnergyConstants().source}",
        "images": len(test.y),
        "choices made on": "training images only",
        "settings": {name: getattr(arguments, name) for name in ("network", *_DECIDING)},
        "rows": [asdict(r) for r in rows],
    }


class Tester:
    """Measures stages on the test images, in shards that a killed run need not repeat."""

    def __init__(
        self, pipeline: Pipeline, test: Images, folder: Path, temperature: float = 1.0
    ) -> None:
        finished = FinishedWork(folder)
        self.labels, self.steps = test.y.numpy(), pipeline.settings.time_steps
        self.shards = [
            Evaluator(pipeline.graph, [x], pipeline.settings, y, finished, temperature=temperature)
            for x, y in zip(test.x.split(_SHARD), test.y.split(_SHARD), strict=True)
        ]

    def network_row(self) -> Row:
        """The trained network."""
        ann = np.concatenate([torch.cat(s.targets).argmax(1).numpy() for s in self.shards])
        accuracy = float((ann == self.labels).mean())
        return Row("network", accuracy, 1, 0, 0, _ann_energy(self.shards[0]), 0)

    def found(self, stage: Stage, scale: float = 1.0) -> Found:
        """Everything measured of one network, its outputs times `scale` in the KL."""
        scaled = [s.with_output_scale(scale) for s in self.shards]
        shards = [s.measure(stage.recipe, stage.graph) for s in scaled]
        part = np.array([s.samples for s in self.shards]) / len(self.labels)
        return Found(
            np.concatenate([f.outputs for f in shards]),
            np.concatenate([f.sample_energy_nj for f in shards]) / 1000,
            float(part @ [f.spikes_per_sample for f in shards]),
            float(part @ [f.synops_per_sample for f in shards]),
            np.concatenate([f.sample_kl for f in shards]),
        )

    def row(self, name: str, stage: Stage, rule: ExitRule | None = None) -> Row:
        """One line of the table; with a rule, energy is counted to each image's own exit."""
        found = self.found(stage)
        if rule is not None:
            return self._early(name, rule, found)
        accuracy = float((found.outputs.mean(1).argmax(1) == self.labels).mean())
        energy = float(found.energy_uj.sum(1).mean())
        kl = float(found.kl.mean())
        return Row(name, accuracy, self.steps, found.spikes, found.synops, energy, kl)

    def _early(self, name: str, rule: ExitRule, found: Found) -> Row:
        outcome = apply_rule(rule, found.outputs, self.labels)
        energy = found.energy_uj
        spent = energy.cumsum(1)[np.arange(len(energy)), outcome.windows - 1]
        any_ = self.shards[0]
        macs_uj = any_.analog_macs * any_.constants.mac_pj / 1e6 * outcome.mean_windows
        synops = (spent.mean() - macs_uj) / any_.constants.ac_pj * 1e6
        steps = outcome.mean_windows
        return Row(name, outcome.accuracy, steps, None, float(synops), float(spent.mean()), None)


def _ann_energy(evaluator: Evaluator) -> float:
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
