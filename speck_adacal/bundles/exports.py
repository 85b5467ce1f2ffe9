"""A chip configuration as a file for other programs: NIR, our JSON, or samna's own JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from speck_adacal.bundle import new_file
from speck_adacal.bundles.chip_configuration import ChipConfiguration
from speck_adacal.bundles.configuration_json import dump_configuration
from speck_adacal.bundles.nir_export import write_nir
from speck_adacal.errors import HardwareMissingError, SettingsError
from speck_adacal.virtual_samna import ensure_samna
from speck_adacal.virtual_samna.stand_in import INSTALL_HINT


def write_export(
    configuration: ChipConfiguration, out: Path, format: str, *, force: bool = False
) -> None:
    """Write the configuration in one of the formats of `FORMATS`.

    Raises:
        SettingsError: there is no such format.
        HardwareMissingError: samna's own JSON is asked for without the vendor's library.
    """
    if format not in FORMATS:
        raise SettingsError(f"The format must be one of {', '.join(FORMATS)}, found {format!r}.")
    FORMATS[format](configuration, out, force)


def _nir(configuration: ChipConfiguration, out: Path, force: bool) -> None:
    write_nir(configuration, out, force=force)


def _json(configuration: ChipConfiguration, out: Path, force: bool) -> None:
    with new_file(out, force=force) as temporary:
        temporary.write_bytes(dump_configuration(configuration))


def _samna(configuration: ChipConfiguration, out: Path, force: bool) -> None:
    if ensure_samna().kind != "real":
        raise HardwareMissingError(
            "samna's own JSON is written by the vendor's samna alone, since its layout is not "
            f"public; {INSTALL_HINT.split(', or')[0]}, or take the format json."
        )
    with new_file(out, force=force) as temporary:
        temporary.write_text(configuration.to_samna().to_json(), encoding="utf-8")


Writer = Callable[[ChipConfiguration, Path, bool], None]
FORMATS: Mapping[str, Writer] = {"nir": _nir, "json": _json, "samna": _samna}
