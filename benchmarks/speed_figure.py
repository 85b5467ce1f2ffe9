"""How many times faster than what users would run instead: one bar a comparison.

    python benchmarks/speed_figure.py

Reads the records of the speed benchmarks and writes `docs/figures/speed.svg`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speck_adacal.bundle import new_file

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "docs" / "figures" / "speed.svg"


def record(name: str) -> Any:
    """What a benchmark recorded."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def ratios() -> dict[str, float]:
    """Comparison to times faster."""
    found = {
        f"neuron, {row['shape']}: sinabs IAF": row["speed-up, in place"]
        for row in record("bench_neuron")["rows"]
    }
    for row in record("bench_search")["rows"]:
        name = {"phi": "φ", "rho": "ρ"}[row["table"]]
        mode = row["mode"].replace("_", " ")
        found[f"{name} table, {mode}: every cell alone"] = row["straightforward_s"] / row["table_s"]
    twin, *others = record("compare_simulators")["simulators"]
    for other in others:
        found[f"twin: {other['simulator'].split(' (')[0]}"] = other["cpu_s"] / twin["cpu_s"]
    return found


def main() -> None:
    """Draw the bars."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    bars = ratios()
    figure = Figure(figsize=(7.0, 0.34 * len(bars) + 0.9), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh(list(bars), list(bars.values()), color="#3567b5")
    axes.bar_label(drawn, [f"{value:.1f} ×" for value in bars.values()], padding=3)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(0.5, 2.5 * max(bars.values()))
    axes.invert_yaxis()
    axes.set_xlabel("times faster than what is named behind the colon")
    axes.spines[["top", "right"]].set_visible(False)
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "speed"}),
        new_file(TARGET, force=True) as temporary,
    ):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
