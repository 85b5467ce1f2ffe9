"""Compare the camera model with recorded N-MNIST: tables, figures, and a JSON of all numbers.

    python scripts/validate_camera_model.py --real FILE.npz --out out/camera

Shows each recording's own digit to the model (default settings, one camera) and sets both side by
side. The first 40 recordings, to which the settings were fitted, are left out. Needs MNIST.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
from mnist_data import mnist_arrays

from speck_adacal.datasets.camera_sets import simulated_recordings
from speck_adacal.events.motion import NMNIST_SACCADES
from speck_adacal.events.statistics import (
    PROFILE_BIN_US,
    EventStatistics,
    event_statistics,
    map_correlation,
    overlap,
)
from speck_adacal.events.types import Events

mpl.use("Agg")
import matplotlib.pyplot as plt

FITTED = 40


def real_events(path: Path, count: int) -> tuple[list[Events], np.ndarray]:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        x, y, p, t, offsets = (file[k] for k in ("x", "y", "p", "t", "offsets"))
        ids = file["ids"].astype(np.int64) - 1
    chosen = range(FITTED, min(FITTED + count, len(ids)))
    spans = list(pairwise(offsets))
    recordings = [
        Events(t[a:b], x[a:b], y[a:b], p[a:b].astype(np.int16), (2, 34, 34))
        for a, b in (spans[k] for k in chosen)
    ]
    return recordings, ids[list(chosen)]


def numbers(real: EventStatistics, model: EventStatistics) -> dict[str, float]:
    return {
        "recordings": len(real.counts),
        "events, recorded, mean": float(real.counts.mean()),
        "events, simulated, mean": float(model.counts.mean()),
        "events, recorded, deviation": float(real.counts.std()),
        "events, simulated, deviation": float(model.counts.std()),
        "events, correlation over recordings": float(np.corrcoef(real.counts, model.counts)[0, 1]),
        "share of ON, recorded": float(real.on_share.mean()),
        "share of ON, simulated": float(model.on_share.mean()),
        "last event, recorded, mean (ms)": float(real.last_us.mean() / 1000),
        "last event, simulated, mean (ms)": float(model.last_us.mean() / 1000),
        "overlap of time profiles (5 ms, polarity)": overlap(real.profile, model.profile),
        "overlap of events per active pixel": overlap(real.per_pixel[1:], model.per_pixel[1:]),
        "overlap of intervals in a pixel": overlap(real.intervals, model.intervals),
        "correlation of maps (place, polarity, saccade), mean": float(
            map_correlation(real, model).mean()
        ),
        "the same against another recording of the same class": float("nan"),
    }


def other_of_class(real: EventStatistics, labels: np.ndarray) -> float:
    """What the map correlation is worth: the next recorded digit of the same class instead."""
    values = []
    for label in range(10):
        index = np.flatnonzero(labels == label)
        a = real.maps[index].reshape(len(index), -1)
        b = np.roll(a, 1, axis=0)
        values += [np.corrcoef(u, v)[0, 1] for u, v in zip(a, b, strict=True)]
    return float(np.mean(values))


def figure(real: EventStatistics, model: EventStatistics, path: Path) -> None:
    plot, axes = plt.subplots(2, 3, figsize=(14, 7.5), layout="constrained")
    time = np.arange(real.profile.shape[1]) * PROFILE_BIN_US / 1000
    for row, name in ((1, "ON"), (0, "OFF")):
        sign = 1 if row else -1
        axes[0, 0].plot(time, sign * real.profile[row], "k", label="recorded" if row else None)
        label = "simulated" if row else None
        axes[0, 0].plot(time, sign * model.profile[row], "C1", label=label)
        axes[0, 0].text(2, sign * 60, name)
    axes[0, 0].set(xlabel="time (ms)", ylabel="events in 5 ms", title="time profile")
    axes[0, 0].legend()
    axes[0, 1].plot(real.counts, model.counts, ".", alpha=0.5)
    axes[0, 1].axline((0, 0), slope=1, color="k", lw=0.5)
    axes[0, 1].set(xlabel="recorded", ylabel="simulated", title="events of a recording")
    counts = np.arange(1, len(real.per_pixel))
    axes[0, 2].plot(counts, real.per_pixel[1:], "k", counts, model.per_pixel[1:], "C1")
    axes[0, 2].set(xlabel="events", ylabel="pixels of a recording", title="events of a pixel")
    edges = real.interval_edges_us[:-1]
    for row, style in ((0, "-"), (1, "--")):
        axes[1, 0].semilogx(edges, real.intervals[row], "k" + style)
        axes[1, 0].semilogx(edges, model.intervals[row], "C1" + style)
    axes[1, 0].set(xlabel="µs", title="intervals in a pixel (dashed: polarity changes)")
    for axis, stats, name in ((axes[1, 1], real, "recorded"), (axes[1, 2], model, "simulated")):
        first = np.concatenate([stats.maps[0, s, 1] - stats.maps[0, s, 0] for s in range(3)], 1)
        axis.imshow(first, cmap="RdBu_r", vmin=-8, vmax=8)
        axis.set(title=f"{name}: ON − OFF in the three saccades", xticks=[], yticks=[])
    plot.savefig(path, dpi=110)
    plt.close(plot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="recordings, as .npz")
    parser.add_argument("--data", type=Path, help="folder with MNIST's four IDX files")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/camera"))
    args = parser.parse_args()
    recordings, ids = real_events(args.real, args.count)
    data = mnist_arrays(args.data)
    images = data.train_images[ids].astype(np.float32) / 255
    window = NMNIST_SACCADES.duration_us
    real = event_statistics(recordings, window_us=window)
    model = event_statistics(simulated_recordings(images, seed=args.seed), window_us=window)
    found = numbers(real, model)
    name = "the same against another recording of the same class"
    found[name] = other_of_class(real, data.train_labels[ids])
    args.out.mkdir(parents=True, exist_ok=True)
    figure(real, model, args.out / "camera.png")
    (args.out / "camera.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    rows = "\n".join(f"| {key} | {value:.4g} |" for key, value in found.items())
    (args.out / "camera.md").write_text(f"| | |\n|---|---|\n{rows}\n", encoding="utf-8")
    print(rows)


if __name__ == "__main__":
    main()
