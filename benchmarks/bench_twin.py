"""Speed of the chip twin, in one command: `python benchmarks/bench_twin.py [--data FOLDER]`.

Prints SynOps per second against a ceiling measured in the same run, how much faster than real
time recordings are, how two threads scale, and a dense time-stepped PyTorch run beside it. Single
threads are timed in CPU seconds (best and median of several), so that a busy machine does not blur
them; only the line with two threads is wall time. Without the data folder (see docs/spec-twin.md)
random weights and events of the same shapes are used, and the lines say so. Writes
`benchmarks/results/bench_twin.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from machine import save as save_record
from numba import njit

from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.types import Events
from speck_adacal.twin import ChipProgram, CoreProgram, Destination, DvsProgram, Twin
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.layout import aligned, lay_out
from speck_adacal.twin.machine import Machine
from speck_adacal.twin.raw_memory import update_rows

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def save(name: str, figures: dict[str, object]) -> None:
    """Write a record with what it was timed on."""
    clock = "CPU seconds of one thread; two threads: wall time"
    save_record(name, {"machine": {**machine(), "clock": clock}, **figures})


def best_s(work: Callable[[], object], repeats: int = 15, clock=time.thread_time) -> float:
    """Shortest time of several runs."""
    return min(times_s(work, repeats, clock))


def times_s(work: Callable[[], object], repeats: int, clock=time.thread_time) -> list[float]:
    """Times of several runs after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return times


def load(folder: Path, name: str) -> dict[str, np.ndarray] | None:
    path = folder / f"{name}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def recordings_of(archive: dict[str, np.ndarray] | None) -> list[Events] | None:
    """The first ten N-MNIST recordings of the archive."""
    if archive is None:
        return None
    bounds = zip(archive["offsets"][:10], archive["offsets"][1:11], strict=True)
    return [
        Events(
            archive["t"][a:b].astype(np.int64),
            archive["x"][a:b],
            archive["y"][a:b],
            archive["p"][a:b].astype(np.int16),
            (2, 34, 34),
        )
        for a, b in bounds
    ]


def quantised(weights: np.ndarray) -> tuple[np.ndarray, int]:
    scale = float(min(127 / weights.max(), 128 / -weights.min()))
    return np.round(weights * scale).astype(np.int8), round(scale)


@njit
def _contiguous(state, weights, words, rounds):
    fired = 0
    for _ in range(rounds):
        fired += update_rows(state, weights, 1, words, 0, 0, 32767, -32768)
    return fired


def ceiling(words: int) -> float:
    """SynOps/s of the same add, clamp and compare over `words` neurons, contiguous and aligned."""
    state, weights = aligned(np.zeros(words, np.int16)), aligned(np.zeros(words, np.int8))
    rounds = 20_000_000 // words

    def work() -> int:
        return _contiguous(state.ctypes.data, weights.ctypes.data, words, rounds)

    return rounds * words / best_s(work)


def mnist_layers(data) -> tuple[ChipProgram, ChipProgram, str]:
    """sinabs' MNIST network's first two layers, and the second alone."""
    rng = np.random.default_rng(0)
    if data is None:
        first, second = rng.normal(0, 0.08, (20, 1, 5, 5)), rng.normal(0, 0.03, (32, 20, 5, 5))
    else:
        first, second = data["0.weight"], data["3.weight"]
    (w1, t1), (w2, t2) = quantised(first), quantised(second)
    chip = load_chip_description()
    one = CoreProgram(
        0, w1, (1, 28, 28), (20, 24, 24), t1, destinations=(Destination(3, 2),), monitor=True
    )
    two = CoreProgram(3, w2, (20, 12, 12), (32, 8, 8), 4 * t2)
    source = "random weights" if data is None else "sinabs' MNIST weights"
    return ChipProgram(chip, {0: one, 3: two}), ChipProgram(chip, {3: two}), source


