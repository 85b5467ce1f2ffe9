"""A cache of arrays that are slow to make, keyed by what they were made from and how."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs

from speck_adacal.errors import DataError

Arrays = dict[str, npt.NDArray]


def content_key(*parts: object) -> str:
    """SHA-256 over arrays (type, shape and values), bytes, and anything with a faithful `repr`.

    Frozen dataclasses, numbers, strings, and tuples of them have one; other objects, whose
    `repr` names an address in memory, are refused.

    Raises:
        DataError: a part cannot be told from others by its `repr`.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            kind, data = f"{part.dtype.str}{part.shape}", np.ascontiguousarray(part).tobytes()
        elif isinstance(part, bytes):
            kind, data = "bytes", part
        else:
            kind, data = type(part).__qualname__, repr(part).encode()
            if b" at 0x" in data:
                raise DataError(
                    f"A cache key needs values, found {part!r}; give its settings instead."
                )
        for piece in (kind.encode(), data):
            digest.update(len(piece).to_bytes(8, "little"))
            digest.update(piece)
    return digest.hexdigest()


def cached_arrays(
    name: str,
    key: str,
    make: Callable[[], Mapping[str, npt.NDArray]],
    *,
    folder: str | Path | None = None,
) -> Arrays:
    """Arrays from the cache, or made now and kept.

    An entry appears whole or not at all, also when two processes make it at once. An entry that
    turns out to be damaged is made again.

    Args:
        name: what is cached, for people who look into the folder.
        key: from `content_key`; must cover everything that the arrays depend on.
        make: makes the arrays; called only where they are not there.
        folder: of the cache; by default `arrays` in the user's cache folder.

    Returns:
        Arrays by name, mapped from disk and read-only.

    Raises:
        DataError: the folder cannot be written.
    """
    root = Path(folder) if folder else Path(platformdirs.user_cache_dir("speck-adacal")) / "arrays"
    place = root / f"{name}-{key[:32]}"
    found = _load(place)
    if found is not None:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as temporary:
            _save(Path(temporary), make(), key)
            if place.exists():
                shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(FileExistsError):
                Path(temporary).rename(place)
                Path(temporary).mkdir()  # for the context manager to remove
    except OSError as error:
        found = _load(place)  # another process may have been faster
        if found is None:
            raise DataError(
                f"The cache {root} cannot be written ({error}); free some space, or choose "
                "another folder."
            ) from error
        return found
    found = _load(place)
    if found is None:
        raise DataError(f"The cache entry {place} cannot be read back; check the disk.")
    return found


def _save(folder: Path, arrays: Mapping[str, npt.NDArray], key: str) -> None:
    lines = [key]
    for name, values in arrays.items():
        if not name.isidentifier() or values.dtype.hasobject:
            raise DataError(f"The array {name!r} of {values.dtype} cannot be cached.")
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
        lines.append(f"{name} {(folder / f'{name}.npy').stat().st_size}")
    (folder / "entry.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _load(place: Path) -> Arrays | None:
    """The arrays of an entry; `None` where it is absent, of another key, or damaged."""
    try:
        key, *lines = (place / "entry.txt").read_text(encoding="utf-8").splitlines()
        if not place.name.endswith(f"-{key[:32]}"):
            return None
        found = {}
        for line in lines:
            name, size = line.split(" ")
            path = place / f"{name}.npy"
            if path.stat().st_size != int(size):
                return None
            found[name] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found
