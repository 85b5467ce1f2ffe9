"""The event-camera data sets as Tonic's own data-set classes, checked.

A Tonic user finds them as he knows them: items are `(structured array, target)`, `transform`,
`target_transform` and `transforms` are applied, `tonic.DiskCachedDataset` wraps them. What is ours:
nothing is downloaded (that is `datasets fetch`), a part of a set is enough, recordings come in a
fixed order, and a file that is cut off, damaged or in the wrong folder is a `DataError` that names
it, where Tonic's readers give other events or another label without a word.

Tonic is GPL-3.0: this module is imported only when such a set is opened.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.lib.recfunctions  # Tonic uses it without importing it
import numpy.typing as npt
import tonic.datasets
from tonic.dataset import Dataset

from speck_adacal.bundle.array_files import read_arrays
from speck_adacal.errors import DataError
from speck_adacal.events.field_arrays import NAMES, Shape, make_events
from speck_adacal.events.prophesee import read_dat
from speck_adacal.events.recordings import check_nmnist_bin, decoding_aedat4
from speck_adacal.events.types import Events


class CheckedSet(Dataset):
    """What the sets have in common; stands before Tonic's own class among the bases.

    Args:
        save_to: the data folder, as everywhere in Tonic.
        transform, target_transform, transforms: as everywhere in Tonic.
        settings: what else Tonic's class takes, such as `train`.

    Attributes:
        paths: the recordings' files in the order of the items.
        classes_found: names of the classes by number.
        labels: class numbers, int64 `[n]`.

    Raises:
        DataError: a file or folder is no part of the set, or there are no recordings.
    """

    data: list[Any]
    targets: list[Any]
    sensor_size: tuple[int, int, int] | None

    def __init__(
        self,
        save_to: str | Path,
        *,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        transforms: Callable[[Any, Any], Any] | None = None,
        **settings: Any,
    ) -> None:
        place = Path(save_to).expanduser() / type(self).__name__
        try:
            super().__init__(
                str(save_to),
                transform=transform,
                target_transform=target_transform,
                transforms=transforms,
                **settings,
            )
            self.paths = self._in_order()
        except (ValueError, KeyError, IndexError, OSError, EOFError) as error:
            raise DataError(
                f"In {place} is a file or folder that is no part of the set, or is damaged "
                f"({error!r}); remove it, or unpack the set again."
            ) from error
        if not self.paths:
            raise DataError(
                f"There are no recordings in {place}; fetch the set, or put it there by hand."
            )
        self.classes_found = self._class_names()
        strange = [path for path in self.paths if self._class_name(path) not in self.classes_found]
        if strange:
            raise DataError(
                f"{strange[0]} belongs to no class of {type(self).__name__}; remove it, or unpack "
                "the set again."
            )
        numbers = {name: k for k, name in enumerate(self.classes_found)}
        self.labels = np.array([numbers[self._class_name(path)] for path in self.paths], np.int64)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        values, target = self.untransformed(index)
        self._checked(index, values)
        if self.transform is not None:
            values = self.transform(values)
        if self.target_transform is not None:
            target = self.target_transform(target)
        if self.transforms is not None:
            values, target = self.transforms(values, target)
        return values, target

    def __len__(self) -> int:
        return len(self.data)

    @property
    def shape(self) -> Shape | None:
        """`(channels, height, width)`; None where recordings differ in size."""
        size = self.sensor_size
        return None if size is None else (int(size[2]), int(size[1]), int(size[0]))

    def untransformed(self, index: int) -> tuple[npt.NDArray[Any], Any]:
        """An item as Tonic's class reads it, from a file whose format was checked before.

        Raises:
            DataError: the file is damaged.
        """
        path = self.paths[index]
        self._check_file(path)
        bare = copy.copy(self)
        bare.transform = bare.target_transform = bare.transforms = None
        try:
            values, target = super(CheckedSet, bare).__getitem__(index)
        except (ValueError, IndexError, TypeError, OSError, EOFError) as error:
            raise DataError(f"{path} is damaged ({error}); unpack the set again.") from error
        return values, target

    def events(self, index: int) -> Events:
        """An item as checked events, which count from the recording's own start.

        Raises:
            DataError: the file is damaged, or its events break a rule of `Events`.
        """
        return self._checked(index, self.untransformed(index)[0]).from_own_start()

    def _checked(self, index: int, values: npt.NDArray[Any]) -> Events:
        t, x, y, p = (values[name] for name in NAMES)
        return make_events(self.paths[index], (t, x, y, p), self.shape)

    def _in_order(self) -> tuple[Path, ...]:
        """Sort the items by path (Tonic leaves some sets in the file system's order)."""
        order = sorted(range(len(self.data)), key=lambda k: Path(self.data[k]))
        self.data = [self.data[k] for k in order]
        self.targets = [self.targets[k] for k in order]
        return tuple(Path(path) for path in self.data)

    def _check_exists(self) -> bool:
        return True  # so that Tonic neither downloads nor asks for the whole set

    def _class_name(self, path: Path) -> str:
        return path.parent.name

    def _class_names(self) -> tuple[str, ...]:
        raise NotImplementedError

    def _check_file(self, path: Path) -> None:
        raise NotImplementedError


class _RowFiles(CheckedSet):
    """Sets whose recordings are `.npy` files with an event a row."""

    columns: str
    unit_us: int

    def _check_file(self, path: Path) -> None:
        """All of the values, since Tonic casts them to narrower types."""
        rows = read_arrays(path).get("", np.zeros(0))
        if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iuf":
            raise DataError(
                f"{path} has shape {rows.shape} and type {rows.dtype}; rows need 4 numbers."
            )
        values = {name: rows[:, k] for k, name in enumerate(self.columns)}
        make_events(path, tuple(values[name] for name in NAMES), self.shape)  # type: ignore[arg-type]
        largest = np.iinfo(rows.dtype).max if rows.dtype.kind in "iu" else 1 << 52
        if len(rows) and int(values["t"].max()) * self.unit_us > largest:
            raise DataError(f"{path} has times beyond what {rows.dtype} holds in µs; save wider.")


class NMNIST(CheckedSet, tonic.datasets.NMNIST):
    """N-MNIST; `first_saccade_only` and `stabilize` as in Tonic."""

    def _class_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def _check_file(self, path: Path) -> None:
        check_nmnist_bin(path)


class NCALTECH101(CheckedSet, tonic.datasets.NCALTECH101):
    """N-Caltech101; recordings differ in size, and Tonic moves each to the origin."""

    def _class_names(self) -> tuple[str, ...]:
        return tuple(sorted({path.parent.name for path in self.paths}))

    def _check_file(self, path: Path) -> None:
        check_nmnist_bin(path)


class CIFAR10DVS(CheckedSet, tonic.datasets.CIFAR10DVS):
    """CIFAR10-DVS, decoded by the package `aedat`."""

    def untransformed(self, index: int) -> tuple[npt.NDArray[Any], Any]:
        with decoding_aedat4(self.paths[index]):
            return super().untransformed(index)

    def _class_names(self) -> tuple[str, ...]:
        return tuple(tonic.datasets.CIFAR10DVS.classes)

    def _check_file(self, path: Path) -> None:
        """`decoding_aedat4` looks at it."""


class DVSGesture(_RowFiles, tonic.datasets.DVSGesture):
    """DVS128 Gesture, as it was cut to single gestures for Tonic."""

    columns, unit_us = "xypt", 1000

    def _class_name(self, path: Path) -> str:
        number = path.stem  # user01_led/3.npy is class 3
        known = number.isdecimal() and int(number) < len(self.classes)
        return str(self.classes[int(number)]) if known else number

    def _class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)


