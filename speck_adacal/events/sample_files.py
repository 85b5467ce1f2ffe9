"""Samples from a file: images or recordings, with labels where the file has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle.array_files import read_arrays
from speck_adacal.errors import DataError
from speck_adacal.events.field_arrays import NAMES, split_recordings, structured_fields
from speck_adacal.events.labels import checked_labels
from speck_adacal.events.types import Events

_WANTED = (*NAMES, "offsets", "sensor_size", "images", "labels")


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs of a network, and their labels.

    Attributes:
        inputs: float32 images `[n, channels, height, width]`, or a list of recordings.
        labels: int64 `[n]`, or `None`.
        source: the file they come from.
    """

    inputs: npt.NDArray[np.float32] | list[Events]
    labels: npt.NDArray[np.int64] | None
    source: str

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of one sample."""
        first = self.inputs[0]
        channels, height, width = first.shape
        return (channels, height, width)

    def part(self, which: slice) -> Samples:
        """Some of the samples.

        Raises:
            DataError: none are left.
        """
        inputs = self.inputs[which]
        if len(inputs) == 0:
            raise DataError(
                f"{self.source} has {len(self)} samples, none of them in "
                f"{which.start or 0}:{which.stop if which.stop is not None else ''}; "
                "choose another range."
            )
        labels = None if self.labels is None else self.labels[which]
        return Samples(inputs, labels, self.source)


def load_samples(path: str | Path) -> Samples:
    """Read images or recordings from a NumPy file; pickled arrays are never loaded.

    Args:
        path: `.npy` images, or one recording as a structured array of `t`, `x`, `y`, `p`; or
            `.npz` with `images` (and `labels`), or with recordings: `x`, `y`, `p` (polarity or
            feature), `t` (µs) of all events on end, and `offsets` `[n + 1]` where there are
            several (and `labels`, `sensor_size` as width, height, channels, which is Tonic's
            order). 8-bit images are scaled to 0..1. A recording's times count from its own start
            (`Events.from_own_start`).

    Raises:
        DataError: the file is missing, damaged, holds neither, or what it holds breaks a rule;
            the message names the recording and the event, or the label.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    arrays = read_arrays(path, _WANTED)
    if "" in arrays:
        arrays = _named(arrays[""], path)
    if set(NAMES) <= set(arrays):
        inputs: npt.NDArray[np.float32] | list[Events] = [
            recording.from_own_start() for recording in split_recordings(arrays, path)
        ]
    elif "images" in arrays:
        inputs = _images(arrays["images"], path)
    else:
        raise DataError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing that is known'}; needed is "
            f"'images', or recordings as {', '.join(NAMES)} and offsets."
        )
    if len(inputs) == 0:
        raise DataError(f"{path} holds no samples; give a file with at least one.")
    labels = arrays.get("labels")
    if labels is not None:
        labels = checked_labels(labels, len(inputs), where=str(path), error=DataError)
    return Samples(inputs, labels, str(path))


def _named(array: npt.NDArray[Any], path: Path) -> dict[str, npt.NDArray[Any]]:
    return structured_fields(array, path) if array.dtype.names else {"images": array}


def _images(values: npt.NDArray[Any], path: Path) -> npt.NDArray[np.float32]:
    if values.dtype.kind not in "iubf":
        raise DataError(f"The images in {path} are of type {values.dtype}, needed are numbers.")
    images = values.astype(np.float32)
    if values.dtype == np.uint8:
        images /= np.float32(255)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise DataError(
            f"The images in {path} have shape {values.shape}; needed is [n, height, width] or "
            "[n, channels, height, width]."
        )
    return images
