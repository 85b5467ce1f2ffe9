"""Outputs appear whole or not at all: write under a temporary name, then rename.

Temporary names say which process they belong to, so that what a killed run left behind is cleared
by the next one that writes the same output.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from speck_adacal.errors import OutputError, OutputExistsError

_PART, _OLD = ".part", ".old"


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
        _clear_leftovers(path)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=_PART, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, ours: Callable[[Path], bool], force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it takes `path`'s place when the block succeeds.

    With `force`, what stood there before is kept until the new folder is complete.

    Args:
        path: where the folder goes.
        ours: whether what stands at `path` is such an output, and so may be replaced.
        force: replace it. An empty folder is replaced, a folder of other things never.

    Raises:
        OutputExistsError: `path` exists and `force` is False, or is something else than an
            earlier output.
        OutputError: it cannot be written.
    """
    path = Path(os.path.abspath(path))
    with _named_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        refuse_foreign(path, ours, force=force)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=_PART, dir=path.parent))
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
        if error.errno is None:  # of a reader inside the block, such as of a damaged gzip file
            raise
        raise OutputError(
            f"The output {path} cannot be written ({error.strerror or error}); choose another "
            "path, or make room there."
        ) from error


def refuse_foreign(path: Path, ours: Callable[[Path], bool], *, force: bool) -> None:
    """Check that a folder may be written at `path`; see `new_folder`.

    Raises:
        OutputExistsError: something stands there that may not be replaced.
    """
    refuse_existing(path, force=force)
    if not path.exists() and not path.is_symlink():
        return
    with _named_failure(path):
        replaceable = path.is_dir() and not path.is_symlink() and path.resolve() != Path.cwd()
        if replaceable and (ours(path) or not any(path.iterdir())):
            return
    raise OutputExistsError(
        f"{path} holds something else than an earlier output of this command (or is the folder "
        "you are in), so it is not overwritten; choose another path, or remove it yourself."
    )


def _prefix(path: Path) -> str:
    return f".{path.name}.{os.getpid()}-"


def _clear_leftovers(path: Path) -> None:
    """Remove what processes that are gone left beside `path`."""
    name = re.compile(rf"\.{re.escape(path.name)}\.(\d+)-[^.]*({_PART}|{_OLD})")
    for entry in path.parent.iterdir():
        found = name.fullmatch(entry.name)
        if found is None or _alive(int(found[1])):
            continue
        if found[2] == _OLD and not path.exists() and (entry / "previous").exists():
            (entry / "previous").replace(path)  # killed between the two renames
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _take_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.replace(path)
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=_OLD, dir=path.parent))
    path.replace(old / "previous")
    temporary.replace(path)
    shutil.rmtree(old)
