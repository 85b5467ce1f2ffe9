"""Records of the speed benchmarks as Markdown tables."""

from __future__ import annotations

from typing import Any


def machine_line(machine: dict[str, Any]) -> str:
    """What a benchmark ran on, in words."""
    vectors = ", ".join(machine["vectors"]).upper() or "no known vectors"
    return (
        f"{machine['cpu']}, {vectors}, {machine['processors']} processors, load "
        f"{machine['load_average']:.1f} before"
    )


def render_neuron(result: dict[str, Any]) -> str:
    """AdaFire beside sinabs' neuron."""
    lines = [
        f"Median milliseconds, {result['machine']['threads']} threads, φ = 4 "
        f"(`{result['command']}`; {machine_line(result['machine'])}; a copy of 256 MiB: "
        f"{result['memory copy GB/s']:.0f} GB/s). The last columns are of AdaFire in place, as "
        "`SpikingNetwork` runs it:",
        "",
        "| tensor | sinabs | AdaFire, new tensor | existing | in place | faster | "
        "of the same tensor's copy | of memory copy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        times = (f"{row[key]:.2f}" for key in ("sinabs ms", "new ms", "existing ms", "in place ms"))
        lines.append(
            f"| {row['shape']}, {row['MB']:.0f} MB | {' | '.join(times)} | "
            f"{row['speed-up, in place']:.1f} × | {row['part of copy, in place']:.0%} | "
            f"{row['part of memory copy, in place']:.0%} |"
        )
    return "\n".join(lines)


def render_search(result: dict[str, Any]) -> str:
    """Sensitivity tables beside running everything for each cell."""
    lines = [
        f"ResNet-20, {result['samples']} images, T = 8, seconds of one processor "
        f"(`{result['command']}`; {machine_line(result['machine'])}; running everything for each "
        "cell, all samples in one batch or in batches of 64, is timed on some layers and scaled "
        "to all):",
        "",
        "| table | cells | default | exact | everything, one batch | batches of 64 "
        "| rank correlation with exact | same best | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        exact, batch, batches = (
            f"{row[key]:.0f} s, {row[key] / row['table_s']:.1f} ×"
            for key in ("exact_s", "straightforward_s", "in_batches_s")
        )
        isolated = row["mode"] == "isolated"
        name = {"phi": "φ", "rho": "ρ"}[row["table"]]
        correlation = f"{row['rank_correlation']:.3f}" if isolated else "the same"
        lines.append(
            f"| {name}, {row['mode'].replace('_', ' ')} | {row['cells']} | {row['table_s']:.1f} s "
            f"| {exact if isolated else 'the same'} | {batch} | {batches} | {correlation} "
            f"| {'yes' if row['same_best'] else 'no'}, {row['cells_run']} cells "
            f"| {row['peak_mb']:,.0f} MB |"
        )
    return "\n".join(lines)


def render_end_to_end(result: dict[str, Any]) -> str:
    """From the trained network to simulated decisions."""
    lines = [
        f"The shipped network, {result['calibration']} calibration digits, {result['digits']} "
        f"digits simulated; median of {result['repeats']} (`{result['command']}`; "
        f"{machine_line(result['machine'])}):",
        "",
        "| | step | seconds |",
        "|---|---|---|",
    ]
    for name, steps in result["seconds"].items():
        lines += [f"| {name} | {step} | {seconds:.3f} |" for step, seconds in steps.items()]
    return "\n".join(lines)
