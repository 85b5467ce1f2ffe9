"""The README's one chart: what a recording costs with stock sinabs, and what the front found.

    python benchmarks/headline_figure.py

Draws `docs/figures/headline.svg` from `results/front_nmnist.json`; everything in it is simulated on
the chip twin, on recordings that neither the search nor the choice of a point saw.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "results" / "front_nmnist.json"
FIGURE = ROOT / "docs" / "figures" / "headline.svg"
BUDGET = 800_000
_GREY, _BLUE = "#626b78", "#3567b5"


def bars(record: dict[str, Any]) -> list[tuple[str, float, float, float]]:
    """What each bar is called, its SynOps a recording, its accuracy and the standard error."""
    point = next(row for row in record["budgets"] if row["max_synops"] == BUDGET)
    rows = (
        ("stock sinabs", record["stock"]),
        ("front, within 0.8 M SynOps", point["whole"]),
        ("the same, stopping early", point["early_exit"]),
    )
    return [(name, row["synops"], row["accuracy"], row["standard_error"]) for name, row in rows]


def main() -> None:
    """Draw the chart."""
    record = json.loads(RECORD.read_text())
    found = bars(record)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "speck-adacal headline"}):
        figure = Figure(figsize=(7.2, 2.1), layout="constrained")
        axes = figure.subplots()
        names = [name for name, *_ in found]
        axes.barh(names, [synops / 1e6 for _, synops, *_ in found], color=[_GREY, _BLUE, _BLUE])
        for place, (_, synops, accuracy, error) in enumerate(found):
            said = f" {synops / 1e6:.2f} M, {accuracy:.1%} ± {100 * error:.1f} right"
            axes.annotate(said, (synops / 1e6, place), va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.5 * found[0][1] / 1e6)
        recordings = f"{record['recordings']:,} N-MNIST recordings"
        axes.set_xlabel(f"millions of SynOps a recording (simulated, {recordings})")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        figure.savefig(FIGURE, metadata={"Date": None})
    text = FIGURE.read_text()
    FIGURE.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


if __name__ == "__main__":
    main()
