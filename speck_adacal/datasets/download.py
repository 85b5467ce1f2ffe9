"""Downloads that resume, check what they got, and leave no half-written file under its name."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from speck_adacal.errors import DataError

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes there are, and the bytes in all (0: unknown)."""

_CHUNK = 1 << 18
_TIMEOUT_S = 30
_TRIES = 4


def download(
    url: str, target: str | Path, *, md5: str = "", progress: Progress | None = None
) -> Path:
    """Download a file; an earlier attempt that was cut off is continued.

    Bytes go to `target` with `.part` added, which is renamed when it is complete. A connection
    that breaks is taken up again where it broke, up to three times.

    Args:
        url: `http`, `https` or `ftp` address.
        target: where the file goes; its folder is made.
        md5: expected checksum, in hexadecimal; not checked where empty.
        progress: told how far it is.

    Raises:
        DataError: the server cannot be reached or refuses, the disk is full, or the file does
            not match its size or checksum.
    """
    target = Path(target)
    if not url.startswith(("http://", "https://", "ftp://")):
        raise DataError(f"The address {url} is not http, https or ftp.")
    partial = target.with_name(target.name + ".part")
    reason = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            reason = _attempt(url, partial, progress)
            if not reason:
                break
    except OSError as error:
        raise DataError(f"Cannot write {partial} ({error}); free some space.") from error
    if reason:
        raise DataError(f"{url} could not be downloaded ({reason}).")
    found = file_digest(partial, "md5") if md5 else ""
    if found != md5.lower():
        partial.unlink()
        raise DataError(
            f"The file from {url} has MD5 {found} instead of {md5}; it was deleted, as it is "
            "damaged or has been changed by its publisher."
        )
    partial.replace(target)
    return target


def file_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Checksum of a file, in hexadecimal."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def need_space(folder: Path, count: int) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        DataError: fewer than `count` bytes and a small reserve are free.
    """
    free = shutil.disk_usage(folder).free
    if free < count + (16 << 20):
        raise DataError(
            f"{folder} has {free >> 20} MiB free, needed are {(count >> 20) + 16} MiB; free some "
            "space or choose another data folder."
        )


def _attempt(url: str, partial: Path, progress: Progress | None) -> str:
    """One try; returns why it broke off, or an empty text."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "speck-adacal"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return _receive(answer, partial, have, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing left, or the file has changed: begin again
            partial.unlink(missing_ok=True)
        return f"HTTP {error.code} {error.reason}"
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    except ConnectionError as error:
        return str(error) or type(error).__name__


def _receive(
    answer: http.client.HTTPResponse, partial: Path, have: int, progress: Progress | None
) -> str:
    if getattr(answer, "status", 200) != 206:
        have = 0  # the server sends the whole file
    left = int(answer.headers.get("Content-Length") or 0)
    total = have + left if left else 0
    need_space(partial.parent, left)
    with partial.open("ab" if have else "wb") as file:
        while True:
            try:
                chunk = answer.read(_CHUNK)
            except OSError as error:  # of the connection, not of the disk
                return str(error) or type(error).__name__
            if not chunk:
                break
            file.write(chunk)
            have += len(chunk)
            if progress is not None:
                progress(partial.name.removesuffix(".part"), have, total)
    return f"it ended after {have} of {total} bytes" if total and have < total else ""
