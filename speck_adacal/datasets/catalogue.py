"""Data sets by name: list, describe, fetch, verify, and open them.

images = load_images("mnist", "test")          # static images
recordings = open_recordings("nmnist", "test")  # events, read when asked for
frames = open_tonic("nmnist", "test", transform=...)  # the same as a Tonic data set
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speck_adacal.datasets.cards import DatasetCard, card_names, load_card
from speck_adacal.datasets.cifar import TEST_BATCHES, TRAIN_BATCHES, read_cifar_bin
from speck_adacal.datasets.download import Progress
from speck_adacal.datasets.fetch import (
    Verification,
    data_folder,
    dataset_folder,
    fetch_dataset,
    verify_dataset,
)
from speck_adacal.datasets.idx import read_idx
from speck_adacal.errors import DataError
from speck_adacal.events.types import Events

if TYPE_CHECKING:
    from speck_adacal.datasets.tonic_sets import CheckedSet

_IDX_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Static images with labels.

    Attributes:
        images: uint8 `[n, channels, height, width]`.
        labels: int64 `[n]`.
        classes: class names by label.
        name: of the data set.
        split: of the data set.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    name: str
    split: str

    def __len__(self) -> int:
        return len(self.labels)

    def intensities(self) -> npt.NDArray[np.float32]:
        """Images from 0 to 1, float32."""
        return self.images.astype(np.float32) / np.float32(255)


@dataclass(frozen=True, eq=False)
class RecordingSet(Sequence[tuple[Events, int]]):
    """Event recordings with labels; each is read and checked when it is asked for.

    Attributes:
        dataset: Tonic's data set that reads them.
        classes: class names by label.
        name: of the data set.
        split: of the data set.
        chosen: which of its items these are, in order.
    """

    dataset: CheckedSet
    classes: tuple[str, ...]
    name: str
    split: str
    chosen: range = field(default_factory=lambda: range(0))

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """int64 `[n]`."""
        return self.dataset.labels[list(self.chosen)]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The recordings' files."""
        return tuple(self.dataset.paths[k] for k in self.chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return RecordingSet(
                self.dataset, self.classes, self.name, self.split, self.chosen[index]
            )
        item = self.chosen[index]
        return self.dataset.events(item), int(self.dataset.labels[item])

    def __iter__(self) -> Iterator[tuple[Events, int]]:
        for item, label in zip(self.chosen, self.labels, strict=True):
            yield self.dataset.events(item), int(label)


def list_datasets() -> tuple[DatasetCard, ...]:
    """Cards of all data sets."""
    return tuple(load_card(name) for name in card_names())


def dataset_info(name: str) -> DatasetCard:
    """The card of one data set.

    Raises:
        DataError: there is no such data set; those there are are listed.
    """
    return load_card(name)


def fetch(name: str, folder: str | Path | None = None, *, progress: Progress | None = None) -> Path:
    """Fetch a data set, or find it where it was put by hand; see `fetch_dataset`."""
    return fetch_dataset(load_card(name), folder, progress=progress)


def verify(name: str, folder: str | Path | None = None) -> Verification:
    """Check a data set on disk against its card, and the first recording of each split by
    reading it."""
    card = load_card(name)
    found = verify_dataset(card, folder)
    if not card.recordings or not found.found:
        return found
    problems = list(found.problems)
    for split in card.recordings:
        try:
            open_recordings(name, split, folder, complete=False)[0]
        except DataError as error:
            problems.append(str(error))
    return Verification(found.name, found.folder, not problems, found.found, tuple(problems))


def load_images(name: str, split: str, folder: str | Path | None = None) -> ImageSet:
    """Load a set of static images into memory.

    Args:
        name: `"mnist"`, `"fashion_mnist"` or `"cifar10"`.
        split: `"train"` or `"test"`.
        folder: the data folder; see `speck_adacal.datasets.fetch.data_folder`.

    Raises:
        DataError: the set is not of images, is not there (fetch it), or is damaged.
    """
    card = _card(name, split, "images")
    place = dataset_folder(card, folder)
    _need(card, verify_dataset(card, folder))
    if card.loader == "cifar":
        names = TRAIN_BATCHES if split == "train" else TEST_BATCHES
        parts = [read_cifar_bin(place / n) for n in names]
        images = np.concatenate([p[0] for p in parts])
        labels = np.concatenate([p[1] for p in parts])
    else:
        prefix = _IDX_PREFIX[split]
        images = read_idx(place / f"{prefix}-images-idx3-ubyte")[:, None]
        labels = read_idx(place / f"{prefix}-labels-idx1-ubyte").astype(np.int64)
    if len(images) != len(labels):
        raise DataError(f"{name} has {len(images)} images but {len(labels)} labels in {place}.")
    return ImageSet(images, labels, card.classes, name, split)


def open_recordings(
    name: str, split: str, folder: str | Path | None = None, *, complete: bool = True
) -> RecordingSet:
    """Open a set of event recordings.

    Args:
        name: for example `"nmnist"`.
        split: as on the card: `"train"` and `"test"`, or `"all"`.
        folder: the data folder; see `speck_adacal.datasets.fetch.data_folder`.
        complete: refuse a set that lacks recordings; otherwise what is there is opened.

    Raises:
        DataError: the set is not of events, is not there (fetch it), or is incomplete.
    """
    dataset = open_tonic(name, split, folder, complete=complete)
    classes = load_card(name).classes or dataset.classes_found
    return RecordingSet(dataset, classes, name, split, range(len(dataset)))


def open_tonic(
    name: str,
    split: str,
    folder: str | Path | None = None,
    *,
    complete: bool = True,
    **settings: Any,
) -> CheckedSet:
    """Open a set of event recordings as a data set of Tonic, which reads it.

    Args:
        name, split, folder, complete: as for `open_recordings`.
        settings: `transform`, `target_transform`, `transforms`, and what else Tonic's class of
            that name takes, such as `first_saccade_only` of N-MNIST.

    Returns:
        A `tonic.dataset.Dataset`: items are `(structured array, target)`, after the transforms.

    Raises:
        DataError: the set is not of events, is not there (fetch it), or is incomplete.
    """
    card = _card(name, split, "events")
    if complete:
        _need(card, verify_dataset(card, folder))
    from speck_adacal.datasets.tonic_sets import SETS

    if split != "all":
        settings["train"] = split == "train"
    return SETS[card.loader](data_folder(folder), **settings)


def _card(name: str, split: str, kind: str) -> DatasetCard:
    card = load_card(name)
    if card.kind != kind:
        raise DataError(f"The data set {name} is one of {card.kind}, asked for were {kind}.")
    if split not in card.splits:
        raise DataError(
            f"The data set {name} has no split {split!r}; it has {', '.join(card.splits)}."
        )
    return card


def _need(card: DatasetCard, found: Verification) -> None:
    if not found.complete:
        raise DataError(
            f"The data set {card.name} is not complete: {found.problems[0]}; fetch it with "
            f"`speck-adacal datasets fetch {card.name}`, or put its files there by hand."
        )
