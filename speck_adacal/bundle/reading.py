"""The members of a bundle as bytes, from a folder or a zip that may be hostile."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from speck_adacal.errors import BundleError

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LARGEST_BYTES = 1 << 30
_MOST_MEMBERS = 1000
# Deflate packs at most 1032 : 1, and constant maps come near it; what a small file may grow to is
# bounded instead.
_HARMLESS_BYTES, _MOST_GROWTH = 64 << 20, 100


def read_members(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """Bytes of the named members that are there; nothing else is read.

    Raises:
        BundleError: there is no bundle, or it is not safe to read: the message names the member.
    """
    if path.is_dir():
        try:
            return _read_folder(path, names)
        except (OSError, MemoryError) as error:
            raise BundleError(f"The bundle {path} cannot be read: {error}.") from error
    if path.is_file():
        return _read_zip(path, names)
    raise BundleError(f"There is no bundle at {path}; give the folder or zip made by `deploy`.")


def _read_folder(path: Path, names: Collection[str]) -> dict[str, bytes]:
    members = {}
    total = 0
    for name in names:
        file = path / name
        if file.is_symlink():
            raise BundleError(f"{file} is a link, which no bundle holds; copy the file itself.")
        if file.is_file():
            total += file.stat().st_size
            if total > _LARGEST_BYTES:
                raise BundleError(f"The bundle {path} is larger than 1 GiB ({name}); refused.")
            members[name] = file.read_bytes()
    return members


def _read_zip(path: Path, names: Collection[str]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(archive, path)
            members: dict[str, bytes] = {}
            for info in archive.infolist():
                _refuse_unsafe(info, members, path)
                members[info.filename] = archive.read(info) if info.filename in names else b""
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError),
        *(NotImplementedError, MemoryError, OverflowError),
    ) as error:
        raise BundleError(f"{path} is not a sound zip: {error}; copy or make it again.") from error
    return {name: data for name, data in members.items() if name in names}


def _refuse_unsafe(info: zipfile.ZipInfo, members: dict[str, bytes], path: Path) -> None:
    # Python cuts names at a NUL byte; what stood behind it is in the original name.
    if not PLAIN_NAME.fullmatch(info.orig_filename):
        raise BundleError(
            f"The zip {path} has an unsafe member name {info.orig_filename!r}; refused."
        )
    if info.filename in members:
        raise BundleError(f"The zip {path} has {info.filename!r} twice; refused.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BundleError(f"{info.filename} in {path} is a link, which no bundle holds; refused.")


def _refuse_bomb(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse by what the directory declares: reading stops at a member's declared size."""
    infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    if len(infos) > _MOST_MEMBERS or total > _LARGEST_BYTES:
        raise BundleError(
            f"The zip {path} holds {len(infos)} members of {total:,} bytes; allowed are "
            f"{_MOST_MEMBERS} and 1 GiB; refused."
        )
    packed = path.stat().st_size
    if total > max(_HARMLESS_BYTES, _MOST_GROWTH * packed):
        raise BundleError(
            f"The zip {path} would grow from {packed:,} to {total:,} bytes, more than "
            f"{_MOST_GROWTH} times, as a zip bomb does; refused."
        )
