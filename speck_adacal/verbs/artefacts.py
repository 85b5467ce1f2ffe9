"""Bundles: written, read, verified and exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from speck_adacal.bundle import read_bundle, refuse_existing, write_bundle
from speck_adacal.bundles.bundle_files import from_files, stored_configuration, to_files
from speck_adacal.bundles.exports import write_export
from speck_adacal.bundles.verify import Verification, verify_bundle
from speck_adacal.chip.deploy import Deployment, reset_warning
from speck_adacal.chip_description import parse_device
from speck_adacal.errors import BundleError
from speck_adacal.host.devices import player_on
from speck_adacal.readout.readout_files import READOUT, readout_to_bytes
from speck_adacal.readout.readouts import Readout
from speck_adacal.snn.adapted import AdaptedNetwork


def save(
    obj: AdaptedNetwork | Deployment,
    path: str | Path,
    *,
    command: str = "",
    force: bool = False,
    readout: Readout | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a bundle: a folder, or a zip where `path` ends in `.zip`.

    A killed run leaves no half bundle.

    Args:
        obj: what `adapt` or `deploy` returned.
        path: where to write.
        command: the command line that made it, kept in the manifest.
        force: replace what stands at `path`.
        readout: how the output is read, such as the early exit of `exits`; `stream` follows it.
        extra: more files to put into the bundle, such as `report.html`.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
    """
    adapted = obj.adapted if isinstance(obj, Deployment) else obj
    more = dict(extra or {})
    if readout is not None:
        more[READOUT] = readout_to_bytes(readout)
    return write_bundle(
        Path(path),
        {**to_files(obj), **more},
        kind="deployment" if isinstance(obj, Deployment) else "adapted",
        seed=adapted.recipe.settings.seed,
        command=command or "speck_adacal.save",
        force=force,
    )


def load(path: str | Path) -> AdaptedNetwork | Deployment:
    """Read a bundle written by `save`.

    Raises:
        BundleError: it is missing, damaged, unsafe, or of another schema.
    """
    return from_files(read_bundle(Path(path)))


def load_deployment(path: str | Path, *, seed: int | None = None) -> Deployment:
    """Read a bundle that `save` wrote of a deployment.

    Args:
        path: the bundle.
        seed: of what draws random numbers, in place of the bundle's own.

    Raises:
        BundleError: as `load`; or the bundle was adapted but not deployed.
    """
    found = load(path)
    if not isinstance(found, Deployment):
        raise BundleError(f"{path} is adapted but not deployed; run `deploy` on it first.")
    return replace(found, adapted=found.adapted.with_seed(seed))


def verify(path: str | Path, *, device: str = "twin") -> Verification:
    """Replay a bundle's known answers and name the first core that differs.

    Args:
        path: what `save` wrote of a deployment.
        device: `"twin"`, `"virtual"`, `"virtual:TYPE"`, or a real one such as
            `"speck2fdevkit:0"`.

    Raises:
        BundleError: the bundle is damaged, or holds no known answers; or its network no longer
            gives the configuration that it stores.
        HardwareMissingError: a real board is asked for and is not there.
    """
    named = parse_device(device)
    bundle = read_bundle(Path(path))
    with player_on(named, stored_configuration(bundle).chip) as (play, grade):
        outcome = verify_bundle(bundle, play=play, device=str(named), grade=grade)
    if not outcome.same:
        return outcome
    found = load_deployment(path)  # its network gives the stored configuration
    warned = tuple(map(str, reset_warning(found.adapted, found.wiring)))
    made_for = found.adapted.recipe.settings.made_for
    return replace(outcome, made_for=made_for, warnings=warned)


def export(path: str | Path, out: str | Path, *, format: str = "json", force: bool = False) -> Path:
    """Write a bundle's chip configuration for other programs.

    Args:
        path: what `save` wrote of a deployment.
        out: the file to write.
        format: `"json"` (ours, versioned), `"nir"`, or `"samna"` (the vendor's library alone).
        force: replace what stands at `out`.

    Raises:
        SettingsError: there is no such format.
        OutputExistsError: `out` exists and `force` is False.
        HardwareMissingError: samna's own JSON is asked for without the vendor's library.
    """
    target = Path(out)
    refuse_existing(target, force=force)
    write_export(stored_configuration(read_bundle(Path(path))), target, format, force=force)
    return target
