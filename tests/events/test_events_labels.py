"""Labels as people keep them: one form, or a sentence that says what is wrong."""

import numpy as np
import pytest
import torch

from speck_adacal.errors import CalibrationError, DataError
from speck_adacal.events.labels import checked_labels
from speck_adacal.events.sample_files import load_samples

LABELS = np.arange(12) % 4


@pytest.mark.parametrize(
    "form",
    [
        LABELS,
        LABELS.tolist(),
        LABELS[:, None],
        LABELS.astype(np.float64),
        LABELS.astype(np.uint8),
        np.eye(4)[LABELS],
        np.eye(4, dtype=bool)[LABELS],
        torch.from_numpy(LABELS),
    ],
)
def test_every_usual_form_is_understood(form):
    found = checked_labels(form, 12, 4)
    assert found.dtype == np.int64
    assert found.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (LABELS[:-1], "12 samples but 11 labels"),
        (LABELS + 1, r"Label 3 is 4, allowed are 0 to 3, as the network has 4 outputs"),
        (LABELS - 1, "Label 0 is -1, allowed are numbers from 0"),
        (LABELS + 0.5, "Label 0 is 0.5, needed are whole class numbers"),
        (np.where(LABELS == 2, np.nan, LABELS), "Label 2 is nan"),
        (np.array(list("abcd"))[LABELS], "of type <U1"),
        (np.eye(4)[LABELS] * 0.7, "not one-hot"),
        (np.zeros((12, 0)), "not one-hot"),
        (np.array(3), r"shape \(\)"),
        ([[1], [1, 2]], "no array"),
        (None, "of type object"),
    ],
)
def test_what_no_label_can_be_is_named(form, message):
    with pytest.raises(CalibrationError, match=message):
        checked_labels(form, 12, 4)


def test_one_output_has_one_class():
    with pytest.raises(CalibrationError, match="0 to 0, as the network has 1 output;"):
        checked_labels(LABELS, 12, 1)


def test_labels_of_files(tmp_path):
    images = np.zeros((12, 1, 4, 4), np.float32)
    np.savez(tmp_path / "a.npz", images=images, labels=np.eye(4)[LABELS])
    assert load_samples(tmp_path / "a.npz").labels.tolist() == LABELS.tolist()
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS - 7)
    with pytest.raises(DataError, match=r"Label 0 of .*a\.npz is -7"):
        load_samples(tmp_path / "a.npz")


@pytest.mark.parametrize("huge", [np.uint64(2**63), np.float64(1e300), np.int64(2**31)])
def test_numbers_beyond_every_network_are_not_wrapped(huge):
    with pytest.raises(CalibrationError, match="allowed are 0 to 2147483647"):
        checked_labels(np.full(3, huge), 3)
