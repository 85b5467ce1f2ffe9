"""Archives: sound ones, nested ones, and hostile ones that must write nothing."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from speck_adacal.datasets import unpack as module
from speck_adacal.datasets.mirrors import extract_tar_members
from speck_adacal.datasets.unpack import unpack_archive, unpack_gzip
from speck_adacal.errors import DataError


def zip_bytes(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_bytes(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for member, data in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tree(folder):
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize(
    "data",
    [
        zip_bytes([("Train/1/a.bin", b"one"), ("Train/2/b.bin", b"two")]),
        tar_bytes([("Train/1/a.bin", b"one"), ("Train/2/b.bin", b"two")]),
    ],
)
def test_zip_and_tar(tmp_path, data):
    (tmp_path / "archive").write_bytes(data)
    unpack_archive(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == {"Train/1/a.bin": b"one", "Train/2/b.bin": b"two"}


def test_inner_zips_and_stripped_folders(tmp_path):
    inner = zip_bytes([("Caltech101/ant/i.bin", b"ant")])
    (tmp_path / "a.zip").write_bytes(zip_bytes([("outer/Caltech101.zip", inner)]))
    unpack_archive(tmp_path / "a.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {"outer/Caltech101/ant/i.bin": b"ant"}
    (tmp_path / "b.tgz").write_bytes(tar_bytes([("top/a.bin", b"x"), ("loose", b"y")]))
    unpack_archive(tmp_path / "b.tgz", tmp_path / "flat", strip=1)
    assert tree(tmp_path / "flat") == {"a.bin": b"x"}


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    return buffer.getvalue()


HOSTILE = {
    "zip climbs": zip_bytes([("good", b"g"), ("../evil", b"e")]),
    "zip climbs inside": zip_bytes([("a/../../evil", b"e")]),
    "zip absolute": zip_bytes([("/tmp/evil", b"e")]),
    "zip backslash": zip_bytes([("..\\evil", b"e")]),
    "zip drive": zip_bytes([("C:evil", b"e")]),
    "zip link": zip_link(),
    "zip inner climbs": zip_bytes([("in.zip", zip_bytes([("../../evil", b"e")]))]),
    "tar climbs": tar_bytes([("good", b"g"), ("../evil", b"e")]),
    "tar absolute": tar_bytes([("/tmp/evil", b"e")]),
    "tar symlink": tar_bytes([(link("l", "/etc", tarfile.SYMTYPE), b""), ("l/x", b"e")]),
    "tar hard link": tar_bytes([(link("l", "/etc/passwd", tarfile.LNKTYPE), b"")]),
    "tar device": tar_bytes([(link("d", "", tarfile.CHRTYPE), b"")]),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_archives_write_nothing(tmp_path, case):
    (tmp_path / "archive").write_bytes(HOSTILE[case])
    before = tree(tmp_path)
    with pytest.raises(DataError, match="nothing was unpacked"):
        unpack_archive(tmp_path / "archive", tmp_path / "deep" / "out")
    assert tree(tmp_path) == before
    assert not list((tmp_path / "deep" / "out").iterdir())


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04broken", b"\x1f\x8bbroken"])
def test_damaged_archives(tmp_path, data):
    (tmp_path / "archive").write_bytes(data)
    with pytest.raises(DataError, match="is damaged"):
        unpack_archive(tmp_path / "archive", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("make", [zip_bytes, tar_bytes])
def test_cut_archives_write_nothing(tmp_path, make):
    whole = make([("a", b"a" * 5000), ("b", bytes(range(256)) * 20)])
    for size in (10, len(whole) // 4, len(whole) // 2):
        (tmp_path / "archive").write_bytes(whole[:size])
        with pytest.raises(DataError):
            unpack_archive(tmp_path / "archive", tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())


def test_no_space_for_the_content(tmp_path, monkeypatch):
    def refuse(folder, count):
        raise DataError(f"no space for {count}")

    monkeypatch.setattr(module, "need_space", refuse)
    (tmp_path / "a.zip").write_bytes(zip_bytes([("a", b"x" * 7)]))
    with pytest.raises(DataError, match="no space for 7"):
        unpack_archive(tmp_path / "a.zip", tmp_path / "out")


def test_encrypted_zip(tmp_path):
    data = bytearray(zip_bytes([("a", b"secret")]))
    data[6] |= 1  # the encryption bit of the local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    (tmp_path / "a.zip").write_bytes(bytes(data))
    with pytest.raises(DataError, match="Cannot unpack"):
        unpack_archive(tmp_path / "a.zip", tmp_path / "out")


def test_gzip(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"content"))
    assert unpack_gzip(tmp_path / "a.gz", tmp_path / "a").read_bytes() == b"content"
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"content" * 99)[:-9])
    with pytest.raises(DataError, match="damaged"):
        unpack_gzip(tmp_path / "b.gz", tmp_path / "b")
    with pytest.raises(DataError, match="Cannot unpack"):
        unpack_gzip(tmp_path / "absent.gz", tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "a.gz", "b.gz"]


def test_named_members_of_a_package(tmp_path):
    (tmp_path / "p.tgz").write_bytes(
        tar_bytes([("package/data/a", b"1"), ("package/../../evil", b"2")])
    )
    found = extract_tar_members(tmp_path / "p.tgz", ["package/data/a"], tmp_path / "out")
    assert tree(tmp_path / "out") == {"a": b"1"}
    assert found == (tmp_path / "out" / "a",)
    with pytest.raises(DataError, match="has no file"):
        extract_tar_members(tmp_path / "p.tgz", ["package/data/b"], tmp_path / "out")
    (tmp_path / "l.tgz").write_bytes(tar_bytes([(link("l", "/etc", tarfile.SYMTYPE), b"")]))
    with pytest.raises(DataError):
        extract_tar_members(tmp_path / "l.tgz", ["l"], tmp_path / "out")


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    inner = zip_bytes([("evil.bin", b"of the zip")])
    data = tar_bytes([("a.bin", b"of the tar"), ("b.dat", inner)], mode="w")[:-1024] + inner
    (tmp_path / "a.tar").write_bytes(data)
    assert zipfile.is_zipfile(tmp_path / "a.tar")
    unpack_archive(tmp_path / "a.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {"a.bin": b"of the tar", "b.dat": inner}


@pytest.mark.parametrize("kind", ["gzip", "tar", "zip"])
def test_bombs_are_refused_and_leave_nothing(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(module, "_HARMLESS_BYTES", 1 << 20)
    zeros = bytes(4 << 20)
    path, out = tmp_path / "a", tmp_path / "out"
    out.mkdir()
    made = {
        "gzip": lambda: gzip.compress(zeros),
        "tar": lambda: tar_bytes([("a.bin", zeros)]),
        "zip": lambda: zip_bytes([("a.bin", zeros)]),
    }
    path.write_bytes(made[kind]())
    target, unpack = (out / "a.bin", unpack_gzip) if kind == "gzip" else (out, unpack_archive)
    with pytest.raises(DataError, match="as a bomb does"):
        unpack(path, target)
    assert tree(out) == {}
