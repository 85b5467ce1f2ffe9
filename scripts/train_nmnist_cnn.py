"""Train `nmnist_cnn` on simulated events of MNIST digits, and test it on recorded ones.

    OMP_NUM_THREADS=1 python scripts/train_nmnist_cnn.py --real FILE.npz

The events come from the camera model of `speck_adacal.events.camera` with the three saccades of
N-MNIST; no recording is trained on. `--real` names a file of recordings (`x, y, p, t, offsets,
labels, ids`, ids as in N-MNIST's training set) to test on; their digits are left out of training.
`--train-on-real` trains on these recordings instead, five times on four fifths, for comparison.
`--compare OUT.json` measures the gap: half of the recordings to train on, the other half to test
on, both ways; once with the recordings, once with simulated events of the very same digits.
`--recorded` trains on the set's 60,000 recordings and tests on its 10,000 others, where it is on
disk (`speck-adacal datasets fetch nmnist`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import platformdirs
import torch
from joblib import Memory
from mnist_data import mnist_arrays
from train_common import Batch, Plan, accuracy, command_line, default_device, fit, write_card

from speck_adacal.ann.architectures import nmnist_cnn
from speck_adacal.ann.checkpoint import load_network, save_checkpoint
from speck_adacal.datasets.camera_sets import Spread, simulated_recordings
from speck_adacal.datasets.catalogue import RecordingSet, open_recordings
from speck_adacal.events.camera import CAMERA_MODEL, NMNIST_CAMERA
from speck_adacal.events.motion import NMNIST_SACCADES
from speck_adacal.events.types import Events
from speck_adacal.resources import resource_path

_BINS = 9  # three for each saccade
CAMERA_FIT_RECORDINGS = 40  # the camera's settings were fitted to the first ones


def binned(recordings: Iterator[Events], count: int) -> np.ndarray:
    """Event counts, uint8 `[count, 9, 2, 34, 34]`, in bins of 35 ms."""
    frames = np.zeros((count, _BINS, 2, 34, 34), dtype=np.uint8)
    started = time.perf_counter()
    for k, events in enumerate(recordings):
        step = np.minimum(events.t_us // 35_000, _BINS - 1)
        np.add.at(frames[k], (step, events.channel, events.y, events.x), 1)
        if k % 5000 == 4999:
            print(f"{k + 1} recordings, {time.perf_counter() - started:.0f} s", flush=True)
    return frames


def real_recordings(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Binned counts, labels, and 0-based indices in MNIST's training set."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        x, y, p, t, offsets = (file[k] for k in ("x", "y", "p", "t", "offsets"))
        labels, ids = file["labels"], file["ids"].astype(np.int64) - 1

    def each() -> Iterator[Events]:
        for start, stop in pairwise(offsets):
            part = slice(start, stop)
            yield Events(t[part], x[part], y[part], p[part].astype(np.int16), (2, 34, 34))

    return binned(each(), len(labels)), labels, ids


def simulated_frames(digits: np.ndarray, seed: int) -> np.ndarray:
    """Binned counts of simulated recordings, from the cache where they were made before."""
    how = (CAMERA_MODEL, NMNIST_CAMERA, NMNIST_SACCADES, Spread(), _BINS)
    return _cache().cache(_simulated, ignore=["spread"])(digits, seed, repr(how), spread=Spread())


def _simulated(digits: np.ndarray, seed: int, how: str, *, spread: Spread) -> np.ndarray:
    """`how` is everything else that the counts depend on, for the cache."""
    images = digits.astype(np.float32) / 255
    return binned(simulated_recordings(images, spread=spread, seed=seed), len(images))


def _cache() -> Memory:
    return Memory(platformdirs.user_cache_dir("speck-adacal"), verbose=0)


def window_batches(
    frames: np.ndarray, labels: np.ndarray, batch: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Batches over a random stretch of time each (3 to 9 bins), as mean counts per bin."""
    order = rng.permutation(len(frames))
    for start in range(0, len(order) - batch + 1, batch):
        index = np.sort(order[start : start + batch])
        length = int(rng.integers(3, _BINS + 1))
        first = int(rng.integers(0, _BINS - length + 1))
        x = frames[index, first : first + length].sum(axis=1, dtype=np.float32) / length
        yield torch.from_numpy(x), torch.from_numpy(labels[index].astype(np.int64))


