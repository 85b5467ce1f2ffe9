"""Downloads: resumed, checked, and honest about failure. All against a local server."""

import errno
import hashlib
import http.client
import shutil
import ssl

import pytest

from speck_adacal.datasets import download as module
from speck_adacal.datasets.download import download, need_space
from speck_adacal.errors import DataError

DATA = bytes(range(256)) * 400


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_whole_file_with_progress(web, tmp_path):
    web.files["a.bin"] = DATA
    told = []
    path = download(
        f"{web.address}/a.bin",
        tmp_path / "new" / "a.bin",
        md5=md5(DATA),
        progress=lambda *values: told.append(values),
    )
    assert path.read_bytes() == DATA
    assert told[-1] == ("a.bin", len(DATA), len(DATA))
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_broken_connections_are_taken_up_where_they_broke(web, tmp_path):
    web.files["a.bin"] = DATA
    web.cut_after = 40_000
    download(f"{web.address}/a.bin", tmp_path / "a.bin", md5=md5(DATA))
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert [r for _, r in web.asked] == ["", "bytes=40000-", "bytes=80000-"]


def test_an_earlier_attempt_is_continued(web, tmp_path):
    web.files["a.bin"] = DATA
    (tmp_path / "a.bin.part").write_bytes(DATA[:1000])
    download(f"{web.address}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert web.asked == [("/a.bin", "bytes=1000-")]


def test_a_server_without_ranges_starts_again(web, tmp_path):
    web.files["a.bin"] = DATA
    web.ranges = False
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    download(f"{web.address}/a.bin", tmp_path / "a.bin", md5=md5(DATA))
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_part_longer_than_the_file_is_dropped(web, tmp_path):
    web.files["a.bin"] = DATA
    (tmp_path / "a.bin.part").write_bytes(DATA + b"more")
    download(f"{web.address}/a.bin", tmp_path / "a.bin", md5=md5(DATA))
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_giving_up_keeps_the_part_for_the_next_time(web, tmp_path):
    web.files["a.bin"] = DATA
    web.cut_after = 1000
    with pytest.raises(DataError, match="ended after 4000 of 102400 bytes"):
        download(f"{web.address}/a.bin", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin.part").stat().st_size == 4000


def test_an_error_of_the_connection_is_not_taken_for_one_of_the_disk(web, tmp_path, monkeypatch):
    web.files["a.bin"] = DATA

    def break_off(*_args):
        raise ssl.SSLError("record layer failure")

    monkeypatch.setattr(http.client.HTTPResponse, "read", break_off)
    with pytest.raises(DataError, match=r"could not be downloaded \(.*record layer failure"):
        download(f"{web.address}/a.bin", tmp_path / "a.bin")


def test_wrong_checksum_leaves_nothing(web, tmp_path):
    web.files["a.bin"] = DATA
    with pytest.raises(DataError, match="has MD5"):
        download(f"{web.address}/a.bin", tmp_path / "a.bin", md5="0" * 32)
    assert not list(tmp_path.iterdir())


def test_missing_page_and_no_server(web, tmp_path):
    with pytest.raises(DataError, match="HTTP 404"):
        download(f"{web.address}/absent", tmp_path / "a")
    with pytest.raises(DataError, match="could not be downloaded"):
        download("http://127.0.0.1:1/a", tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["file:///etc/hostname", "/etc/hostname", "data:,x"])
def test_other_schemes_are_refused(tmp_path, url):
    with pytest.raises(DataError, match="is not http"):
        download(url, tmp_path / "a")


def test_a_full_disk_is_found_before_it_is_filled(web, tmp_path, monkeypatch):
    web.files["a.bin"] = DATA
    full = shutil._ntuple_diskusage(total=100, used=99, free=1)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(DataError, match="MiB free, needed are"):
        download(f"{web.address}/a.bin", tmp_path / "a.bin")
    with pytest.raises(DataError, match="another data folder"):
        need_space(tmp_path, 0)
    assert not (tmp_path / "a.bin").exists()


def test_a_disk_that_fills_while_writing(web, tmp_path, monkeypatch):
    web.files["a.bin"] = DATA

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_receive", full)
    with pytest.raises(DataError, match=r"No space left .* free some space"):
        download(f"{web.address}/a.bin", tmp_path / "a.bin")
