"""The work folder: what is damaged in it is done again, and what cannot be written is said."""

import numpy as np
import pytest

from speck_adacal.adaptation.finished_work import FinishedWork
from speck_adacal.errors import OutputError

RESULT = {"table": np.arange(6.0).reshape(2, 3)}


def test_results_come_back(tmp_path):
    journal = FinishedWork(tmp_path / "work")
    assert journal.get("a") is None
    journal.put("a", RESULT)
    found = journal.get("a")
    assert found.keys() == RESULT.keys()
    np.testing.assert_array_equal(found["table"], RESULT["table"])
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["a.npz"]


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "other", "zip", "folder", "flipped"])
def test_what_is_damaged_is_done_again(tmp_path, damage):
    journal = FinishedWork(tmp_path)
    journal.put("a", RESULT)
    path = tmp_path / "a.npz"
    sound = path.read_bytes()
    if damage == "other":
        journal.put("b", RESULT)
        path.write_bytes((tmp_path / "b.npz").read_bytes())
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "flipped":
        where = sound.index(RESULT["table"].tobytes())
        path.write_bytes(sound[:where] + b"\x77" + sound[where + 1 :])
    else:
        path.write_bytes(
            {"empty": b"", "cut": sound[:-9], "garbage": b"x" * 99}.get(damage, b"PK\x03\x04")
        )
    assert journal.get("a") is None
    if damage != "folder":
        journal.put("a", RESULT)
        assert journal.get("a") is not None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "work").write_text("a file")
    with pytest.raises(OutputError, match=r"work.a\.npz cannot be written"):
        FinishedWork(tmp_path / "work").put("a", RESULT)
