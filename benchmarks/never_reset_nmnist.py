"""N-MNIST at a camera: recordings on end, never reset, on the chip twin.

    python benchmarks/never_reset_nmnist.py --real FILE.npz --network FILE.npz

Two-fold: one half of the recordings adapts the network (`adapt` as it is by default, then `front`),
the other half, on end in random order, measures it with states carried over. Then one hour of
stream, the measured half again and again in new orders, for drift. Writes
`benchmarks/results/never_reset_nmnist.json`. Everything is simulated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from speck_adacal import (
    AdaptSettings,
    ContinuousSimulation,
    Deployment,
    Events,
    FrontSettings,
    adapt,
    deploy,
    front,
    load_network,
    load_samples,
    simulate,
    with_front_point,
)

HERE = Path(__file__).resolve().parent
NETWORK = "nmnist_cnn_nir_paper"
SHAPE = (2, 34, 34)
BUDGETS = (1.1e6, 1.3e6, 1.5e6, 2.0e6)
HOUR_US = 3_600_000_000
Half = tuple[list[Events], np.ndarray]


def measured(deployment: Deployment, half: Half, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each recording is decided rightly, and its SynOps, never reset."""
    found = simulate(deployment, half[0], continuous=True, seed=seed)
    return found.decisions == half[1], found.synops


def fold(network: Any, known: Half, unseen: Half, seed: int) -> dict[str, tuple]:
    """Default adaptation, and the front's best point within each budget, on the other half."""
    started = time.perf_counter()
    settings = AdaptSettings(seed=seed)
    adapted = adapt(network, known[0][:256], input_shape=SHAPE, settings=settings,
                    labels=known[1][:256])  # fmt: skip
    found = {"adapt": measured(deploy(adapted), unseen, seed)}
    print(f"adapt: {shown(found['adapt'])}, {time.perf_counter() - started:.0f} s", flush=True)
    searched = front(adapted, *known, settings=FrontSettings(seed=seed))
    for budget in BUDGETS:
        if budget < searched.points[0].synops:
            continue
        point = searched.choose(max_synops=budget)
        name = f"front within {budget / 1e6:g} M"
        found[name] = measured(deploy(with_front_point(adapted, point)), unseen, seed)
        print(f"{name}: {shown(found[name])}, {time.perf_counter() - started:.0f} s", flush=True)
    return found


def an_hour(network: Any, known: Half, unseen: Half, seed: int) -> dict[str, float]:
    """Drift of the default network over an hour: last ten minutes against the first."""
    settings = AdaptSettings(seed=seed)
    adapted = adapt(network, known[0][:256], input_shape=SHAPE, settings=settings,
                    labels=known[1][:256])  # fmt: skip
    once = sum(recording.duration_us + 1 for recording in unseen[0])
    times = -(-HOUR_US // once)
    deployment, labels = deploy(adapted), np.tile(unseen[1], times)
    found: ContinuousSimulation = simulate(
        deployment, unseen[0] * times, continuous=True, seed=seed
    )
    drift, error = found.drift(labels)
    reaction = found.reaction_us(labels)
    return {
        "minutes": times * once / 60e6,
        "accuracy": found.accuracy(labels),
        "drift": drift,
        "drift_standard_error": error,
        "sliding_window_us": found.window_us,
        "sliding_accuracy": found.sliding_accuracy(labels),
        "reaction_us_median": float(np.median(reaction)),
        "changes_missed": float(np.isinf(reaction).mean()),
    }


def summary(right: np.ndarray, synops: np.ndarray) -> dict[str, float]:
    share = (right.sum() + 2) / (len(right) + 4)
    return {
        "recordings": len(right),
        "accuracy": float(right.mean()),
        "standard_error": float(np.sqrt(share * (1 - share) / (len(right) + 4))),
        "synops": float(synops.mean()),
    }


def shown(figures: tuple[np.ndarray, np.ndarray]) -> str:
    found = summary(*figures)
    return (
        f"{found['accuracy']:.2%} ± {found['standard_error']:.2%} at "
        f"{found['synops'] / 1e6:.2f} M SynOps"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="recorded N-MNIST, as .npz")
    parser.add_argument("--network", type=Path, required=True, help=f"weights of {NETWORK}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hour", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--results", type=Path, default=HERE / "results/never_reset_nmnist.json")
    args = parser.parse_args()
    samples, network = load_samples(args.real), load_network(args.network, NETWORK)
    labels = np.asarray(samples.labels)
    order = np.random.default_rng(args.seed).permutation(len(samples))
    halves = [
        ([samples.inputs[i] for i in part], labels[part]) for part in np.array_split(order, 2)
    ]
    folds = [fold(network, halves[k], halves[1 - k], args.seed) for k in (0, 1)]
    rows = {
        name: summary(
            *(np.concatenate(parts) for parts in zip(*(f[name] for f in folds), strict=True))
        )
        for name in folds[0]
        if name in folds[1]
    }
    data = {"grade": "simulated", "network": NETWORK, "seed": args.seed, "rows": rows}
    if args.hour:
        data["hour"] = an_hour(network, *halves, args.seed)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    for name, row in rows.items():
        print(f"| {name} | {row['accuracy']:.2%} | {row['synops'] / 1e6:.2f} M |")
    print(data.get("hour", ""))


if __name__ == "__main__":
    main()
