"""Unpacking of archives that may be damaged or hostile: all inside the folder, or nothing."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from speck_adacal.datasets.download import need_space
from speck_adacal.errors import DataError

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


def unpack_gzip(path: str | Path, target: str | Path) -> Path:
    """Unpack one gzip-compressed file.

    Raises:
        DataError: it is damaged, or there is no space.
    """
    path, target = Path(path), Path(target)
    partial = target.with_name(target.name + ".part")
    try:
        with gzip.open(path) as source, partial.open("wb") as file:
            shutil.copyfileobj(source, file)
        partial.replace(target)
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged ({error}); download it again.") from error
    except OSError as error:
        raise DataError(f"Cannot unpack {path} to {target} ({error}).") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


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
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            for member in members:
                kind = member.external_attr >> 28
                _check_member(path, member.filename, plain=kind in (0, 8))
            need_space(folder, sum(member.file_size for member in members))
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
        return
    with tarfile.open(path) as tar:
        entries = [m for m in tar.getmembers() if not m.isdir()]
        for entry in entries:
            _check_member(path, entry.name, plain=entry.isreg())
        need_space(folder, sum(entry.size for entry in entries))
        for entry in entries:
            target = folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            opened = tar.extractfile(entry)
            if opened is not None:
                with opened, target.open("wb") as file:
                    shutil.copyfileobj(opened, file)


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
