"""Which assumption fits the silicon best: `python benchmarks/bench_twin_silicon.py`.

Runs layer 0 of the NIR paper's N-MNIST network on the five recordings for which the spike counts of
a real speck2f are at hand, under every alternative of every assumption that can reach a single
core, and under some changes of the configuration for scale. Needs the data folder that
docs/spec-twin.md names. Writes `benchmarks/results/twin_silicon.json`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from speck_adacal.bundle import new_file
from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.types import Events
from speck_adacal.twin import Assumptions, ChipProgram, CoreProgram, Twin

RESULTS = Path(__file__).resolve().parent / "results"
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def load(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def first_core(weights: np.ndarray) -> CoreProgram:
    scale = float(min(127 / weights.max(), 128 / -weights.min()))
    integers, threshold = np.round(weights * scale).astype(np.int8), round(scale)
    return CoreProgram(
        0, integers, (2, 34, 34), (16, 16, 16), threshold, -threshold, (2, 2), (1, 1), monitor=True
    )


class Scores:
    """Settings tried so far, each printed as it comes.

    Args:
        recordings: what the chip saw.
        counts: int `[recordings, channels, y, x]`, the spikes that it gave.
    """

    def __init__(self, recordings: list[Events], counts: np.ndarray) -> None:
        self.recordings, self.counts = recordings, counts
        self.rows: list[dict[str, object]] = []

    def add(
        self,
        group: str,
        name: str,
        core: CoreProgram,
        recordings: list[Events] | None = None,
        **change: object,
    ) -> None:
        program = ChipProgram(load_chip_description(), {0: core})
        twin = Twin(program, assumptions=Assumptions(**change))
        found = [run.output.counts() for run in twin.run_many(recordings or self.recordings)]
        pairs = list(zip(found, self.counts, strict=True))
        equal = [float(np.mean(f == c)) for f, c in pairs]
        row = {
            "group": group,
            "setting": name,
            "equal": float(np.mean(equal)),
            "equal_by_recording": equal,
            "worst_total": max(float(abs(f.sum() / c.sum() - 1)) for f, c in pairs),
            "same_as_defaults": not self.rows
            or all(np.array_equal(f, d) for f, d in zip(found, self.defaults, strict=True)),
        }
        if not self.rows:
            self.defaults = found
        self.rows.append(row)
        each = " ".join(f"{e:6.1%}" for e in equal)
        print(f"{name:36s} {row['equal']:7.2%}  ({each})  {row['worst_total']:6.2%}")


def taken(events: Events, kept: np.ndarray) -> Events:
    """Only the events at these places."""
    fields = (v[kept] for v in (events.t_us, events.x, events.y, events.channel))
    return Events(*fields, events.shape, events.duration_us)


def reordered(events: Events, order: np.ndarray) -> Events:
    """The same times with the addresses in another order."""
    fields = (v[order] for v in (events.x, events.y, events.channel))
    return Events(events.t_us, *fields, events.shape, events.duration_us)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    folder = parser.parse_args().data
    data = load(folder, "speck2f_layer0_recording")
    core = first_core(load(folder, "nmnist_cnn_nir_paper")["0.weight"])
    recordings, counts = [], data["spike_counts"]
    for a, b in zip(data["offsets"], data["offsets"][1:], strict=False):
        t, x, y, p = (np.asarray(data[k][a:b], dtype=np.int64) for k in "txyp")
        recordings.append(Events(t, x, y, p, (2, 34, 34)))
    print("neurons with the chip's spike count: mean (each recording); worst total")
    scores = Scores(recordings, counts)
    scores.add("assumption", "defaults", core)
    for change in (
        {"overflow": "wrap"},
        {"parallel_spikes_per_event": 2},
        {"parallel_spikes_per_event": 64},
        {"spike_order": "reversed"},
        {"spike_order": "feature_row_column"},
        {"arbitration": "breadth_first"},
        {"leak_fires": True},
        {"tick_before_event": False},
    ):
        (name, value), *_ = change.items()
        scores.add("assumption", f"{name} = {value}", core, **change)
    print("the configuration changed, for scale")
    change_configuration(scores, core)
    print("the input changed: what could the chip have seen instead?")
    change_input(scores, core)
    result = {"command": "python benchmarks/bench_twin_silicon.py", "rows": scores.rows}
    with new_file(RESULTS / "twin_silicon.json", force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


def change_configuration(scores: Scores, core: CoreProgram) -> None:
    group = "configuration"
    scores.add(group, "return to zero instead of subtraction", replace(core, return_to_zero=True))
    for delta in (-1, 1):
        higher = replace(core, threshold_high=core.threshold_high + delta)
        scores.add(group, f"threshold_high {delta:+d}", higher)
        lower = replace(core, threshold_low=core.threshold_low + delta)
        scores.add(group, f"threshold_low {delta:+d}", lower)
    scores.add(group, "no lower threshold", replace(core, threshold_low=-32768))


def change_input(scores: Scores, core: CoreProgram) -> None:
    group, recordings = "input", scores.recordings
    later = [taken(events, np.arange(1, len(events))) for events in recordings]
    scores.add(group, "first event lost", core, later)
    earlier = [taken(events, np.arange(len(events) - 1)) for events in recordings]
    scores.add(group, "last event lost", core, earlier)
    rng = np.random.default_rng(0)
    for span_us in (5, 50, 1000):
        orders = [np.argsort(e.t_us + span_us * rng.random(len(e))) for e in recordings]
        moved = [reordered(e, order) for e, order in zip(recordings, orders, strict=True)]
        scores.add(group, f"events shuffled within {span_us} µs", core, moved)
    for span_us in (50, 1000):
        keys = [(e.x, e.y, e.channel, e.t_us // span_us) for e in recordings]
        moved = [reordered(e, np.lexsort(k)) for e, k in zip(recordings, keys, strict=True)]
        scores.add(group, f"sorted by polarity, row, column in {span_us} µs", core, moved)


if __name__ == "__main__":
    main()