def digit_events(recordings, time_steps: int) -> Events:
    """A digit, rate coded for T steps of 1 ms: an N-MNIST recording summed up, or a bar."""
    rng = np.random.default_rng(1)
    image = np.zeros((34, 34))
    if recordings is None:
        image[8:26, 14:20] = 1
    else:
        events = recordings[0]
        np.add.at(image, (events.y, events.x), 1)
    image = np.clip(image[3:31, 3:31] / max(np.percentile(image, 99), 1), 0, 1)
    step, y, x = np.nonzero(rng.random((time_steps, 28, 28)) < image)
    return Events(1000 * step, x, y, np.zeros(len(step), int), (1, 28, 28), 1000 * time_steps)


NEVER = {"threshold_high": 32767}  # reached by hardly any potential


def one_layer_machine(program: ChipProgram) -> Machine:
    """The bare event loop, without recordings to check or load to note."""
    assumptions = Assumptions()
    return Machine(
        lay_out(program, assumptions), assumptions, track_peaks=False, monitor_order=False
    )


def bench_second_layer(data, recordings) -> dict[str, object]:
    both, second, source = mnist_layers(data)
    events = digit_events(recordings, 100)
    spikes = Twin(both).run(events, entry=0).spikes[0]
    word = (spikes.y.astype(np.int64) // 2 << 32) | (spikes.x.astype(np.int64) // 2 << 16)
    word |= spikes.channel
    rows = np.full(len(word), 13, np.int8)
    machine = one_layer_machine(second)
    quiet = one_layer_machine(replace(second, cores={3: replace(second.cores[3], **NEVER)}))

    def work(word=word, machine=machine):
        machine.reset()
        return machine.run(rows, word, record_load=False)

    # The same events in the map's corner, which reach one column each, and in its middle.
    corner = word & 0xFFFF
    y, x = np.random.default_rng(0).integers(4, 8, (2, len(word)))
    middle = (y << 32) | (x << 16) | corner
    fixed = best_s(lambda: work(corner)) / len(word) * 1e9
    inside = int(work(middle).synops.sum()) / best_s(lambda: work(middle))
    silent, in_order = best_s(lambda: work(machine=quiet)), np.sort(word)
    predicted = best_s(lambda: work(in_order, quiet))
    synops, taken, ceilings = int(work().synops.sum()), [], []
    for _ in range(5):  # interleaved, so that both see the same machine
        taken += times_s(work, 7)
        ceilings += [ceiling(32 * 8 * 8), ceiling(1 << 14)]
    seconds, top = min(taken), max(ceilings)
    print(
        f"second MNIST layer, T = 100 ({source}): {synops / 1e6:.1f} M SynOps in "
        f"{seconds * 1e3:.2f} ms = {synops / seconds / 1e9:.2f} G SynOps/s on one core, "
        f"{seconds / len(word) * 1e9:.0f} ns an event; ceiling {top / 1e9:.1f} G SynOps/s, "
        f"{synops / seconds / top:.0%} of it; an event that reaches one column {fixed:.0f} ns, "
        f"events that reach all 25 {inside / 1e9:.1f} G SynOps/s, {inside / top:.0%} of it; an "
        f"event's time without firing {silent / seconds:.0%}, and in sorted order "
        f"{predicted / seconds:.0%}"
    )
    return {
        "weights": source,
        "synops": synops,
        "events": len(word),
        "best_synops_per_s": synops / seconds,
        "median_synops_per_s": synops / statistics.median(taken),
        "best_ns_per_event": seconds / len(word) * 1e9,
        "ceiling_synops_per_s": top,
        "fraction_of_ceiling": synops / seconds / top,
        "one_column_ns_per_event": fixed,
        "all_columns_synops_per_s": inside,
        "all_columns_fraction_of_ceiling": inside / top,
        "ceiling_ns_per_event": synops / len(word) / top * 1e9,
        "time_without_firing": silent / seconds,
        "time_without_firing_sorted": predicted / seconds,
    }


def nmnist_program(data) -> tuple[ChipProgram, str]:
    rng = np.random.default_rng(0)
    shapes = {
        0: ("0.weight", (2, 34, 34), (16, 16, 16), 5, 2, 1, (1, 1)),
        1: ("2.weight", (16, 16, 16), (16, 16, 16), 3, 1, 1, (2, 2)),
        2: ("5.weight", (16, 8, 8), (8, 8, 8), 3, 1, 1, (5, 2)),
        5: ("9.weight", (8, 4, 4), (256, 1, 1), 4, 1, 0, (3, 1)),
        3: ("11.weight", (256, 1, 1), (10, 1, 1), 1, 1, 0, None),
    }
    cores = {}
    for index, (name, inside, out, kernel, stride, pad, target) in shapes.items():
        shape = (out[0], inside[0], kernel, kernel)
        raw = rng.normal(0, 0.2, shape) if data is None else data[name].reshape(shape)
        weights, threshold = quantised(raw)
        cores[index] = CoreProgram(
            index,
            weights,
            inside,
            out,
            threshold,
            -threshold,
            (stride, stride),
            (pad, pad),
            destinations=() if target is None else (Destination(*target),),
            monitor=target is None,
        )
    source = "random weights" if data is None else "the NIR paper's weights"
    return ChipProgram(load_chip_description(), cores), source


def random_recording(count: int, side: int, duration_us: int, seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    t_us = np.sort(rng.integers(0, duration_us, count))
    p, y, x = rng.integers(0, 2, count), rng.integers(0, side, count), rng.integers(0, side, count)
    return Events(t_us, x, y, p, (2, side, side), duration_us)


def bench_nmnist(data, recordings) -> tuple[list[Events], dict[str, object]]:
    program, source = nmnist_program(data)
    chosen = recordings or [random_recording(4200, 34, 315_000, seed) for seed in range(10)]
    twin, chosen = Twin(program), chosen[:10]
    taken = [times_s(lambda events=events: twin.run(events), 15) for events in chosen]
    seconds = sum(min(times) for times in taken)
    # With two cores monitored the loop for any network runs, not the one for trees.
    monitored = {i: replace(core, monitor=i in (3, 5)) for i, core in program.cores.items()}
    watched = Twin(replace(program, cores=monitored))
    general = sum(best_s(lambda events=events: watched.run(events)) for events in chosen)
    length = sum(events.duration_us for events in chosen) * 1e-6
    synops = sum(twin.run(events).synops for events in chosen)
    print(
        f"N-MNIST network ({source}), stock thresholds: {seconds / len(chosen) * 1e3:.2f} ms a "
        f"recording, {length / seconds:.0f} x real time, {synops / seconds / 1e9:.2f} G SynOps/s; "
        f"with two cores monitored {length / general:.0f} x real time"
    )
    many = chosen * 20
    one = best_s(lambda: twin.run_many(many, threads=1), 3, time.perf_counter)
    two = best_s(lambda: twin.run_many(many, threads=2), 3, time.perf_counter)
    print(f"two threads on {len(many)} recordings (wall time): {one / two:.2f} x one thread")
    return chosen, {
        "weights": source,
        "recordings": len(chosen),
        "ms_per_recording": seconds / len(chosen) * 1e3,
        "best_times_real_time": length / seconds,
        "median_times_real_time": length / sum(statistics.median(times) for times in taken),
        "two_monitors_times_real_time": length / general,
        "synops_per_s": synops / seconds,
        "synops_per_recording": synops / len(chosen),
        "two_threads_speedup_wall": one / two,
    }


def gesture_program() -> ChipProgram:
    """Nine cores, 128 x 128 DVS input, sized like networks for DVS gestures."""
    rng = np.random.default_rng(0)
    layers = [
        (0, 2, 16, 5, 2, 2, 128, 1),
        (1, 16, 16, 3, 1, 1, 64, 2),
        (2, 16, 32, 3, 1, 1, 32, 2),
        (3, 32, 32, 3, 1, 1, 16, 1),
        (4, 32, 32, 3, 1, 1, 16, 2),
        (5, 32, 64, 3, 1, 1, 8, 2),
        (6, 64, 64, 3, 1, 1, 4, 4),
        (7, 64, 128, 1, 1, 0, 1, 1),
        (8, 128, 11, 1, 1, 0, 1, 1),
    ]
    cores = {}
    for index, inside, out, kernel, stride, pad, side, pooling in layers:
        size = (side + 2 * pad - kernel) // stride + 1
        weights = rng.integers(-40, 61, (out, inside, kernel, kernel)).astype(np.int8)
        charge = 10 * out * min(kernel, side) ** 2 // stride**2  # of one event, on average
        cores[index] = CoreProgram(
            index,
            weights,
            (inside, side, side),
            (out, size, size),
            threshold_high=max(charge, 61),  # about one spike an event
            threshold_low=-charge,
            stride=(stride, stride),
            padding=(pad, pad),
            initial=rng.integers(0, max(charge, 61), (out, size, size)).astype(np.int16),
            destinations=() if index == 8 else (Destination(index + 1, pooling),),
            monitor=index == 8,
        )
    dvs = DvsProgram(destinations=(Destination(0),))
    return ChipProgram(load_chip_description(), cores, dvs=dvs)


def bench_gesture() -> dict[str, object]:
    twin = Twin(gesture_program())
    events = random_recording(50_000, 128, 500_000)
    seconds, run = best_s(lambda: twin.run(events), 5), twin.run(events)
    print(
        f"nine cores, 128 x 128, 100 k events/s (random weights and events): "
        f"{0.5 / seconds:.1f} x real time, {run.synops / 0.5 / 1e6:.0f} M SynOps/s on the chip, "
        f"{run.synops / seconds / 1e9:.2f} G SynOps/s here; events by core "
        f"{run.events_per_core.tolist()}"
    )
    return {"times_real_time": 0.5 / seconds, "synops_per_s": run.synops / seconds}


def bench_dense(data, chosen: list[Events]) -> dict[str, object]:
    """The same network as dense convolutions, one millisecond a step, in PyTorch on one thread."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    program, _ = nmnist_program(data)
    events = chosen[0]
    frames = torch.tensor(events.to_frames(315))
    order = [0, 1, 2, 5, 3]
    weights = {i: torch.tensor(program.cores[i].weights, dtype=torch.float32) for i in order}

    def work() -> int:
        states = {i: torch.zeros(1, *program.cores[i].out_shape) for i in order}
        total = 0
        with torch.no_grad():
            for frame in frames:
                x = frame[None]
                for i in order:
                    core = program.cores[i]
                    current = functional.conv2d(x, weights[i], None, core.stride, core.padding)
                    v = (states[i] + current).clamp_(min=core.threshold_low)
                    spikes = (v / core.threshold_high).floor_().clamp_(min=0)
                    states[i] = v - spikes * core.threshold_high
                    for d in core.destinations:
                        x = functional.avg_pool2d(spikes, d.pooling) * d.pooling**2
                total += int(spikes.sum())
        return total

    twin = Twin(program)
    dense, event = best_s(work, 3), best_s(lambda: twin.run(events), 7)
    print(
        f"dense PyTorch, 315 steps of 1 ms, the same network and recording: {dense * 1e3:.0f} ms, "
        f"the twin {event * 1e3:.1f} ms ({dense / event:.0f} x faster), and event by event"
    )
    return {"pytorch_ms": dense * 1e3, "twin_ms": event * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    folder = parser.parse_args().data
    recordings = recordings_of(load(folder, "nmnist_train1000"))
    second = bench_second_layer(load(folder, "mnist_cnn_sinabs"), recordings)
    weights = load(folder, "nmnist_cnn_nir_paper")
    chosen, nmnist = bench_nmnist(weights, recordings)
    figures = {"mnist_second_layer": second, "nmnist": nmnist, "nine_cores": bench_gesture()}
    save("bench_twin", figures | {"dense_nmnist": bench_dense(weights, chosen)})


if __name__ == "__main__":
    main()
