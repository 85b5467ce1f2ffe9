"""Reads damaged files one after another, and says on stdout what was not as it should be.

    python reading.py FOLDER FIRST LAST

Run in a process of its own, so that its memory is that of the readers. Prints JSON: the faults,
how many files were refused, and by how many MB the readers raised the process's memory.
"""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hostile_files import damaged, sound_files

from speck_adacal import load
from speck_adacal.adaptation.finished_work import FinishedWork
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import read_bundle, write_bundle
from speck_adacal.bundles.known_answers import KNOWN_ANSWERS
from speck_adacal.bundles.verify import verify_bundle
from speck_adacal.datasets.cifar import read_cifar_bin
from speck_adacal.datasets.idx import read_idx
from speck_adacal.datasets.unpack import unpack_archive
from speck_adacal.errors import SpeckAdacalError
from speck_adacal.events.recordings import read_recording
from speck_adacal.events.sample_files import load_samples

_SECONDS = 10


def read(name: str, path: Path, members: dict[str, bytes]) -> None:
    """Read a file as a user would, by the name that says its format."""
    if name.startswith("bundle/"):
        _bundle(name.removeprefix("bundle/"), path, members)
    elif name.startswith("weights."):
        load_network(path, "digits_cnn")
    elif name == "model.nir":
        load_network(path)
    elif name == "work.npz":
        FinishedWork(path.parent).get("work")
    elif name == "idx.gz":
        read_idx(path)
    elif name == "cifar.batch":
        read_cifar_bin(path)
    elif name.startswith("set."):
        unpack_archive(path, path.parent / "unpacked")
    elif name in ("images.npz", "recordings.npz", "events.npy"):
        load_samples(path)
    else:
        read_recording(path).from_own_start().to_frames(8)


def _bundle(member: str, path: Path, members: dict[str, bytes]) -> None:
    """A bundle with one damaged member, whose hash is right: what a program with a fault writes."""
    changed = {**members, member: path.read_bytes()}
    folder = path.parent / "bundle"
    write_bundle(folder, changed, kind="deployment", seed=0, command="test")
    load(folder)
    if member == KNOWN_ANSWERS:
        verify_bundle(read_bundle(folder))


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"longer than {_SECONDS} s")


def one(seed: int, sound: dict[str, bytes], folder: Path) -> tuple[str, str]:
    """The name of the damaged file, and the fault (empty: none; "refused": as it should be)."""
    rng = np.random.default_rng(seed)
    name = sorted(sound)[seed % len(sound)]
    place = folder / f"case{seed}"
    place.mkdir()
    path = place / name.replace("bundle/", "member_")
    path.write_bytes(damaged(name, sound[name], rng))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    members = {n.removeprefix("bundle/"): d for n, d in sound.items() if n.startswith("bundle/")}
    signal.alarm(_SECONDS)
    try:
        read(name, path, members)
        fault = ""
    except SpeckAdacalError:
        fault = "refused"
    except BaseException:  # what is looked for  # noqa: BLE001
        fault = traceback.format_exc()[-1500:]
    finally:
        signal.alarm(0)
    left = [
        p.name for p in place.rglob("*") if p.name.endswith((".part", ".old")) or p.name[0] == "."
    ]
    if left or hashlib.sha256(path.read_bytes()).hexdigest() != before:
        fault = f"left behind or changed: {left}"
    return name, fault


def main() -> None:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    sound = sound_files(folder)
    for k, name in enumerate(sorted(sound)):  # sound files are read, and libraries loaded
        place = folder / f"sound{k}"
        place.mkdir()
        path = place / name.replace("bundle/", "member_")
        path.write_bytes(sound[name])
        members = {n[7:]: d for n, d in sound.items() if n.startswith("bundle/")}
        read(name, path, members)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    faults, refused = {}, 0
    for seed in range(first, last):
        name, fault = one(seed, sound, folder)
        refused += fault == "refused"
        if fault not in ("", "refused"):
            faults[f"{seed} {name}"] = fault
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) >> 10
    sys.stdout.write(json.dumps({"faults": faults, "refused": refused, "grown_mb": grown}))


main()
