"""Recordings of the event data sets: where they are, which label they have, how they are read.

The readers are stricter than Tonic's, which read a file that is cut off without notice; the tests
hold both to the same events on sound files. `tonic_bridge` opens the sets as Tonic's own objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speck_adacal.datasets.cards import DatasetCard
from speck_adacal.errors import DataError
from speck_adacal.events.recordings import make_events, read_recording
from speck_adacal.events.types import Events

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Recording:
    """One recording on disk.

    Attributes:
        path: its file.
        label: number of its class.
        shape: `(channels, height, width)` of the sensor; `None` where recordings differ.
        reader: turns the file into events.
    """

    path: Path
    label: int
    shape: Shape | None
    reader: Callable[[Path, Shape | None], Events]

    def read(self) -> Events:
        """Read and check the events.

        Raises:
            DataError: the file is damaged.
        """
        return self.reader(self.path, self.shape)


def list_recordings(
    card: DatasetCard, split: str, place: Path
) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """All recordings of a split in a fixed order, and the class names.

    Raises:
        DataError: there are none, or one lies in a folder that is no class.
    """
    paths = sorted(place.glob(card.recordings[split]))
    if not paths:
        raise DataError(
            f"There are no recordings {card.recordings[split]} in {place}; fetch {card.name}, or "
            "put them there by hand."
        )
    named = [_class_name(card, path) for path in paths]
    classes = card.classes or tuple(sorted(set(named)))
    numbers = {name: k for k, name in enumerate(classes)}
    wrong = [path for path, name in zip(paths, named, strict=True) if name not in numbers]
    if wrong:
        raise DataError(
            f"{wrong[0]} belongs to no class of {card.name}; remove it, or unpack the set again."
        )
    channels_first = tuple(card.shape)
    shape = channels_first if len(channels_first) == 3 else None
    reader = _READERS[card.loader]
    found = tuple(
        Recording(path, numbers[name], shape, reader)
        for path, name in zip(paths, named, strict=True)
    )
    return found, classes


def _class_name(card: DatasetCard, path: Path) -> str:
    if card.loader == "dvsgesture":  # user01_led/3.npy is class 3
        number = path.stem
        valid = number.isdigit() and int(number) < len(card.classes)
        return card.classes[int(number)] if valid else number
    return path.parent.name


def _read_file(path: Path, shape: Shape | None) -> Events:
    return read_recording(path, shape)


def _read_rows(columns: str, unit_us: int) -> Callable[[Path, Shape | None], Events]:
    """A reader of `.npy` files whose rows are events, with the given order of columns."""

    def read(path: Path, shape: Shape | None) -> Events:
        try:
            with path.open("rb") as opened:
                rows = np.lib.format.read_array(opened, allow_pickle=False)
                rest = opened.read(1)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} is no sound .npy file ({error}); unpack it again.") from error
        if rest or rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iuf":
            raise DataError(
                f"{path} has shape {rows.shape} and type {rows.dtype}; rows need 4 numbers."
            )
        if rows.dtype.kind == "f" and not np.all(np.isfinite(rows)):
            raise DataError(f"{path} has NaN or infinite values; unpack it again.")
        values = {name: rows[:, k].astype(np.int64) for k, name in enumerate(columns)}
        fields = (values["t"] * unit_us, values["x"], values["y"], values["p"])
        return make_events(path, fields, shape)

    return read


_READERS: dict[str, Callable[[Path, Shape | None], Events]] = {
    "nmnist": _read_file,
    "ncaltech101": _read_file,
    "cifar10dvs": _read_file,
    "ncars": _read_file,
    "dvsgesture": _read_rows("xypt", 1000),
    "pokerdvs": _read_rows("txyp", 1),
}
