"""Results as rich tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.text import Text

from speck_adacal.chip.check import CheckResult
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import Simulation
from speck_adacal.inspection.core_load import CoreLoad
from speck_adacal.recipe.verdict import Verdict
from speck_adacal.reporting.narrowing import NarrowingTable
from speck_adacal.reporting.simulation_files import chip_readout_to_dict
from speck_adacal.reporting.summary import LayerRow, Summary, layer_rows
from speck_adacal.rules.rule_book import Explanation

if TYPE_CHECKING:
    from speck_adacal.inspection.exit_calibration import ExitCheck


def verdict_lines(verdict: Verdict | None) -> list[Text]:
    """What adaptation kept and lost, on calibration samples; none where it was not measured."""
    if verdict is None:
        return []
    return [Text(line, style="bold" if i == 0 else "") for i, line in enumerate(verdict.lines())]


def deployment_table(
    deployment: Deployment,
    rows: Sequence[LayerRow],
    out: Path,
    loads: Sequence[CoreLoad] = (),
    limit_per_s: float | None = None,
) -> RenderableType:
    """The layers on their cores, their load where it is known, warnings, and the next command."""
    return Group(
        layer_table(rows, f"On the cores of {deployment.chip}"),
        *([load_table(loads, limit_per_s)] if loads else []),
        *(Text(f"Warning: {violation}") for violation in deployment.violations),
        bias_sentence(deployment),
        *verdict_lines(deployment.adapted.recipe.verdict),
        f"Written: {out}",
        f"Next: speck-adacal simulate {out} --samples-from RECORDINGS.npz",
    )


def load_table(loads: Sequence[CoreLoad], limit_per_s: float | None = None) -> NarrowingTable:
    """What every core has to do on the user's recordings; `!` marks what is over the limit."""
    short_us = loads[0].window_us
    limit = "no limit was given, and no official one is public"
    if limit_per_s is not None:
        limit = f"! is over the limit of {limit_per_s:,.0f} SynOps/s"
    table = NarrowingTable(
        title="Load on these recordings (simulated)",
        caption=f"worst: in any window of {short_us} µs, and of {10 * short_us} µs; {limit}",
    )
    for column in (
        "core",
        "events/s, mean",
        f"worst {short_us} µs",
        f"worst {10 * short_us} µs",
        "SynOps/s, mean",
        f"worst {short_us} µs",
        f"worst {10 * short_us} µs",
        "in recording",
        "from, µs",
    ):
        table.add_column(column, justify="right")
    for load in loads:
        events = (load.mean_events_per_s, load.worst_events_per_s, load.longer_events_per_s)
        synops = (load.mean_synops_per_s, load.worst_synops_per_s, load.longer_synops_per_s)
        table.add_row(
            str(load.core),
            *(f"{rate:,.0f}" for rate in events),
            *(f"{rate:,.0f}{_over(rate, limit_per_s)}" for rate in synops),
            str(load.recording),
            f"{load.start_us:,}",
        )
    return table


def _over(rate: float, limit: float | None) -> str:
    return "!" if limit is not None and rate > limit else ""


def bias_sentence(deployment: Deployment) -> str:
    """What became of the biases."""
    biased = [layer for layer in deployment.layers if layer.folded.bias.any()]
    if not biased:
        return "Biases: none."
    names = ", ".join(layer.folded.name for layer in biased)
    if any(layer.bias.any() for layer in deployment.layers):
        rate = f"{deployment.slow_clock_hz:g} Hz"
        return f"Biases of {names}: leak, one tick of the slow clock ({rate}) a time step."
    steps = deployment.adapted.recipe.settings.time_steps
    return f"Biases of {names}: part of the initial potentials, for a window of {steps} time steps."


