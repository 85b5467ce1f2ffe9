"""The bundle: a folder or zip of plain files under a manifest with their hashes.

A bundle holds `manifest.json` and the files that it names; nothing else is read. File names are
plain (no folders), every file's SHA-256 is checked, JSON with doubled keys is refused, and no
pickle is ever loaded.
"""

from __future__ import annotations

import hashlib
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from speck_adacal.bundle.atomic import (
    new_file,
    new_folder,
    refuse_existing,
    refuse_foreign,
)
from speck_adacal.bundle.migrate import SCHEMA, check_schema, migrate
from speck_adacal.bundle.plain_json import dump_json, parse_json
from speck_adacal.bundle.reading import PLAIN_NAME, read_members
from speck_adacal.errors import BundleError

MANIFEST = "manifest.json"
_VERSIONED_TOOLS = ("speck-adacal", "torch", "sinabs", "numpy", "numba")


@dataclass(frozen=True)
class Manifest:
    """What a bundle is and what made it.

    Attributes:
        kind: what the bundle holds: `"adapted"` or `"deployment"`.
        seed: the seed the run was started with.
        command: the command line or call that made it.
        files: SHA-256 of every other file, by name.
        tools: versions of the tools that made it, by name.
        schema: version of the format it was written in; the members are of this version's.
    """

    kind: str
    seed: int
    command: str
    files: dict[str, str]
    tools: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle read from disk: its manifest, and the checked bytes of every file by name."""

    path: Path
    manifest: Manifest
    files: dict[str, bytes]

    def json(self, name: str) -> Any:
        """Parse a JSON member.

        Raises:
            BundleError: the member is missing or is not sound JSON.
        """
        return parse_json(self.member(name), self.path, name)

    def member(self, name: str) -> bytes:
        """Bytes of a member.

        Raises:
            BundleError: there is no such member.
        """
        if name not in self.files:
            raise BundleError(
                f"The bundle {self.path} has no {name}; it has {', '.join(sorted(self.files))}; "
                "make it again with the verb that writes what you need."
            )
        return self.files[name]


def write_bundle(
    path: Path,
    files: Mapping[str, bytes],
    *,
    kind: str,
    seed: int,
    command: str,
    force: bool = False,
) -> Path:
    """Write a bundle as a folder, or as a zip where `path` ends in `.zip`.

    Raises:
        OutputExistsError: `path` exists and `force` is False, or it is a folder that is no
            bundle.
        OutputError: it cannot be written.
    """
    manifest = Manifest(
        kind=kind,
        seed=seed,
        command=command,
        files={name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
        tools=_tool_versions(),
    )
    members = {MANIFEST: dump_json(asdict(manifest)), **dict(sorted(files.items()))}
    if path.suffix == ".zip":
        with new_file(path, force=force) as temporary:
            _write_zip(temporary, members)
    else:
        with new_folder(path, ours=is_bundle, force=force) as temporary:
            for name, data in members.items():
                (temporary / name).write_bytes(data)
    return path


def refuse_bundle_at(path: Path, *, force: bool) -> None:
    """Check, before any work is done, that a bundle may be written at `path`.

    Raises:
        OutputExistsError: something stands there, and `force` is False or it is no bundle.
    """
    if path.suffix == ".zip":
        refuse_existing(path, force=force)
    else:
        refuse_foreign(path, is_bundle, force=force)


def is_bundle(path: Path) -> bool:
    """Whether a folder has a bundle's manifest, and nothing that this does not name. Its members
    may be damaged."""
    try:
        manifest = _read_manifest(path)
    except BundleError:
        return False
    return {entry.name for entry in path.iterdir()} <= {MANIFEST, *manifest.files}


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        BundleError: it is missing, damaged, unsafe, or of another schema; the message names the
            file and the reason.
    """
    manifest = _read_manifest(path)
    members = read_members(path, manifest.files)
    for name, digest in manifest.files.items():
        if name not in members:
            raise BundleError(f"The bundle {path} is incomplete: {name} is missing; make it again.")
        found = hashlib.sha256(members[name]).hexdigest()
        if found != digest:
            raise BundleError(
                f"The bundle {path} is damaged: {name} has SHA-256 {found[:12]}…, the manifest "
                f"says {digest[:12]}…; copy or make it again."
            )
    named = {name: members[name] for name in manifest.files}
    return Bundle(path, manifest, migrate(named, manifest.schema, path))


def _read_manifest(path: Path) -> Manifest:
    members = read_members(path, (MANIFEST,))
    if MANIFEST not in members:
        raise BundleError(f"{path} is not a bundle: it has no {MANIFEST}.")
    return _checked_manifest(parse_json(members[MANIFEST], path, MANIFEST), path)


def _checked_manifest(value: Any, path: Path) -> Manifest:
    wanted = {"kind": str, "seed": int, "command": str, "files": dict, "tools": dict, "schema": int}
    if not isinstance(value, dict):
        raise BundleError(f"{MANIFEST} in {path} must be an object, found {type(value).__name__}.")
    check_schema(value.get("schema"), path)
    for key, kind in wanted.items():
        if not isinstance(value.get(key), kind):
            raise BundleError(f"{MANIFEST} in {path} needs {key!r} of type {kind.__name__}.")
    for name, digest in value["files"].items():
        plain = PLAIN_NAME.fullmatch(name) and name != MANIFEST
        if not plain or not isinstance(digest, str):
            raise BundleError(f"{MANIFEST} in {path} names an unsafe file {name!r}; refused.")
    return Manifest(**{key: value[key] for key in wanted})


def _write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            # A fixed date keeps two runs of the same command equal byte for byte.
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def _tool_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for tool in _VERSIONED_TOOLS:
        try:
            versions[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            versions[tool] = "not installed"
    return versions
