"""Draw the recorded curves of the ablation.

    python benchmarks/ablation_figures.py

Reads `benchmarks/results/ablation_curves.json` and writes to `docs/figures`:
`ablation_curves.svg` (KL and accuracy over spikes, accuracy over time steps) and
`ablation_errors.svg` (the parts of the error over φ). Everything in them is simulated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "ablation"
from matplotlib import pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/ablation_curves.json"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs/figures")
    arguments = parser.parse_args()
    found = json.loads(arguments.json.read_text())
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw_curves(found, arguments.out / "ablation_curves.svg")
    draw_errors(found["curves"]["errors"], arguments.out / "ablation_errors.svg")


def draw_curves(found: dict[str, Any], path: Path) -> None:
    """Searched against uniform, and calibrated against constant."""
    curves = found["curves"]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    for name in ("uniform φ", "searched φ", "uniform ρ", "searched ρ"):
        points = sorted(curves.get(name, []), key=lambda p: p["spikes"])
        if not points:
            continue
        x = [p["spikes"] / 1e3 for p in points]
        style = "o-" if name.startswith("searched") else "s--"
        errors = [p["kl as searched error"] for p in points]
        axes[0].errorbar(
            x, [p["kl as searched"] for p in points], errors, fmt=style, label=name, capsize=2
        )
        axes[1].plot(x, [100 * p["accuracy"] for p in points], style, label=name)
    for name in ("calibrated bars", "constant bar"):
        points = sorted(curves[name], key=lambda p: p["steps"])
        x = [p["steps"] for p in points]
        axes[2].plot(x, [100 * p["accuracy"] for p in points], "o-", label=name)
    axes[0].set(
        xlabel="spikes an image (thousands, simulated)", ylabel="KL(ANN ‖ SNN) as searched (nats)"
    )
    axes[0].set_yscale("log")
    axes[1].set(xlabel="spikes an image (thousands, simulated)", ylabel="accuracy (%)")
    axes[2].set(xlabel="mean time steps", ylabel="accuracy (%)")
    axes[1].set_title(f"ResNet-20, {found['images']} CIFAR-10 test images, T = 8, simulated")
    for axis in axes:
        axis.legend()
    save(figure, path)


def draw_errors(rows: list[dict[str, float]], path: Path) -> None:
    """Clipping, quantisation and unevenness over φ, before and after correction."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), constrained_layout=True, sharey=True)
    for axis, suffix, title in ((axes[0], ", before", "uncorrected"), (axes[1], "", "corrected")):
        for name in ("clipping", "quantisation", "unevenness"):
            values = [r[f"{name}{suffix}"] for r in rows]
            axis.plot([r["phi"] for r in rows], values, "o-", label=name)
        axis.set(xlabel="φ", title=f"{title}, simulated")
        axis.legend()
    axes[0].set_ylabel("RMS error / RMS activation, mean of the layers")
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """The same bytes for the same results."""
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
