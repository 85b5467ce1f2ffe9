"""AdaFire forward against sinabs' IAF with MaxSpike, and against the machine's copy bandwidth.

    python benchmarks/bench_neuron.py [--repeats 15] [--threads 2]

Same tensors, one process, the same number of threads, runs taken in turn, medians. Each candidate
runs twice and the second time counts, so that none is charged for what the one before it left in
the caches. AdaFire is timed three ways: with a new output tensor, into an existing one, and in
place, as `SpikingNetwork` runs it; `clone` is a copy into a new tensor. Its bandwidth (input read
once, output written once) is set against that of `Tensor.copy_` between the same two tensors,
which for the smaller shapes is that of the caches, and against that of a copy of 256 MiB, which
is that of the memory.
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
WAYS = ("existing", "in place")


def main() -> None:
    """Time every shape and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=None, help="default: all processors")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    ran_on = machine()
    memory = copy_bandwidth(arguments.repeats)
    rows = [bench(name, shape, arguments.repeats, memory) for name, shape in SHAPES.items()]
    show(rows)
    result = {
        "command": "python benchmarks/bench_neuron.py",
        "machine": ran_on,
        "memory copy GB/s": memory,
        "rows": rows,
    }
    save("bench_neuron", result)


def copy_bandwidth(repeats: int) -> float:
    """Bytes read and written a second, in GB, by a copy far larger than the caches."""
    source = torch.ones(1 << 26)
    target = torch.empty_like(source)
    seconds = [timed(lambda: target.copy_(source)) for _ in range(repeats)]
    return 2 * source.nbytes / statistics.median(seconds) / 1e9


def timed(run: Callable[[], object]) -> float:
    """Seconds of the second of two runs."""
    run()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@torch.no_grad()
def bench(name: str, shape: tuple[int, ...], repeats: int, memory: float) -> dict[str, float | str]:
    """All candidates on one tensor, in turn; `memory`: GB/s of a large copy."""
    torch.manual_seed(0)
    x, phi = torch.randn(shape), 4
    spare, place = torch.empty_like(x), x.clone()
    ours = AdaFire(0.7, phi, initial_potential=0.0)
    theirs = sl.IAF(spike_threshold=torch.tensor(0.7), spike_fn=MaxSpike(phi))
    if not torch.equal(ours(x), theirs(x) * 0.7):
        raise SystemExit("AdaFire and sinabs disagree: the comparison would be meaningless.")
    runs: dict[str, Callable[[], object]] = {
        "copy": lambda: spare.copy_(x),
        "clone": x.clone,
        "new": lambda: ours(x),
        "existing": lambda: ours.run(x, shape[1], out=spare),
        "in place": lambda: ours.run(place, shape[1], out=place),
        "sinabs": lambda: theirs(x),
    }
    times: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(repeats):
        for key, run in runs.items():
            place.copy_(x)
            times[key].append(timed(run))
    median = {key: statistics.median(v) for key, v in times.items()}
    gigabytes = 2 * x.nbytes / 1e9
    return {
        "shape": name,
        "MB": x.nbytes / 1e6,
        **{f"{k} ms": 1e3 * v for k, v in median.items()},
        "copy GB/s": gigabytes / median["copy"],
        **{f"part of copy, {k}": median["copy"] / median[k] for k in WAYS},
        **{f"part of memory copy, {k}": gigabytes / median[k] / memory for k in WAYS},
        **{f"speed-up, {k}": median["sinabs"] / median[k] for k in ("new", *WAYS)},
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
