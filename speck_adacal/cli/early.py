"""What is checked before PyTorch is loaded, which takes seconds: files, bundles, outputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from speck_adacal.cli import common
from speck_adacal.errors import BundleError, DataError

if TYPE_CHECKING:
    from speck_adacal.bundle import Bundle
    from speck_adacal.events.sample_files import Samples


def need_file(path: Path | None, option: str) -> None:
    """Say that a file is missing before anything slow is loaded.

    Raises:
        DataError: there is no such file.
    """
    if path is not None and not path.is_file():
        kind = "a folder" if path.is_dir() else "no file"
        raise DataError(f"There is {kind} at {path}, where {option} needs a file; check the path.")


def need_bundle(path: Path, *, deployed: bool = True) -> Bundle:
    """Read a bundle, and with `deployed` ask that it was deployed.

    Raises:
        BundleError: it is missing, damaged or unsafe, or was adapted but not deployed.
    """
    from speck_adacal.bundle import read_bundle

    found = read_bundle(path)
    if deployed and found.manifest.kind != "deployment":
        raise BundleError(f"{path} is adapted but not deployed; run `deploy` on it first.")
    return found


def refuse_early(path: Path | None, *, force: bool, bundle: bool = False) -> None:
    """Check an output path, of a bundle or of a file, before any work is done."""
    from speck_adacal.bundle import refuse_bundle_at, refuse_existing

    if path is not None:
        (refuse_bundle_at if bundle else refuse_existing)(path, force=force)


def samples_of(path: Path, part: str | None, option: str = "--samples") -> Samples:
    """Samples of a file, or a part of them.

    Args:
        path: the file.
        part: `N` or `FROM:TO`; None for all.
        option: that says which part.

    Raises:
        DataError: the file is missing, or holds no samples.
    """
    from speck_adacal.events.sample_files import load_samples

    which = common.parse_slice(part, option)
    return load_samples(path).part(which)


def labelled_samples(path: Path, part: str | None, option: str = "--samples") -> Any:
    """As `samples_of`, with labels.

    Raises:
        DataError: the file holds no samples or no labels.
    """
    data = samples_of(path, part, option)
    if data.labels is None:
        raise DataError(f"{path} holds no 'labels', which accuracy needs; add them.")
    return data
