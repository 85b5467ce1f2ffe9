"""The one reader of NumPy's files: plain arrays as they were, or a sentence; never an explosion."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from speck_adacal.bundle.array_files import is_array_file, read_arrays
from speck_adacal.errors import BundleError, DataError


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy_with(header, data=b""):
    """A `.npy` of version 1.0 with this header, which may be anything."""
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


ARRAYS = {
    "plain": np.arange(6).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "nothing": np.zeros((3, 0), np.uint8),
    "scalar": np.array(5),
    "text": np.array("x"),
    "fields": np.zeros(2, dtype=[("t", "<i8"), ("p", "?")]),
}


def test_arrays_come_back_as_they_were(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **ARRAYS)
    found = read_arrays(path)
    assert found.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    assert read_arrays(path, ["text", "absent"]).keys() == {"text"}
    np.save(tmp_path / "b.npy", ARRAYS["plain"])
    np.testing.assert_array_equal(read_arrays(tmp_path / "b.npy")[""], ARRAYS["plain"])
    assert is_array_file(path)
    assert is_array_file(tmp_path / "b.npy")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000000,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (True,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), ",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (((((((",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<U99999999999', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': [('t', '<i8'), ('t', '<i8')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': 5, 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<V0', 'fortran_order': False, 'shape': (1,), }",
        "__import__('os').abort()",
        "[" * 5000,
        "x" * 20_000,
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_headers_that_lie_or_are_damaged(header, wrapped):
    data = npy_with(header, bytes(8))
    if wrapped:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("images.npy", data)
        data = buffer.getvalue()
    with pytest.raises(DataError):
        read_arrays(data)


def test_a_bomb_is_refused_before_memory_is_taken():
    data = npz(images=np.zeros(200 << 20, np.uint8))
    tracemalloc.start()
    with pytest.raises(DataError, match="zip bomb"):
        read_arrays(data)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_doubled_and_encrypted_members_and_other_methods():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", npy_with(""))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", npy_with(""))
    with pytest.raises(DataError, match="two of one name"):
        read_arrays(buffer.getvalue())
    sound = bytearray(npz(a=np.arange(3)))
    where = sound.index(b"PK\x01\x02")
    for offset, value, message in ((8, 1, "encrypted"), (10, 99, "method 99")):
        data = bytearray(sound)
        data[where + offset] = value
        with pytest.raises(DataError, match=message):
            read_arrays(bytes(data))


def test_every_flipped_byte_is_found_or_harmless():
    sound = npz(a=np.arange(40), b=np.array([1.5, 2.5]))
    rng = np.random.default_rng(0)
    for place in range(len(sound)):
        data = bytearray(sound)
        data[place] ^= 1 << int(rng.integers(8))
        try:
            found = read_arrays(bytes(data))
        except DataError:
            continue
        for name, values in found.items():
            if name in ("a", "b"):
                np.testing.assert_array_equal(values, {"a": np.arange(40), "b": [1.5, 2.5]}[name])


def test_missing_files_and_the_error_asked_for(tmp_path):
    with pytest.raises(BundleError, match=r"there\.npz cannot be read"):
        read_arrays(tmp_path / "there.npz", error=BundleError)
    with pytest.raises(DataError, match="this one"):
        read_arrays(b"PK\x03\x04", called="this one")
    assert not is_array_file(tmp_path / "there.npz")
