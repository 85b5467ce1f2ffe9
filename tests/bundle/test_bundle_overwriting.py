"""What `force` may replace, what killed runs leave behind, and what is read of a bundle."""

import os
import subprocess
import sys

import pytest

from speck_adacal.bundle import new_file, read_bundle, write_bundle
from speck_adacal.errors import BundleError, OutputError, OutputExistsError

FILES = {"recipe.json": b"{}", "network.safetensors": b"weights"}


def write(path, force=True):
    return write_bundle(path, FILES, kind="adapted", seed=0, command="test", force=force)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_bundle_and_an_empty_folder_are_replaced(tmp_path):
    write(tmp_path / "b")
    (tmp_path / "b" / "recipe.json").write_bytes(b"damaged")
    write(tmp_path / "b")
    assert read_bundle(tmp_path / "b").files == FILES
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert names(tmp_path) == ["b", "empty"]


@pytest.mark.parametrize("kind", ["folder", "manifest of others", "bundle with more", "link"])
def test_what_is_no_bundle_is_never_replaced(tmp_path, kind):
    place = tmp_path / "photos"
    if kind == "link":
        write(tmp_path / "b")
        place.symlink_to(tmp_path / "b")
    elif kind == "bundle with more":
        write(place)
        (place / "notes.txt").write_text("mine")
    else:
        (place / "2025").mkdir(parents=True)
        (place / "2025" / "a.jpg").write_bytes(b"mine")
        if kind == "manifest of others":
            (place / "manifest.json").write_text('{"name": "a web application"}')
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    with pytest.raises(OutputExistsError, match="holds something else"):
        write(place)
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before
    assert names(tmp_path) == (["b", "photos"] if kind == "link" else ["photos"])


@pytest.mark.parametrize("name", [".", "./", "../here"])
def test_the_folder_one_is_in_is_never_replaced(tmp_path, monkeypatch, name):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(OutputExistsError, match="the folder you are in"):
        write(here.__class__(name))
    assert names(tmp_path) == ["here"]
    assert names(here) == []


def test_leftovers_of_a_killed_run_are_cleared_by_the_next(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from speck_adacal.bundle import new_file\n"
        "with new_file(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    target = tmp_path / "a.gif"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (left,) = names(tmp_path)
    assert left.endswith(".part")
    other = tmp_path / f".b.gif.{left.split('.')[3]}.part"
    other.write_bytes(b"of another output")
    with new_file(target) as running:
        assert names(tmp_path) == sorted([other.name, running.name])
        with new_file(target, force=True) as second:  # of a live process: stays
            second.write_bytes(b"second")
        assert running.exists()
    assert names(tmp_path) == sorted([other.name, "a.gif"])


def test_a_run_killed_between_two_renames_loses_nothing(tmp_path):
    write(tmp_path / "b")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f".b.{gone.pid}-xyz.old").mkdir()
    (tmp_path / "b").rename(tmp_path / f".b.{gone.pid}-xyz.old" / "previous")
    with pytest.raises(OutputExistsError):
        write(tmp_path / "b", force=False)
    assert names(tmp_path) == ["b"]
    assert read_bundle(tmp_path / "b").files == FILES


def fill_up(target):
    with new_file(target) as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")  # what a full disk says
        temporary.write_bytes(b"x")


def test_a_full_disk_is_a_typed_error_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="No space left"):
        fill_up(tmp_path / "a")
    assert names(tmp_path) == []


def test_files_that_the_manifest_does_not_name_are_not_read(tmp_path):
    path = write(tmp_path / "b")
    with (path / "huge.bin").open("wb") as file:
        file.truncate(8 << 30)  # sparse
    os.mkfifo(path / "pipe")  # reading it would never end
    (path / "link").symlink_to("/etc/hostname")
    assert read_bundle(path).files == FILES


def test_members_that_are_links_are_refused(tmp_path):
    path = write(tmp_path / "b")
    (path / "recipe.json").unlink()
    (path / "recipe.json").symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match="is a link"):
        read_bundle(path)


def test_equal_members_give_equal_zips(tmp_path):
    one, other = write(tmp_path / "a.zip"), write(tmp_path / "b.zip")
    assert one.read_bytes() == other.read_bytes()
