"""Which assumption fits the silicon best: `python benchmarks/bench_twin_silicon.py`.

Runs layer 0 of the NIR paper's N-MNIST network on the five recordings for which the spike counts of
a real speck2f are at hand, under every alternative of every assumption that can reach a single
core, and under some changes of the configuration for scale. Needs the data folder that
docs/spec-twin.md names.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.types import Events
from speck_adacal.twin import Assumptions, ChipProgram, CoreProgram, Twin

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


def score(
    name: str, core: CoreProgram, recordings: list[Events], counts: np.ndarray, **change: object
) -> None:
    program = ChipProgram(load_chip_description(), {0: core})
    twin = Twin(program, assumptions=Assumptions(**change))
    found = [run.output.counts() for run in twin.run_many(recordings)]
    equal = [float(np.mean(f == c)) for f, c in zip(found, counts, strict=True)]
    totals = [abs(f.sum() / c.sum() - 1) for f, c in zip(found, counts, strict=True)]
    each = " ".join(f"{e:6.1%}" for e in equal)
    print(f"{name:36s} {np.mean(equal):7.2%}  ({each})  {max(totals):6.2%}")


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
    score("defaults", core, recordings, counts)
    for change in (
        {"overflow": "wrap"},
        {"parallel_spikes_per_event": 2},
        {"parallel_spikes_per_event": 64},
        {"spike_order": "reversed"},
        {"spike_order": "feature_row_column"},
        {"arbitration": "breadth_first"},
    ):
        (name, value), *_ = change.items()
        score(f"{name} = {value}", core, recordings, counts, **change)
    print("the configuration changed, for scale")
    score("return to zero", replace(core, return_to_zero=True), recordings, counts)
    for delta in (-1, 1):
        higher = replace(core, threshold_high=core.threshold_high + delta)
        score(f"threshold_high {delta:+d}", higher, recordings, counts)
        lower = replace(core, threshold_low=core.threshold_low + delta)
        score(f"threshold_low {delta:+d}", lower, recordings, counts)
    score("no lower threshold", replace(core, threshold_low=-32768), recordings, counts)
    print("the input changed: what could the chip have seen instead?")
    later = [taken(events, np.arange(1, len(events))) for events in recordings]
    score("first event lost", core, later, counts)
    earlier = [taken(events, np.arange(len(events) - 1)) for events in recordings]
    score("last event lost", core, earlier, counts)
    rng = np.random.default_rng(0)
    for span_us in (5, 50, 1000):
        orders = [np.argsort(e.t_us + span_us * rng.random(len(e))) for e in recordings]
        moved = [reordered(e, order) for e, order in zip(recordings, orders, strict=True)]
        score(f"events shuffled within {span_us} µs", core, moved, counts)
    for span_us in (50, 1000):
        keys = [(e.x, e.y, e.channel, e.t_us // span_us) for e in recordings]
        moved = [reordered(e, np.lexsort(k)) for e, k in zip(recordings, keys, strict=True)]
        score(f"by polarity, row, column in {span_us} µs", core, moved, counts)


if __name__ == "__main__":
    main()
