"""NumPy's `.npy` and `.npz` from files that may be damaged or hostile: the one reader of the kit.

What a file declares is checked before memory is taken for it: names, compression, sizes. No
pickle is ever loaded.
"""

from __future__ import annotations

import io
import math
import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError

Array = npt.NDArray[Any]

_MOST_MEMBERS = 10_000
_LONGEST_HEADER = 10_000
# Deflate packs at most 1032 : 1. What a small file may grow to is bounded instead.
_HARMLESS_BYTES, _MOST_GROWTH = 16 << 20, 100
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP = b"PK\x03\x04"
_NPY = b"\x93NUMPY"
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AttributeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def is_array_file(path: Path) -> bool:
    """Whether a file begins as a `.npy`, or is a zip whose members are all `.npy`."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_NPY))
        if start.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            return bool(names) and all(name.endswith(".npy") for name in names)
    except _DAMAGE:
        return False
    return start == _NPY


def refuse_bomb(path: Path, *, error: type[Exception] = DataError) -> None:
    """Refuse a zip by what its directory declares.

    Args:
        path: the zip.
        error: the type raised.

    Raises:
        DataError (or `error`): the file is no zip, or would grow a hundredfold beyond 16 MiB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            grown = sum(member.file_size for member in archive.infolist())
    except _DAMAGE as problem:
        raise error(f"{path} is a damaged zip ({problem}); copy it again.") from problem
    _refuse_growth(path.stat().st_size, grown, str(path), error)


def _refuse_growth(packed: int, grown: int, shown: str, error: type[Exception]) -> None:
    if grown > max(_HARMLESS_BYTES, _MOST_GROWTH * packed):
        raise error(
            f"{shown} would grow from {packed:,} to {grown:,} bytes, more than {_MOST_GROWTH} "
            "times, as a zip bomb does; if it is yours, save it without compression."
        )


def read_arrays(
    source: Path | bytes,
    names: Collection[str] | None = None,
    *,
    called: str = "",
    error: type[Exception] = DataError,
) -> dict[str, Array]:
    """Arrays of a `.npz` by name; a `.npy` is one array under the name `""`.

    Args:
        source: the file, or its bytes.
        names: only these, where they are there; all by default.
        called: what messages call the file; by default its path.
        error: the type raised.

    Raises:
        DataError (or `error`): the file is missing, damaged, encrypted, packed by a method that
            is not read, holds pickled objects, or declares more than it holds or than is sane;
            the message names the array and the reason.
    """
    shown = called or str(source if isinstance(source, Path) else "array data")
    try:
        with (
            warnings.catch_warnings(),
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
        ):
            warnings.simplefilter("ignore")  # NumPy's remarks on old headers
            start = file.read(len(_ZIP))
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if not start.startswith(_ZIP):
                return {"": _read_npy(file, size, shown, error)}
            return _read_npz(file, size, names, shown, error)
    except error:
        raise
    except _DAMAGE as problem:
        reason = str(problem).splitlines()[0][:200] if str(problem) else type(problem).__name__
        raise error(
            f"{shown} cannot be read as NumPy's .npz or .npy ({reason}); save it again with "
            "np.savez, as plain arrays."
        ) from problem


def _read_npz(
    file: IO[bytes],
    packed: int,
    names: Collection[str] | None,
    shown: str,
    error: type[Exception],
) -> dict[str, Array]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        wanted = {
            info.filename.removesuffix(".npy"): info
            for info in infos
            if names is None or info.filename.removesuffix(".npy") in names
        }
        if len(infos) > _MOST_MEMBERS or len({info.filename for info in infos}) < len(infos):
            raise error(
                f"{shown} has {len(infos)} members, or two of one name; allowed are "
                f"{_MOST_MEMBERS} of different names; save it again with np.savez."
            )
        _refuse_growth(packed, sum(i.file_size for i in wanted.values()), shown, error)
        return {name: _member(archive, i, name, shown, error) for name, i in wanted.items()}


def _member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    name: str,
    shown: str,
    error: type[Exception],
) -> Array:
    if info.flag_bits & 1 or info.compress_type not in _METHODS:
        raise error(
            f"The array {name!r} in {shown} is encrypted or packed by method "
            f"{info.compress_type}; read are plain and deflated ones, so save it with np.savez."
        )
    with archive.open(info) as member:
        return _read_npy(member, info.file_size, f"The array {name!r} in {shown}", error)


def _read_npy(file: IO[bytes], size: int, shown: str, error: type[Exception]) -> Array:
    header, start = _header(file, shown, error)
    if header.nbytes != size - start:
        raise error(
            f"{shown} says shape {header.shape} of {header.dtype}, {header.nbytes:,} bytes, but "
            f"{size - start:,} bytes follow; it is cut off or damaged, so save it again."
        )
    file.seek(0)
    values: Array = np.lib.format.read_array(file, allow_pickle=False)
    return values


def _header(file: IO[bytes], shown: str, error: type[Exception]) -> tuple[_Header, int]:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise error(
            f"{shown} has version {version} of the .npy format, read are 1.0 and 2.0 (field "
            "names in Latin letters); save it again with such names."
        )
    shape, _, dtype = read(file, max_header_size=_LONGEST_HEADER)
    if dtype.hasobject:
        raise error(f"{shown} holds pickled objects, which are never loaded; save plain numbers.")
    if any(isinstance(n, bool) or n < 0 for n in shape) or dtype.itemsize == 0:
        raise error(f"{shown} has shape {shape} of {dtype}; save it again.")
    return _Header(tuple(shape), dtype), file.tell()