class POKERDVS(_RowFiles, tonic.datasets.POKERDVS):
    """POKER-DVS, as it was cut to 35 × 35 for Tonic, which keeps the whole set in memory."""

    columns, unit_us = "txyp", 1

    def _in_order(self) -> tuple[Path, ...]:
        folder = Path(self.location_on_system, self.folder_name)
        paths = tuple(sorted(folder.glob("*/*.npy")))
        self.data = [read_arrays(path)[""] for path in paths]
        self.targets = [self.int_classes.get(path.parent.name, -1) for path in paths]
        return paths

    def _class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)


class _NcarsFiles(Dataset):
    """N-CARS in Tonic's manner; Tonic itself does not have it. Decoded by expelliarmus."""

    sensor_size: tuple[int, int, int] | None = None
    dtype = np.dtype([("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)])
    ordering = dtype.names
    classes = ("background", "cars")

    def __init__(self, save_to: str, train: bool = True, **transforms: Any) -> None:
        super().__init__(save_to, **transforms)
        self.train = train
        part = "n-cars_train" if train else "n-cars_test"
        for folder, _, files in os.walk(self.location_on_system):
            if Path(folder).parent.name == part:
                self.data += [os.path.join(folder, file) for file in files if file[-4:] == ".dat"]
        self.targets = [self.classes.index(Path(path).parent.name) for path in self.data]

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], int]:
        fields, _ = read_dat(Path(self.data[index]))
        values = np.empty(len(fields[0]), dtype=self.dtype)
        for name, column in zip(NAMES, fields, strict=True):
            values[name] = column
        return values, self.targets[index]


class NCARS(CheckedSet, _NcarsFiles):
    """N-CARS; recordings differ in size."""

    def _class_names(self) -> tuple[str, ...]:
        return self.classes

    def _check_file(self, path: Path) -> None:
        """`read_dat` looks at it."""


SETS: dict[str, type[CheckedSet]] = {
    "nmnist": NMNIST,
    "ncaltech101": NCALTECH101,
    "cifar10dvs": CIFAR10DVS,
    "dvsgesture": DVSGesture,
    "pokerdvs": POKERDVS,
    "ncars": NCARS,
}
"""Class by the loader that a card names."""
