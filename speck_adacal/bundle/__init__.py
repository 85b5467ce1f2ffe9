"""The artefact format: bundles, written whole or not at all and checked when read."""

from speck_adacal.bundle.array_files import is_array_file, read_arrays
from speck_adacal.bundle.atomic import new_file, new_folder, refuse_existing
from speck_adacal.bundle.format import (
    Bundle,
    Manifest,
    read_bundle,
    refuse_bundle_at,
    write_bundle,
)
from speck_adacal.bundle.plain_json import dump_json, parse_json

__all__ = [
    "Bundle",
    "Manifest",
    "dump_json",
    "is_array_file",
    "new_file",
    "new_folder",
    "parse_json",
    "read_arrays",
    "read_bundle",
    "refuse_bundle_at",
    "refuse_existing",
    "write_bundle",
]
