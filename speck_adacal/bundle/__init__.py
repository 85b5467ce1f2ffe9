"""The artefact format: bundles, written whole or not at all and checked when read."""

from speck_adacal.bundle.atomic import new_file, new_folder, refuse_existing
from speck_adacal.bundle.format import (
    Bundle,
    Manifest,
    read_bundle,
    write_bundle,
)
from speck_adacal.bundle.plain_json import dump_json, parse_json

__all__ = [
    "Bundle",
    "Manifest",
    "dump_json",
    "new_file",
    "new_folder",
    "parse_json",
    "read_bundle",
    "refuse_existing",
    "write_bundle",
]
