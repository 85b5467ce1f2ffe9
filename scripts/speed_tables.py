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
        f"ResNet-20, {result['samples']} images, T = 8 (`{result['command']}`; "
        f"{machine_line(result['machine'])}; the straightforward way, all samples in one batch or "
        "in pieces of 64, is timed on some layers and scaled to all; the network's convolutions "
        f"alone reach {result['convolution_gflops']:.0f} GFLOP/s as they are run here, "
        f"{result['direct_gflops']:.0f} as PyTorch runs them):",
        "",
        "| table | cells | cached | in one batch | in pieces of 64 | convolutions alone "
        "| same best | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        batch, pieces = (
            f"{row[key]:.0f} s, {row[key] / row['cached_s']:.1f} ×"
            for key in ("straightforward_s", "in_pieces_s")
        )
        faster = row["straightforward_s"] / row["cached_s"]
        limit = faster * result["convolution_gflops"] / row["cached_gflops"]
        name = {"phi": "φ", "rho": "ρ"}[row["table"]]
        lines.append(
            f"| {name}, {row['mode'].replace('_', ' ')} | {row['cells']} "
            f"| {row['cached_s']:.0f} s, {row['cached_gflops']:.0f} GFLOP/s | {batch} | {pieces} "
            f"| {limit:.1f} × | {'yes' if row['same_best'] else 'no'}, {row['cells_run']} cells "
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
