"""Reader of the IDX format of MNIST and Fashion-MNIST (big-endian header, unsigned bytes)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError

_UBYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_BYTES = 1 << 30


def read_idx(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed.

    Args:
        path: for example `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz`.

    Returns:
        uint8 array with the dimensions that the header gives: `[images, rows, columns]` for
        images, `[images]` for labels.

    Raises:
        DataError: the file is missing, is not IDX, or is shorter or longer than its header says.

    Source: the format's description on the MNIST page (`00 00 type dimensions`, then one
    big-endian 32-bit size per dimension, then the data).
    """
    path = Path(path)
    data = _file_bytes(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UBYTE or not 1 <= data[3] <= 4:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes (it starts with {data[:4].hex(' ')!r}, "
            "expected 00 00 08 and the number of dimensions); download it again."
        )
    dimensions = data[3]
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise DataError(f"{path} ends inside its header; download it again.")
    shape = tuple(int(n) for n in np.frombuffer(data, dtype=">u4", count=dimensions, offset=4))
    expected = int(np.prod(shape, dtype=object))
    if len(data) - start != expected:
        raise DataError(
            f"{path} should hold {expected} bytes of data for its shape {shape}, found "
            f"{len(data) - start}; download it again."
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape).copy()


def _file_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
        if not compressed:
            return path.read_bytes()
        with gzip.open(path) as packed:
            data = packed.read(_LARGEST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); download it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check the path.") from error
    if len(data) > _LARGEST_BYTES:
        raise DataError(f"{path} unpacks to more than 1 GiB, which no IDX set here does.")
    return data