def train(frames: np.ndarray, labels: np.ndarray, args: argparse.Namespace) -> torch.nn.Sequential:
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    net = nmnist_cnn()
    plan = Plan(args.epochs, len(frames) // args.batch, args.lr, args.activity, args.device)
    fit(net, lambda: window_batches(frames, labels, args.batch, rng), plan)
    return net


def mean_counts(frames: np.ndarray, bins: slice = slice(None)) -> np.ndarray:
    return frames[:, bins].mean(axis=1, dtype=np.float32)


def train_on_real(frames: np.ndarray, labels: np.ndarray, args: argparse.Namespace) -> None:
    """Cross-validation on the recordings, for comparison."""
    fold = np.arange(len(labels)) % 5
    right = 0.0
    for k in range(5):
        net = train(frames[fold != k], labels[fold != k], args)
        right += accuracy(net, mean_counts(frames[fold == k]), labels[fold == k])
    print(
        f"trained on real, five-fold: {right / 5:.4f} ({np.mean(fold != 0):.0%} of {len(labels)})"
    )


def compare(args: argparse.Namespace) -> None:
    """The gap between training on simulated and on recorded events of the same digits."""
    real, labels, ids = real_recordings(args.real)
    digits = mnist_arrays(args.data).train_images[ids]
    simulated = simulated_frames(digits, args.seed)
    half = np.random.default_rng(args.seed).permutation(len(labels)) % 2
    started = time.perf_counter()
    right: dict[str, list[float]] = {"recorded": [], "simulated": []}
    for k in (0, 1):
        seen, tested = half != k, half == k
        for name, frames in (("recorded", real), ("simulated", simulated)):
            net = train(frames[seen], labels[seen], args)
            right[name].append(accuracy(net, mean_counts(real[tested]), labels[tested]))
    shipped = load_network(resource_path("datasets", "nmnist_cnn.safetensors"))
    found = {
        "command": "python scripts/train_nmnist_cnn.py --real FILE.npz --compare OUT.json "
        f"--epochs {args.epochs}",
        "recordings": len(labels),
        "epochs": args.epochs,
        "seed": args.seed,
        "trained_on_recorded_half": float(np.mean(right["recorded"])),
        "trained_on_simulated_half": float(np.mean(right["simulated"])),
        "shipped_trained_on_simulated_30000": accuracy(shipped, mean_counts(real), labels),
        "seconds": round(time.perf_counter() - started),
    }
    args.compare.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def counts_of(recordings: RecordingSet) -> tuple[np.ndarray, np.ndarray]:
    """Binned counts and labels of a set on disk, from the cache where they were made before."""
    files = tuple((path.name, path.stat().st_size) for path in recordings.paths)
    counted = _cache().cache(_counted, ignore=["recordings"])
    return counted(recordings.split, files, _BINS, recordings=recordings), recordings.labels


def _counted(
    split: str, files: tuple[tuple[str, int], ...], bins: int, *, recordings: RecordingSet
) -> np.ndarray:
    """The first arguments say what the counts depend on, for the cache."""
    return binned((events for events, _ in recordings), len(recordings))


def train_on_set(args: argparse.Namespace) -> None:
    """Train on the recordings of the whole set."""
    parts = {
        split: counts_of(open_recordings("nmnist", split, args.folder, complete=not args.partial))
        for split in ("train", "test")
    }
    started = time.perf_counter()
    net = train(*parts["train"], args)
    seconds = time.perf_counter() - started
    frames, labels = parts["test"]
    metadata = {
        "dataset": f"{len(parts['train'][1])} recordings of N-MNIST",
        "test_accuracy": f"{accuracy(net, mean_counts(frames), labels):.4f} of {len(labels)}",
    }
    write(net, args, "Digits seen by an event camera; trained on recordings.", metadata, seconds)


def train_simulated(args: argparse.Namespace) -> None:
    """Train on simulated events and, where there are recordings, test on them."""
    real = real_recordings(args.real) if args.real else None
    data = mnist_arrays(args.data)
    left_out = real[2] if real else np.arange(1000)
    usable = np.setdiff1d(np.arange(len(data.train_labels)), left_out)
    chosen = np.sort(np.random.default_rng(args.seed).permutation(usable)[: args.digits])
    started = time.perf_counter()
    frames = simulated_frames(data.train_images[chosen], args.seed)
    net = train(frames, data.train_labels[chosen], args)
    seconds = time.perf_counter() - started
    metadata = {"dataset": f"simulated events of {len(chosen)} MNIST training digits"}
    if real:
        metadata |= accuracies(net, *real)
    title = "Digits seen by an event camera; trained on simulated events alone."
    write(net, args, title, metadata, seconds)


def accuracies(
    net: torch.nn.Module, frames: np.ndarray, labels: np.ndarray, ids: np.ndarray
) -> dict[str, str]:
    """On recordings: all, those not used for the camera's settings, and one saccade alone."""
    unseen = ids >= CAMERA_FIT_RECORDINGS
    whole = accuracy(net, mean_counts(frames), labels)
    others = accuracy(net, mean_counts(frames[unseen]), labels[unseen])
    first = accuracy(net, mean_counts(frames, slice(0, 3)), labels)
    return {
        "accuracy_real_recordings": f"{whole:.4f} of {len(unseen)}",
        "accuracy_real_not_used_for_camera_fit": f"{others:.4f} of {unseen.sum()}",
        "accuracy_real_first_saccade": f"{first:.4f} of {len(unseen)}",
    }


def write(
    net: torch.nn.Module,
    args: argparse.Namespace,
    title: str,
    found: dict[str, str],
    seconds: float,
) -> None:
    """Checkpoint and card."""
    metadata = {
        "arch": "nmnist_cnn",
        **found,
        "seed": str(args.seed),
        "command": command_line(),
        "torch": torch.__version__.split("+")[0],
        "license": "Apache-2.0",
    }
    save_checkpoint(net, args.out, metadata)
    rows = {**metadata, "command": f"`{metadata['command']}`", "time": f"{seconds:.0f} s"}
    write_card(args.out, title, rows)
    print("\n".join(f"{key}: {value}" for key, value in metadata.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with MNIST's four IDX files")
    parser.add_argument("--real", type=Path, help="recordings to test on")
    parser.add_argument("--train-on-real", action="store_true")
    parser.add_argument("--compare", type=Path, help="the JSON to write of the comparison")
    parser.add_argument("--recorded", action="store_true", help="train on the set on disk")
    parser.add_argument("--folder", type=Path, help="data folder, for --recorded")
    parser.add_argument("--partial", action="store_true", help="take an incomplete set as it is")
    parser.add_argument("--out", type=Path, default=Path("datasets/nmnist_cnn.safetensors"))
    parser.add_argument("--digits", type=int, default=20_000, help="how many are simulated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--activity", type=float, default=0.01)
    parser.add_argument("--device", default=default_device())
    args = parser.parse_args()
    if (args.train_on_real or args.compare) and not args.real:
        parser.error("--train-on-real and --compare need --real")
    if args.compare:
        compare(args)
    elif args.train_on_real:
        frames, labels, _ = real_recordings(args.real)
        train_on_real(frames, labels, args)
    elif args.recorded:
        train_on_set(args)
    else:
        train_simulated(args)


if __name__ == "__main__":
    main()
