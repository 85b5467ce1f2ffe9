"""Unpacking of archives that may be damaged or hostile: all inside the folder, or nothing."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from speck_adacal.bundle import new_file
from speck_adacal.datasets.download import need_space
from speck_adacal.errors import DataError

_ZIP = b"PK\x03\x04"
_CHUNK = 1 << 20
_HARMLESS_BYTES, _MOST_GROWTH = 64 << 20, 100
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


def unpack_gzip(path: str | Path, target: str | Path) -> Path:
    """Unpack one gzip-compressed file.

    Raises:
        DataError: it is damaged, grows beyond what a data set does, or there is no space.
    """
    path, target = Path(path), Path(target)
    try:
        most = _most_bytes(path)
        with gzip.open(path) as source, new_file(target, force=True) as partial:
            need_space(target.parent, min(most, _MOST_GROWTH * path.stat().st_size))
            with partial.open("wb") as file:
                _copy(source, file, most, path)
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged ({error}); download it again.") from error
    except OSError as error:
        raise DataError(f"Cannot unpack {path} to {target} ({error}).") from error
    return target


def _most_bytes(path: Path) -> int:
    """What an archive may grow to: events pack well, but no data set packs a hundredfold."""
    return max(_HARMLESS_BYTES, _MOST_GROWTH * path.stat().st_size)


def _copy(source: IO[bytes] | gzip.GzipFile, file: IO[bytes], most: int, path: Path) -> int:
    """Copy at most `most` bytes, and say how many it was."""
    copied = 0
    while chunk := source.read(_CHUNK):
        copied += len(chunk)
        if copied > most:
            raise DataError(
                f"{path} grows beyond {most:,} bytes, more than {_MOST_GROWTH} times its size, as "
                "a bomb does; nothing was unpacked. Do not trust this file."
            )
        file.write(chunk)
    return copied


def unpack_archive(path: str | Path, folder: str | Path, *, strip: int = 0) -> None:
    """Unpack a zip or tar archive, and zips inside it, into a folder.

    Everything is unpacked beside the folder first and moved in when it is complete. Members that
    are no regular files or folders, or that would lie outside, refuse the archive as a whole.

    Args:
        path: the archive.
        folder: where its members go.
        strip: how many leading folders of the members' paths are dropped.

    Raises:
        DataError: the archive is damaged or hostile, or there is no space.
    """
    path, folder = Path(path), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
            staging = Path(name)
            _unpack(path, staging)
            for inner in sorted(staging.rglob("*.zip")):
                _unpack(inner, inner.parent)
                inner.unlink()
            _move_into(staging, folder, strip)
    except _DAMAGED as error:
        raise DataError(f"The archive {path} is damaged ({error}); download it again.") from error
    except (OSError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"Cannot unpack {path} to {folder} ({error}).") from error


def _unpack(path: Path, folder: Path) -> None:
    with path.open("rb") as opened:
        is_zip = opened.read(len(_ZIP)) == _ZIP  # `is_zipfile` also takes a tar that ends in one
    most = _most_bytes(path)
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            for member in members:
                kind = member.external_attr >> 28
                _check_member(path, member.filename, plain=kind in (0, 8))
            _refuse_growth(path, sum(member.file_size for member in members), most)
            need_space(folder, sum(member.file_size for member in members))
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as file:
                    _copy(source, file, member.file_size, path)
        return
    with tarfile.open(path) as tar:
        entries = []
        for entry in tar:
            if not entry.isdir():
                entries.append(entry)
                _check_member(path, entry.name, plain=entry.isreg())
            _refuse_growth(path, entry.offset_data + entry.size, most)
        need_space(folder, sum(entry.size for entry in entries))
        for entry in entries:
            target = folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            member_file = tar.extractfile(entry)
            if member_file is not None:
                with member_file, target.open("wb") as file:
                    _copy(member_file, file, entry.size, path)


def _refuse_growth(path: Path, grown: int, most: int) -> None:
    if grown > most:
        raise DataError(
            f"{path} would grow to {grown:,} bytes, more than {_MOST_GROWTH} times its size, as a "
            "bomb does; nothing was unpacked. Do not trust this file."
        )


def _check_member(path: Path, name: str, *, plain: bool) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if not plain or parts.is_absolute() or ".." in parts.parts or ":" in name or "\0" in name:
        raise DataError(
            f"The archive {path} has the member {name!r}, which is a link or lies outside the "
            "folder; nothing was unpacked. Do not trust this file."
        )


def _move_into(staging: Path, folder: Path, strip: int) -> None:
    for source in sorted(staging.rglob("*")):
        parts = source.relative_to(staging).parts[strip:]
        if source.is_file() and parts:
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
