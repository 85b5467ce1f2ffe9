"""Which samna a process uses: the vendor's library if it is installed, otherwise the virtual one.

PyPI's package `samna` is an installer: importing it runs pip against a vendor index. So nothing
here imports it to find out: the package's folder and text are read instead. The choice is made
once per process, when `ensure_samna` is first called; importing this module changes nothing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speck_adacal.errors import BackendError, HardwareMissingError

log = logging.getLogger("speck_adacal")

VARIABLE = "SPECK_ADACAL_SAMNA"
STUB_MARK = "PYPI_SAMNA"
INSTALL_HINT = (
    "install the vendor's samna library for this platform and Python version, "
    f"or set {VARIABLE}=virtual"
)
_COMPILED = (".so", ".pyd", ".dylib", ".dll")
_lock = threading.Lock()


@dataclass(frozen=True)
class SamnaBackend:
    """The samna that this process uses.

    Attributes:
        kind: "real" (vendor's library) or "virtual" (this package).
        version: its version; the virtual one names the version whose contract it follows.
        reason: why it was chosen, in words.
    """

    kind: Literal["real", "virtual"]
    version: str
    reason: str


@dataclass(frozen=True)
class Installed:
    """What `import samna` would find, judged without importing it.

    Attributes:
        kind: "real", "stub" (PyPI's installer), "unknown" (a package of that name that is
            neither), or "none".
        version: version of the installed distribution, "" if it has none.
        where: file or folder it was found at, "" for none.
    """

    kind: Literal["real", "stub", "unknown", "none"]
    version: str = ""
    where: str = ""


def installed_samna() -> Installed:
    """Look, without importing, at what is installed under the name samna."""
    try:
        spec = importlib.util.find_spec("samna")
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return Installed("none")
    version = _distribution_version()
    where = spec.origin or next(iter(spec.submodule_search_locations or []), "")
    if where.endswith(_COMPILED):
        return Installed("real", version, where)
    folders = [Path(p) for p in spec.submodule_search_locations or []]
    if any(_has_compiled(folder) for folder in folders):
        return Installed("real", version, where)
    if spec.origin and STUB_MARK in _text(Path(spec.origin)):
        return Installed("stub", version, where)
    return Installed("unknown", version, where)


def current_backend() -> SamnaBackend | None:
    """The samna already in this process, if any; decides nothing."""
    module = sys.modules.get("samna")
    if module is None:
        return None
    version = str(getattr(module, "__version__", ""))
    if getattr(module, "SPECK_ADACAL_VIRTUAL", False):
        return SamnaBackend("virtual", version, "the virtual samna is already in use")
    return SamnaBackend("real", version, "samna was imported before")


def ensure_samna(choice: str | None = None) -> SamnaBackend:
    """Make `import samna` safe in this process, and say what it will import.

    Args:
        choice: "real", "virtual", "off", or None for the variable SPECK_ADACAL_SAMNA, and
            without it the real library if installed, else the virtual one.

    Returns:
        The back end in use from now on. A later call returns the same one.

    Raises:
        BackendError: the choice is "off" or not a word known; or the process already uses the
            other one: there is never both.
        HardwareMissingError: "real" was asked for and the library is not installed.
    """
    wanted = choice if choice is not None else os.environ.get(VARIABLE, "") or None
    if wanted not in (None, "real", "virtual", "off"):
        raise BackendError(f"{VARIABLE} is {wanted!r}, allowed is real, virtual or off.")
    if wanted == "off":
        raise BackendError(
            f"This needs samna, which {VARIABLE}=off forbids; "
            "unset it or set it to virtual or real."
        )
    with _lock:
        current = current_backend()
        if current is not None:
            return _agreed(current, wanted)
        return _choose(wanted)


def _agreed(current: SamnaBackend, wanted: str | None) -> SamnaBackend:
    if wanted is not None and wanted != current.kind:
        raise BackendError(
            f"The {wanted} samna was asked for, but this process already uses the "
            f"{current.kind} one; start a new process."
        )
    return current


def _choose(wanted: str | None) -> SamnaBackend:
    found = installed_samna()
    if wanted != "virtual" and found.kind == "real":
        reason = f"the vendor's library is installed ({found.where})"
        log.info("samna: real, version %s, %s.", found.version, reason)
        return SamnaBackend("real", found.version, reason)
    if wanted == "real":
        raise HardwareMissingError(
            f"The real samna was asked for, but {_why_not(found)}; {INSTALL_HINT}."
        )
    reason = f"{VARIABLE}=virtual" if wanted == "virtual" else _why_not(found)
    from speck_adacal.virtual_samna import samna_modules

    version = samna_modules.install()
    log.warning("samna: virtual (a dev kit in software), because %s.", reason)
    return SamnaBackend("virtual", version, reason)


def _why_not(found: Installed) -> str:
    if found.kind == "stub":
        return f"the installed samna {found.version} is PyPI's installer stub, not the library"
    if found.kind == "unknown":
        return f"the samna found at {found.where} has no compiled extension"
    return "no samna is installed"


def _distribution_version() -> str:
    try:
        return importlib.metadata.version("samna")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _has_compiled(folder: Path) -> bool:
    return folder.is_dir() and any(p.suffix in _COMPILED for p in folder.rglob("*"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
