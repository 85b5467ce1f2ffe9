"""The twin beside public event-driven simulators: `python benchmarks/compare_simulators.py`.

The second layer of sinabs' MNIST network at T = 100, the same synapses and the same input spikes
for all, one thread each. NEST and Brian 2 are installed from PyPI into an environment of their own
under `--environments` (a folder, kept between runs). They are general simulators with float64
states that sum a time step's spikes before they compare, so their spike counts differ a little
from the twin's; the neuron returns to zero in all three because NEST's does. SynOps are counted
alike: input spikes times their synapses. Dense PyTorch, one convolution a time step, runs beside
them. CPU seconds of one thread; writes `benchmarks/results/compare_simulators.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench_twin import (
    DEFAULT_DATA,
    best_s,
    digit_events,
    load,
    mnist_layers,
    recordings_of,
    save,
)

from speck_adacal.events.types import Events
from speck_adacal.twin import ChipProgram, Twin

PEERS = {
    "nest_layer.py": ["nest-simulator==3.10.0"],
    "brian2_layer.py": ["brian2==2.9.0", "numpy<2.4", "cython", "setuptools<81"],
}
STEPS_PER_MS = 10


def layer_input(data, recordings) -> tuple[ChipProgram, Events]:
    """The second layer, and what reaches it: at most one spike an input neuron and 0.1 ms."""
    both, second, _ = mnist_layers(data)
    spikes = Twin(both).run(digit_events(recordings, 100), entry=0).spikes[0]
    y, x, c = spikes.y // 2, spikes.x // 2, spikes.channel
    neuron = (c.astype(np.int64) * 12 + y) * 12 + x
    step = (spikes.t_us // 1000).astype(np.int64) * STEPS_PER_MS
    used: set[tuple[int, int]] = set()
    for i, index in enumerate(neuron.tolist()):  # the next free step of this neuron
        while (index, int(step[i])) in used:
            step[i] += 1
        used.add((index, int(step[i])))
    order = np.argsort(step, kind="stable")
    t_us = step[order] * (1000 // STEPS_PER_MS)
    events = Events(t_us, x[order], y[order], c[order], (20, 12, 12), int(t_us.max()) + 100)
    core = replace(second.cores[3], return_to_zero=True)
    return replace(second, cores={3: core}), events


def synapses(program: ChipProgram) -> dict[str, np.ndarray]:
    """Every synapse of the layer (stride 1, no padding): source, target, weight."""
    core = program.cores[3]
    (out, inside, kernel, _), (_, rows, columns) = core.weights.shape, core.out_shape
    o, c, ky, kx, y, x = np.indices((out, inside, kernel, kernel, rows, columns)).reshape(6, -1)
    _, height, width = core.in_shape
    return {
        "source": (c * height + y + ky) * width + x + kx,
        "target": (o * rows + y) * columns + x,
        "weight": core.weights[o, c, ky, kx].astype(np.int64),
    }


def run_peer(script: str, environments: Path, data: Path) -> dict[str, object] | str:
    """A peer's figures, or why there are none."""
    folder = environments / Path(script).stem
    python = folder / "bin" / "python"
    try:
        if not python.is_file():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", *PEERS[script]]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
        path = Path(__file__).parent / "peers" / script
        done = subprocess.run(
            [str(python), str(path), str(data)], check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as error:
        return (error.stderr or str(error)).strip().splitlines()[-1]
    except subprocess.TimeoutExpired:
        return "did not install within ten minutes"
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_dense(program: ChipProgram, events: Events) -> dict[str, object]:
    """The layer as one dense convolution a time step, float32, in PyTorch on one thread."""
    import torch
    from torch.nn.functional import conv2d

    torch.set_num_threads(1)
    core = program.cores[3]
    weights = torch.tensor(core.weights, dtype=torch.float32)
    step_us = 1000 // STEPS_PER_MS
    steps = -(-events.duration_us // step_us)
    frames = torch.tensor(events.to_frames(steps))
    state, spikes = torch.zeros(1, *core.out_shape), 0
    start = time.thread_time()
    with torch.no_grad():
        for frame in frames:
            state = (state + conv2d(frame[None], weights)).clamp_(min=core.threshold_low)
            fired = state >= core.threshold_high
            state.masked_fill_(fired, 0)
            spikes += int(fired.sum())
    seconds = time.thread_time() - start
    return {
        "simulator": f"PyTorch {torch.__version__} (dense, {steps} steps)",
        "cpu_s": seconds,
        "spikes": spikes,
        "build_s": 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--environments", type=Path, default=Path("out") / "peers")
    arguments = parser.parse_args()
    environments = arguments.environments.resolve()
    recordings = recordings_of(load(arguments.data, "nmnist_train1000"))
    program, events = layer_input(load(arguments.data, "mnist_cnn_sinabs"), recordings)
    twin = Twin(program)
    run = twin.run(events)
    seconds = best_s(lambda: twin.run(events))
    spikes = int(run.spikes_per_core.sum())
    print(
        f"twin: {run.synops / seconds / 1e6:.0f} M SynOps/s ({run.synops} SynOps, {spikes} spikes)"
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "layer.npz"
        core = program.cores[3]
        np.savez(
            data,
            **synapses(program),
            neuron=(events.channel.astype(np.int64) * 12 + events.y) * 12 + events.x,
            step=events.t_us // (1000 // STEPS_PER_MS),
            steps=events.duration_us // (1000 // STEPS_PER_MS),
            inputs=20 * 12 * 12,
            outputs=int(np.prod(core.out_shape)),
            threshold=core.threshold_high,
            low=core.threshold_low,
        )
        found = [run_peer(script, environments, data) for script in PEERS]
    found.append(run_dense(program, events))
    rows: list[dict[str, object]] = [{"simulator": "twin", "cpu_s": seconds, "spikes": spikes}]
    for peer in found:
        if isinstance(peer, str):
            print(f"no figure: {peer}")
            continue
        rows.append(peer)
        print(
            f"{peer['simulator']}: {run.synops / peer['cpu_s'] / 1e6:.0f} M SynOps/s, the twin is "
            f"{peer['cpu_s'] / seconds:.0f} x faster ({peer['spikes']} spikes, "
            f"{peer['build_s']:.1f} s to build)"
        )
    for row in rows:
        row["synops_per_s"] = run.synops / float(str(row["cpu_s"]))
    save("compare_simulators", {"synops": run.synops, "events": len(events), "simulators": rows})


if __name__ == "__main__":
    main()
