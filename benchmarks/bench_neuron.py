"""AdaFire forward against sinabs' IAF with MaxSpike, and against the machine's copy bandwidth.

    python benchmarks/bench_neuron.py [--repeats 15]

Same tensors, one process, runs taken in turn, medians. Copy bandwidth is that of `Tensor.copy_`
into an existing tensor. AdaFire is timed four ways: with a new output tensor right after sinabs
ran (which gave memory back to the system: page faults count), with a new one once more (as in a
loop of it alone, where the allocator has the memory at hand), into an existing one, and in place,
as `SpikingNetwork` runs it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch
from machine import machine, save
from rich.console import Console
from rich.table import Table
from sinabs import layers as sl
from sinabs.activation import MaxSpike

from speck_adacal.snn import AdaFire

SHAPES = {
    "ResNet-20, first stage": (16, 8, 16, 32, 32),
    "ResNet-20, last stage": (64, 8, 64, 8, 8),
    "VGG, 64 channels": (16, 8, 64, 32, 32),
    "fully connected": (256, 8, 512),
}


def main() -> None:
    """Time every shape and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    ran_on = machine()
    rows = [bench(name, shape, arguments.repeats) for name, shape in SHAPES.items()]
    show(rows)
    result = {"command": "python benchmarks/bench_neuron.py", "machine": ran_on, "rows": rows}
    save("bench_neuron", result)


@torch.no_grad()
def bench(name: str, shape: tuple[int, ...], repeats: int) -> dict[str, float | str]:
    """All candidates on one tensor, in turn."""
    torch.manual_seed(0)
    x, phi = torch.randn(shape), 4
    spare, place = torch.empty_like(x), x.clone()
    ours = AdaFire(0.7, phi, initial_potential=0.0)
    theirs = sl.IAF(spike_threshold=torch.tensor(0.7), spike_fn=MaxSpike(phi))
    if not torch.equal(ours(x), theirs(x) * 0.7):
        raise SystemExit("AdaFire and sinabs disagree: the comparison would be meaningless.")

    def in_place() -> None:
        ours.run(place, shape[1], out=place)

    runs: dict[str, Callable[[], object]] = {
        "copy": lambda: spare.copy_(x),
        "clone": x.clone,
        "new": lambda: ours(x),
        "new again": lambda: ours(x),
        "existing": lambda: ours.run(x, shape[1], out=spare),
        "in place": in_place,
        "sinabs": lambda: theirs(x),
    }
    times: dict[str, list[float]] = {key: [] for key in runs}
    for repeat in range(repeats + 2):
        for key, run in runs.items():
            place.copy_(x)
            started = time.perf_counter()
            run()
            if repeat >= 2:
                times[key].append(time.perf_counter() - started)
    median = {key: statistics.median(v) for key, v in times.items()}
    size = 2 * x.numel() * 4
    return {
        "shape": name,
        "MB": x.numel() * 4 / 1e6,
        **{f"{k} ms": 1e3 * v for k, v in median.items()},
        "copy GB/s": size / median["copy"] / 1e9,
        "AdaFire GB/s": size / median["existing"] / 1e9,
        "part of copy": median["copy"] / median["existing"],
        "speed-up, new": median["sinabs"] / median["new"],
        "speed-up, new again": median["sinabs"] / median["new again"],
        "speed-up, existing": median["sinabs"] / median["existing"],
        "speed-up, in place": median["sinabs"] / median["in place"],
    }


def show(rows: list[dict[str, float | str]]) -> None:
    """Print the table."""
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(v if isinstance(v, str) else f"{v:.2f}" for v in row.values()))
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    console.print(f"threads {torch.get_num_threads()}, peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
