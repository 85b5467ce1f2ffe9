"""CIFAR-10's binary format, and its making from the lossless images of the package mirror."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import new_file
from speck_adacal.errors import DataError

TRAIN_BATCHES = tuple(f"data_batch_{n}.bin" for n in range(1, 6))
TEST_BATCHES = ("test_batch.bin",)
_PIXELS = 3 * 32 * 32


def read_cifar_bin(path: str | Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one batch of CIFAR-10 in its binary version: a byte of label, then 3 × 32 × 32 bytes.

    Returns:
        uint8 images `[n, 3, 32, 32]`, int64 labels `[n]`.

    Raises:
        DataError: the file is missing, empty, cut off, or has labels above 9.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    if len(data) == 0 or len(data) % (_PIXELS + 1):
        raise DataError(
            f"{path} has {len(data)} bytes, which are no whole number of records of "
            f"{_PIXELS + 1}; it is cut off or no CIFAR-10 batch."
        )
    records = data.reshape(-1, _PIXELS + 1)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise DataError(f"{path} has the label {labels.max()}, allowed are 0 to 9.")
    return records[:, 1:].reshape(-1, 3, 32, 32).copy(), labels


def write_cifar_batches(folder: Path) -> None:
    """Turn the mirror's image batches (a row of pixels per picture) into the binary version.

    Raises:
        DataError: a file is missing or damaged, or the sizes do not fit.
    """
    train = _labels(folder / "train_lables.json")  # the mirror's own spelling
    test = _labels(folder / "test_lables.json")
    for name, labels in zip(TRAIN_BATCHES, np.array_split(train, 5), strict=True):
        _convert(folder, name, labels)
    _convert(folder, TEST_BATCHES[0], test)


def _labels(path: Path) -> npt.NDArray[np.uint8]:
    try:
        values = np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=np.int64)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"The labels {path} cannot be read ({error}).") from error
    if values.ndim != 1 or len(values) == 0 or values.min() < 0 or values.max() > 9:
        raise DataError(f"The labels {path} are not a list of numbers from 0 to 9.")
    return values.astype(np.uint8)


def _convert(folder: Path, name: str, labels: npt.NDArray[np.uint8]) -> None:
    from PIL import Image, ImageFile

    source = folder / name.replace(".bin", ".png")
    try:
        with source.open("rb") as file:
            parser = ImageFile.Parser()  # unlike Image.open, without a limit on its area
            while chunk := file.read(1 << 20):
                parser.feed(chunk)
            image: Image.Image = parser.close()
            rows = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{source} is missing or damaged ({error}); fetch it again.") from error
    if rows.dtype != np.uint8 or rows.shape[:2] != (len(labels), 1024) or rows.shape[2] < 3:
        raise DataError(f"{source} has shape {rows.shape}, expected ({len(labels)}, 1024, 3 or 4).")
    pixels = rows[:, :, :3].transpose(0, 2, 1).reshape(len(labels), _PIXELS)
    with new_file(folder / name, force=True) as partial:
        partial.write_bytes(np.concatenate([labels[:, None], pixels], axis=1).tobytes())