def check_table(result: CheckResult) -> RenderableType:
    """What every layer needs, where it fits, and every violated rule with its fix."""
    table = NarrowingTable(title=f"Layers against the cores of {result.chip}")
    for column in ("layer", "kernel words", "neuron words", "cores that could hold it"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for layer in result.layers:
        cores = ", ".join(map(str, layer.cores)) or "none"
        shape = layer.shape
        table.add_row(shape.name, str(shape.kernel_words), str(shape.neuron_words), cores)
    verdict = "It does not fit:" if result.errors else "It fits."
    if result.violations and not result.errors:
        verdict = "It fits, with warnings:"
    planned = [f"  {rewriting}" for rewriting in result.rewritings]
    heading = ["`adapt` will rewrite:", *planned] if planned else []
    lines = [f"  {violation}" for violation in result.violations]
    if result.change is not None:
        kept = f"it keeps {result.change.kept:.0%} of the multiply-accumulates"
        lines.append(f"Smallest change that fits ({kept}): {result.change.text}.")
    return Group(table, *map(Text, heading), verdict, *map(Text, lines))


def explanation_view(rules: Sequence[Explanation]) -> RenderableType:
    """Design rules in words, with limit, unit and source."""
    parts = []
    for rule in rules:
        limit = "" if rule.limit == "-" else f"Limit: {rule.limit} {rule.unit}.\n"
        text = f"{rule.rule}\n{limit}{rule.why}\nSource (grade {rule.grade}): {rule.source}.\n"
        parts.append(Text(text))
    return Group(*parts)


def exits_table(check: ExitCheck | None, out: Path) -> RenderableType:
    """What an early exit loses and saves on samples that its bars had not seen."""
    after = f"Written: {out}\nNext: speck-adacal stream SOURCE --bundle {out}"
    if check is None:
        return f"Too few samples to set a half aside, so that the loss is not known.\n{after}"
    table = NarrowingTable(
        "what", "value", title="Early exit on samples not calibrated on (simulated)"
    )
    table.add_row("samples", str(check.samples))
    table.add_row("accuracy, read to the end", f"{check.accuracy_full:.2%}")
    table.add_row("accuracy, early exit", f"{check.accuracy:.2%}")
    lost, error = 100 * (check.accuracy_full - check.accuracy), 100 * check.standard_error
    table.add_row("points lost", f"{lost:.2f} ± {error:.2f}")
    table.add_row("windows read, mean", f"{check.windows:.0%}")
    return Group(table, after)


def simulation_table(
    deployment: Deployment, simulation: Simulation, labels: npt.NDArray[np.int64] | None
) -> RenderableType:
    """Decisions and cost of a simulation."""
    table = NarrowingTable("what", "value", title=f"Simulated on the {deployment.chip} twin")
    table.add_row("samples", str(len(simulation)))
    if labels is not None:
        table.add_row("accuracy", f"{simulation.accuracy(labels):.2%}")
    table.add_row("input events a sample", f"{simulation.events.mean():,.0f}")
    table.add_row("SynOps a sample", f"{simulation.synops.mean():,.0f}")
    table.add_row("no decision", str(int(np.count_nonzero(simulation.decisions < 0))))
    if simulation.chip_decisions:
        found = chip_readout_to_dict(simulation, labels)
        shares = [f"{k} {found[k]:.1%}" for k in ("right", "wrong", "nothing") if k in found]
        table.add_row(f"the chip's {found['looks']} looks", ", ".join(shares))
    said = verdict_lines(deployment.adapted.recipe.verdict)
    heading = [Text("When it was adapted, on calibration samples:")] if said else []
    rows = layer_table(layer_rows(deployment, simulation), "Per core")
    return Group(table, rows, *heading, *said)


def summary_view(summary: Summary, paths: Mapping[str, str]) -> RenderableType:
    """The whole result: accuracy by level, layers, energy, and where it was written."""
    table = layer_table(summary.layers, f"Layers on the cores of {summary.chip} (a sample)")
    said = verdict_lines(summary.verdict)
    heading = [Text("When it was adapted, on calibration samples:"), *said] if said else []
    if not summary.levels or summary.energy is None:
        lines = [
            *(f"Warning: {warning}" for warning in summary.warnings),
            "Nothing was simulated; give --samples-from LABELLED.npz for accuracy and cost.",
            *(f"Written: {what}: {path}" for what, path in paths.items()),
        ]
        return Group(table, *heading, *(Text(line) for line in lines))
    levels = NarrowingTable(
        title=f"Accuracy by level ({summary.levels[0].samples} samples, T = {summary.time_steps})"
    )
    for column in ("level", "what runs", "accuracy", "± s.e.", "seconds"):
        levels.add_column(column, justify="left" if column in ("level", "what runs") else "right")
    for level in summary.levels:
        levels.add_row(
            level.level,
            level.meaning,
            f"{level.accuracy:.2%}",
            f"{level.standard_error:.2%}",
            f"{level.seconds:.1f}",
        )
    energy = summary.energy
    lines = [
        f"SynOps a sample (simulated): {summary.synops:,.0f} from {summary.events:,.0f} events",
        f"Energy a sample (estimated, {energy.convention}): {energy.snn_nj:,.0f} nJ spiking, "
        f"{energy.ann_nj:,.0f} nJ for the network's own {energy.macs:,} multiply-accumulates",
        *(f"Warning: {warning}" for warning in summary.warnings),
        f"Measured in {summary.seconds:.1f} s",
        *(f"Written: {what}: {path}" for what, path in paths.items()),
        *next_steps(paths),
    ]
    return Group(levels, table, *heading, *(Text(line) for line in lines))


def next_steps(paths: Mapping[str, str]) -> list[str]:
    """Commands to try next."""
    if "bundle" not in paths:
        return []
    return [
        f"Next: open {paths['report']}",
        f"      speck-adacal deploy {paths['bundle']} --chip speck2e --out other_chip",
        "      speck-adacal convert --help      (your own network)",
    ]


def layer_table(rows: Sequence[LayerRow], title: str) -> NarrowingTable:
    """The per-layer table; memory as used of available words."""
    table = NarrowingTable(
        title=title, caption="memory used/available, in (Ki) words; see `report`"
    )
    columns = ["layer", "core", "φ", "ρ", "V_th", "levels", "kernel Ki", "neuron Ki", "bias"]
    simulated = rows[0].spikes is not None
    columns += ["spikes", "SynOps"] if simulated else []
    for column in columns:
        table.add_column(column, justify="left" if column == "layer" else "right", no_wrap=True)
    for row in rows:
        cells = [
            row.name,
            str(row.core),
            str(row.phi),
            f"{row.rho:g}",
            f"{row.threshold:.3g}",
            str(row.weight_levels),
            f"{_ki(row.kernel_used)}/{_ki(row.kernel_available)}",
            f"{_ki(row.neuron_used)}/{_ki(row.neuron_available)}",
            f"{row.bias_used}/{row.bias_available}",
        ]
        if simulated:
            cells += [f"{row.spikes:,.0f}", f"{row.synops:,.0f}"]
        table.add_row(*cells)
    return table


def _ki(words: int) -> str:
    """Words in units of 1024, to three digits."""
    return f"{words / 1024:.3g}"
