"""Where the shipped data files are: `chip_configs/` and `datasets/`.

They are top-level folders of the checkout, and travel inside the wheel under
`speck_adacal/_data/`.
"""

from __future__ import annotations

from pathlib import Path

from speck_adacal.errors import DataError

_PACKAGE = Path(__file__).resolve().parent
ROOTS = (_PACKAGE / "_data", _PACKAGE.parent)
"""Where shipped folders are looked for: in the wheel, then in the checkout."""


def resource_path(folder: str, name: str) -> Path:
    """Path of a shipped file.

    Args:
        folder: `"chip_configs"` or `"datasets"`.
        name: file name inside that folder, with `/` between parts.

    Raises:
        DataError: the file is neither in the installed package nor in the checkout.
    """
    for root in ROOTS:
        path = root / folder / name
        if path.is_file():
            return path
    raise DataError(
        f"The shipped file {folder}/{name} is missing from this installation; "
        "reinstall speck-adacal, or run from a complete checkout."
    )


def resource_names(folder: str, suffix: str) -> tuple[str, ...]:
    """Sorted names of the shipped files in `folder` that end in `suffix`."""
    for root in ROOTS:
        directory = root / folder
        if directory.is_dir():
            return tuple(sorted(p.name for p in directory.iterdir() if p.name.endswith(suffix)))
    return ()
