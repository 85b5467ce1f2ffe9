"""Bundles come back as written, and damaged or hostile ones are refused with file and reason."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speck_adacal.bundle import dump_json, parse_json, read_bundle, write_bundle
from speck_adacal.errors import BundleError, OutputExistsError

FILES = {"a.json": b'{"x": 1}\n', "b.bin": bytes(range(256))}


def make(path: Path) -> Path:
    return write_bundle(path, FILES, kind="adapted", seed=3, command="test")


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_round_trip(tmp_path, name):
    bundle = read_bundle(make(tmp_path / name))
    assert bundle.files == FILES
    assert (bundle.manifest.kind, bundle.manifest.seed, bundle.manifest.command) == (
        "adapted",
        3,
        "test",
    )
    assert bundle.json("a.json") == {"x": 1}


def test_two_writes_are_equal_byte_for_byte(tmp_path):
    first, second = make(tmp_path / "1.zip"), make(tmp_path / "2.zip")
    assert first.read_bytes() == second.read_bytes()


def test_an_existing_output_is_left_alone(tmp_path):
    path = make(tmp_path / "bundle")
    before = (path / "manifest.json").read_bytes()
    with pytest.raises(OutputExistsError, match="--force"):
        write_bundle(path, {"c": b"new"}, kind="adapted", seed=0, command="")
    assert (path / "manifest.json").read_bytes() == before
    write_bundle(path, {"c": b"new"}, kind="adapted", seed=0, command="", force=True)
    assert read_bundle(path).files == {"c": b"new"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="space"):
        make(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.json", "b.bin"])
def test_one_flipped_bit_is_found(tmp_path, name):
    path = make(tmp_path / "bundle")
    data = bytearray((path / name).read_bytes())
    data[1] ^= 1
    (path / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=f"damaged: {name}"):
        read_bundle(path)


def test_a_missing_member_is_named(tmp_path):
    path = make(tmp_path / "bundle")
    (path / "b.bin").unlink()
    with pytest.raises(BundleError, match=r"b\.bin is missing"):
        read_bundle(path)


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_truncated_zip_is_refused(tmp_path, cut):
    path = make(tmp_path / "bundle.zip")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BundleError, match=r"bundle\.zip"):
        read_bundle(path)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "folder/evil", "..\\evil", ".hidden"])
def test_path_traversal_in_a_zip_is_refused(tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr(name, "x")
    with pytest.raises(BundleError, match="unsafe member"):
        read_bundle(path)


def test_a_member_named_twice_is_refused(tmp_path):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("manifest.json", "{}")
    with pytest.raises(BundleError, match="twice"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 99}, "schema 99"),
        ({"schema": None}, "schema None"),
        ({"kind": 5}, "'kind'"),
        ({"files": {"../up": "0"}}, "unsafe file"),
        ({"files": {"gone": "0"}}, "gone is missing"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path, change, reason):
    path = make(tmp_path / "bundle")
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_bytes(dump_json({**manifest, **change}))
    with pytest.raises(BundleError, match=reason):
        read_bundle(path)


def test_doubled_keys_are_refused(tmp_path):
    with pytest.raises(BundleError, match="'a' twice"):
        parse_json(b'{"a": 1, "a": 2}', tmp_path, "x.json")


def test_what_is_no_bundle_is_said_so(tmp_path):
    with pytest.raises(BundleError, match="no bundle at"):
        read_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        read_bundle(tmp_path)


@given(st.binary(max_size=300))
def test_random_bytes_never_crash_the_zip_reader(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.zip"
    path.write_bytes(data)
    with pytest.raises(BundleError):
        read_bundle(path)
