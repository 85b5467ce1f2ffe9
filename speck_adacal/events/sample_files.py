"""Samples from a file: images or recordings, with labels where the file has them."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError
from speck_adacal.events.types import Events

_RECORDING = ("x", "y", "p", "t", "offsets")


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
        path: `.npy` images; or `.npz` with `images` (and `labels`), or with recordings: `x`, `y`,
            `p` (polarity or feature), `t` (µs) of all events on end, and `offsets` `[n + 1]`
            (and `labels`, `sensor_size` as width, height, channels, which is Tonic's order).
            8-bit images are scaled to 0..1.

    Raises:
        DataError: the file is missing, damaged, or holds neither.
        EventError: a recording breaks the rules of `Events`.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    labels = arrays.get("labels")
    if set(_RECORDING) <= set(arrays):
        inputs: npt.NDArray[np.float32] | list[Events] = _recordings(arrays, path)
    elif "images" in arrays:
        inputs = _images(arrays["images"], path)
    else:
        raise DataError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; needed is 'images', or "
            f"recordings as {', '.join(_RECORDING)}."
        )
    if len(inputs) == 0:
        raise DataError(f"{path} holds no samples; give a file with at least one.")
    if labels is not None and len(labels) != len(inputs):
        raise DataError(f"{path} has {len(inputs)} samples but {len(labels)} labels.")
    return Samples(inputs, None if labels is None else labels.astype(np.int64), str(path))


def _read_arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"images": loaded}
        with loaded:
            wanted = {*_RECORDING, "images", "labels", "sensor_size"}
            return {name: loaded[name] for name in loaded.files if name in wanted}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} is not a sound NumPy file, or holds pickled objects, which are never loaded; "
            "give a .npy or .npz of plain arrays."
        ) from error


def _images(values: npt.NDArray[np.generic], path: Path) -> npt.NDArray[np.float32]:
    images = values.astype(np.float32)
    if values.dtype == np.uint8:
        images /= np.float32(255)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
        raise DataError(
            f"The images in {path} have shape {values.shape}; needed is [n, height, width] or "
            "[n, channels, height, width]."
        )
    return images


def _recordings(arrays: dict[str, npt.NDArray[np.generic]], path: Path) -> list[Events]:
    offsets = arrays["offsets"].astype(np.int64)
    count = len(arrays["t"])
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != count or np.any(np.diff(offsets) < 0):
        raise DataError(
            f"The offsets in {path} must rise from 0 to the number of events, {count}; "
            "they say where each recording begins and the last one ends."
        )
    shape = _sensor_shape(arrays)
    return [
        Events(
            t_us=arrays["t"][start:stop].astype(np.int64),
            x=arrays["x"][start:stop].astype(np.int16),
            y=arrays["y"][start:stop].astype(np.int16),
            channel=arrays["p"][start:stop].astype(np.int16),
            shape=shape,
        )
        for start, stop in pairwise(offsets)
    ]


def _sensor_shape(arrays: dict[str, npt.NDArray[np.generic]]) -> tuple[int, int, int]:
    size = arrays.get("sensor_size")
    if size is not None and len(size) == 3:
        return (int(size[2]), int(size[1]), int(size[0]))
    largest = [int(arrays[k].max(initial=0)) + 1 for k in ("p", "y", "x")]
    return (max(2, largest[0]), largest[1], largest[2])
