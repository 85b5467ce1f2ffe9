"""A table of damaged and hostile bundles: each is refused, with the file and the reason."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from speck_adacal import load, save
from speck_adacal.bundle import dump_json, read_bundle
from speck_adacal.bundles.verify import verify_bundle
from speck_adacal.errors import BundleError, SpeckAdacalError

OLD = Path(__file__).with_name("fixtures") / "schema1.zip"
FILES = (
    "chip.json",
    "chip.safetensors",
    "known_answers.npz",
    "network.safetensors",
    "recipe.json",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save(load(OLD), tmp_path_factory.mktemp("damage") / "whole")


@pytest.fixture
def bundle(whole, tmp_path):
    path = tmp_path / "net.bundle"
    path.mkdir()
    for file in whole.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    return path


def open_all(path):
    """Everything that reads a bundle."""
    verify_bundle(read_bundle(path))
    load(path)


def rehash(path):
    """A manifest made to fit, so that what is behind the hashes is tried."""
    manifest = json.loads((path / "manifest.json").read_bytes())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    (path / "manifest.json").write_bytes(dump_json(manifest))


def change_json(path, name, change):
    data = json.loads((path / name).read_bytes())
    change(data)
    (path / name).write_bytes(dump_json(data))


def change_array(path, name, change):
    arrays = load_arrays((path / "chip.safetensors").read_bytes())
    arrays[name] = change(arrays[name])
    (path / "chip.safetensors").write_bytes(save_arrays(arrays))


def change_answers(path, **changes):
    with np.load(path / "known_answers.npz") as file:
        arrays = {**dict(file), **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (path / "known_answers.npz").write_bytes(buffer.getvalue())


def flip(path, name, at=None):
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x10
    (path / name).write_bytes(bytes(data))


def truncate(path, name, share=0.5):
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: int(len(data) * share)])


def text(path, name, before, after):
    data = (path / name).read_text()
    assert before in data
    (path / name).write_text(data.replace(before, after, 1))


def first_core(data):
    return data["cores"][str(data["order"][0])]


def infinite_network(path):
    arrays = load_arrays((path / "network.safetensors").read_bytes())
    name = next(n for n in arrays if n.startswith("graph/") and arrays[n].dtype.kind == "f")
    arrays[name] = np.full_like(arrays[name], np.nan)
    (path / "network.safetensors").write_bytes(save_arrays(arrays))


# What was done, how, and what the message says: the file, then the reason.
BEHIND_THE_HASHES = {
    "doubled key": (
        lambda p: text(p, "chip.json", '"chip": "speck2f",', '"chip": "speck2f", "chip": "x",'),
        r"chip\.json in .*'chip' twice",
    ),
    "NaN in JSON": (
        lambda p: text(p, "recipe.json", '"input_amplitude": ', '"input_amplitude": NaN, "a": '),
        r"recipe\.json in .*NaN",
    ),
    "infinity in JSON": (
        lambda p: text(p, "chip.json", '"scale": ', '"scale": 1e999, "a": '),
        r"chip\.json in .*1e999",
    ),
    "minus infinity in JSON": (
        lambda p: text(p, "chip.json", '"scale": ', '"scale": -Infinity, "a": '),
        r"chip\.json in .*-Infinity",
    ),
    "truncated chip.json": (lambda p: truncate(p, "chip.json"), r"chip\.json in .*not sound"),
    "truncated recipe.json": (lambda p: truncate(p, "recipe.json"), r"recipe\.json in .*not sound"),
    "truncated network": (
        lambda p: truncate(p, "network.safetensors"),
        r"network\.safetensors in .*damaged",
    ),
    "truncated arrays": (
        lambda p: truncate(p, "chip.safetensors"),
        r"chip\.safetensors in .*damaged",
    ),
    "truncated answers": (
        lambda p: truncate(p, "known_answers.npz"),
        r"known_answers\.npz in .*damaged",
    ),
    "answers that are no npz": (
        lambda p: (p / "known_answers.npz").write_bytes(b"\x93NUMPY"),
        r"known_answers\.npz in .*damaged",
    ),
    "a bit in the packed answers": (
        lambda p: flip(p, "known_answers.npz", 200),
        r"known_answers\.npz in .*damaged",
    ),
    "pickled answers": (
        lambda p: change_answers(p, t_us=np.array([{}], dtype=object)),
        r"known_answers\.npz in .*damaged",
    ),
    "answers as floats": (
        lambda p: change_answers(p, spikes_per_core=np.zeros(9)),
        r"known_answers\.npz in .*float64",
    ),
    "answers of too few cores": (
        lambda p: change_answers(p, synops_per_core=np.zeros(3, dtype=np.int64)),
        r"known_answers\.npz in .*\(3,\)",
    ),
    "events outside the map": (
        lambda p: change_answers(p, x=np.full(2000, 99, dtype=np.int16)),
        r"known_answers\.npz in .*damaged",
    ),
    "digests of another number of cores": (
        lambda p: change_answers(p, states_sha256=np.zeros((1, 32), dtype=np.uint8)),
        r"known_answers\.npz in .*digests",
    ),
    "weights as floats": (
        lambda p: change_array(p, "core0.weights", lambda a: a.astype(np.float32)),
        r"chip\.json in .*core0\.weights is float32",
    ),
    "initial values of 32 bits": (
        lambda p: change_array(p, "core1.neurons_initial_value", lambda a: a.astype(np.int32)),
        r"chip\.json in .*core1\.neurons_initial_value is int32",
    ),
    "weights of another shape": (
        lambda p: change_array(p, "core0.weights", lambda a: a[:2]),
        r"chip\.json in .*core0\.weights is int8 \(2,",
    ),
    "NaN in the float network": (infinite_network, r"network\.safetensors in .*NaN or infinity"),
    "a threshold as text": (
        lambda p: change_json(p, "chip.json", lambda d: first_core(d).update(threshold_high="884")),
        r"chip\.json in .*threshold_high of core 0 is '884'",
    ),
    "a core that no chip has": (
        lambda p: change_json(p, "chip.json", lambda d: d.update(order=[0, 11])),
        r"chip\.json in .*order is 11",
    ),
    "a pooling that no chip has": (
        lambda p: change_json(
            p, "chip.json", lambda d: first_core(d)["destinations"][0].update(pooling=9)
        ),
        r"chip\.json in .*pooling .* core 0 is 9",
    ),
    "no cores": (
        lambda p: change_json(p, "chip.json", lambda d: d.pop("cores")),
        r"chip\.json in .*'cores' is missing",
    ),
    "a list for a configuration": (
        lambda p: (p / "chip.json").write_bytes(b"[]"),
        r"chip\.json in .*malformed",
    ),
    "no layers in the recipe": (
        lambda p: change_json(p, "recipe.json", lambda d: d["recipe"].pop("layers")),
        r"recipe.*layers",
    ),
    "a list for a recipe": (lambda p: (p / "recipe.json").write_bytes(b"[]"), r"recipe\.json"),
    "a bit of a name in the network": (
        lambda p: text(p, "recipe.json", '"name": "0"', '"name": "8"'),
        r"recipe\.json in .*network\.safetensors",
    ),
    "an unknown module": (
        lambda p: text(p, "recipe.json", '"Conv2d"', '"eval"'),
        r"recipe\.json.*'eval'",
    ),
    "JSON that is too deep": (
        lambda p: (p / "recipe.json").write_bytes(b"[" * 100_000),
        r"recipe\.json in .*not sound",
    ),
    "bytes that are no text": (
        lambda p: (p / "chip.json").write_bytes(b"\xff\xfe\x00"),
        r"chip\.json in .*not sound",
    ),
}


def test_the_whole_bundle_opens(bundle):
    open_all(bundle)


@pytest.mark.parametrize("name", BEHIND_THE_HASHES)
def test_damage_with_a_manifest_made_to_fit(bundle, name):
    damage, reason = BEHIND_THE_HASHES[name]
    damage(bundle)
    rehash(bundle)
    with pytest.raises(BundleError, match=reason):
        open_all(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip, truncate])
def test_damage_is_found_by_its_hash(bundle, name, damage):
    damage(bundle, name)
    with pytest.raises(BundleError, match=f"damaged: {name} has SHA-256"):
        open_all(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        open_all(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_manifest_leaves_out_is_named(bundle, name):
    change_json(bundle, "manifest.json", lambda d: d["files"].pop(name))
    with pytest.raises(BundleError, match=f"has no {name}"):
        open_all(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(6))
def test_any_flipped_bit_is_refused_or_harmless(bundle, name, seed):
    """Behind the hashes too: never another kind of exception."""
    data = bytearray((bundle / name).read_bytes())
    rng = np.random.default_rng([seed, len(data)])
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    (bundle / name).write_bytes(bytes(data))
    rehash(bundle)
    with contextlib.suppress(SpeckAdacalError):
        open_all(bundle)


def test_a_link_in_a_folder_is_refused(bundle, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes((bundle / "recipe.json").read_bytes())
    (bundle / "recipe.json").unlink()
    os.symlink(secret, bundle / "recipe.json")
    with pytest.raises(BundleError, match=r"recipe\.json is a link"):
        open_all(bundle)


def zipped(bundle, out, extra=()):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in bundle.iterdir():
            archive.writestr(file.name, file.read_bytes())
        for info, data in extra:
            archive.writestr(info, data)
    return out


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (("../evil", b"x"), r"unsafe member name '\.\./evil'"),
        (("/etc/evil", b"x"), "unsafe member name '/etc/evil'"),
        (("C:\\evil", b"x"), "unsafe member name"),
        (("folder/evil", b"x"), "unsafe member name 'folder/evil'"),
        (("evil/", b""), "unsafe member name 'evil/'"),
        ((link("evil"), b"/etc/passwd"), "evil in .* is a link"),
        (("bomb", bytes(200 << 20)), "zip bomb"),
    ],
)
def test_a_hostile_zip_is_refused(bundle, tmp_path, extra, reason):
    path = zipped(bundle, tmp_path / "hostile.zip", [extra])
    with pytest.raises(BundleError, match=reason):
        open_all(path)


def test_a_zip_of_too_many_members_is_refused(bundle, tmp_path):
    path = zipped(bundle, tmp_path / "many.zip", [(f"f{i}", b"") for i in range(1001)])
    with pytest.raises(BundleError, match=r"100\d members"):
        open_all(path)


def test_a_zip_that_lies_about_a_size_is_refused(bundle, tmp_path):
    """The directory says 10 bytes; reading stops there, and the checksum does not fit."""
    path = zipped(bundle, tmp_path / "lie.zip")
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=r"lie\.zip"):
        open_all(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_zip_is_refused(bundle, tmp_path, share):
    path = zipped(bundle, tmp_path / "cut.zip")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BundleError, match=r"cut\.zip is not a sound zip"):
        open_all(path)
