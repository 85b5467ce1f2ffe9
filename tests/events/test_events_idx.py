"""IDX files: true format written by hand, and damaged ones."""

import gzip
import struct

import numpy as np
import pytest

from speck_adacal.datasets.idx import read_idx
from speck_adacal.errors import DataError


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("array", [IMAGES, np.array([7, 0, 9], dtype=np.uint8)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_images_and_labels_plain_and_compressed(tmp_path, array, pack):
    path = tmp_path / "file"
    path.write_bytes(pack(idx_bytes(array)))
    found = read_idx(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x01\0\0\0\0", "not an IDX file"),
        (b"<!DOCTYPE html>", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "inside its header"),
        (idx_bytes(IMAGES)[:-1], "found 23"),
        (idx_bytes(IMAGES) + b"x", "found 25"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "should hold"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:-9], "damaged gzip"),
        (b"\x1f\x8bgarbage that is no deflate", "damaged gzip"),
    ],
)
def test_damaged_files_are_named(tmp_path, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "absent")
