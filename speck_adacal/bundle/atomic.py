"""Outputs appear whole or not at all: write under a temporary name, then rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speck_adacal.errors import OutputError, OutputExistsError


def refuse_existing(path: Path, *, force: bool) -> None:
    """Check that `path` may be written.

    Raises:
        OutputExistsError: it exists and `force` is False.
    """
    if path.exists() and not force:
        raise OutputExistsError(
            f"The output {path} already exists and is left as it is; "
            "choose another path, or overwrite it with --force (force=True)."
        )


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes `path`'s place when the block succeeds.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
        OutputError: it cannot be written.
    """
    refuse_existing(path, force=force)
    with _named_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it takes `path`'s place when the block succeeds.

    With `force`, what stood there before is kept until the new folder is complete.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
        OutputError: it cannot be written.
    """
    refuse_existing(path, force=force)
    with _named_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            _take_place(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _named_failure(path: Path) -> Iterator[None]:
    """A failure to write, as a typed error that names the output."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The output {path} cannot be written ({error.strerror or error}); choose another "
            "path, or make room there."
        ) from error


def _take_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.replace(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    path.replace(old / "previous")
    temporary.replace(path)
    shutil.rmtree(old)
