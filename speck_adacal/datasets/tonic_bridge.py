"""Between Tonic's data sets and `Events`. Tonic is imported only when a function is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speck_adacal.datasets.cards import load_card
from speck_adacal.datasets.fetch import data_folder, verify_dataset
from speck_adacal.errors import DataError
from speck_adacal.events.recordings import make_events
from speck_adacal.events.types import Events

_CLASSES = {
    "nmnist": "NMNIST",
    "dvsgesture": "DVSGesture",
    "cifar10dvs": "CIFAR10DVS",
    "ncaltech101": "NCALTECH101",
    "pokerdvs": "POKERDVS",
}


class TonicRecordings(Sequence[tuple[Events, Any]]):
    """Any Tonic data set (without transforms) as a sequence of `(Events, target)`.

    Args:
        dataset: its items are `(structured array with t, x, y, p, target)`.
        shape: `(channels, height, width)`; by default from the set's `sensor_size`, or just
            large enough where it has none.
    """

    def __init__(self, dataset: Any, shape: tuple[int, int, int] | None = None) -> None:
        self.dataset = dataset
        size = getattr(dataset, "sensor_size", None)
        self.shape = shape or ((int(size[2]), int(size[1]), int(size[0])) if size else None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        events, target = self.dataset[index]
        where = f"item {index} of {type(self.dataset).__name__}"
        names = getattr(getattr(events, "dtype", None), "names", None) or ()
        if not {"t", "x", "y", "p"} <= set(names):
            raise DataError(
                f"{where} is no array with the fields t, x, y, p (found {names}); open the data "
                "set without transforms."
            )
        fields = tuple(np.asarray(events[n]) for n in "txyp")
        return make_events(where, fields, self.shape), target  # type: ignore[arg-type]


def open_with_tonic(name: str, split: str, folder: str | Path | None = None) -> TonicRecordings:
    """Open a data set that is on disk as Tonic's own object; never downloads.

    Args:
        name: one of the sets that Tonic has.
        split: `"train"` or `"test"`; `"all"` for sets without a split.
        folder: the data folder; see `speck_adacal.datasets.fetch.data_folder`.

    Raises:
        DataError: Tonic does not have the set, or it is not on disk.
    """
    card = load_card(name)
    if name not in _CLASSES or split not in card.splits:
        raise DataError(
            f"Tonic has no {name!r} with the split {split!r}; it has {', '.join(_CLASSES)}, "
            f"and {name} has {', '.join(card.splits)}."
        )
    if not verify_dataset(card, folder).found:
        raise DataError(f"The data set {name} is not on disk; fetch it first.")
    import numpy.lib.recfunctions  # Tonic uses it without importing it  # noqa: F401
    from tonic import datasets

    base = getattr(datasets, _CLASSES[name])
    present = type(base.__name__, (base,), {"_check_exists": lambda self: True})
    settings = {} if split == "all" else {"train": split == "train"}
    return TonicRecordings(present(save_to=str(data_folder(folder)), **settings))
