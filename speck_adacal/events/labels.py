"""Labels as people keep them, brought to one form and checked, for every verb."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import CalibrationError

_LARGEST = 2**31 - 1
"""No network has more classes; larger numbers are hashes or damage."""


def checked_labels(
    labels: Any,
    samples: int,
    classes: int | None = None,
    *,
    where: str = "",
    error: type[Exception] = CalibrationError,
) -> npt.NDArray[np.int64]:
    """Class numbers, int64 `[samples]`, from 0.

    Args:
        labels: whole numbers `[samples]` or `[samples, 1]`, also as floats, or one-hot rows
            `[samples, classes]`; an array, a tensor, or a list.
        samples: how many there should be.
        classes: of the network that they are for; not checked where it is not known yet.
        where: what they belong to, for the message.
        error: the type raised.

    Raises:
        CalibrationError (or `error`): of another number or shape, not numbers, not whole,
            negative, or beyond the classes; the message names the first that is wrong.
    """
    of = f" of {where}" if where else ""
    try:
        values = np.asarray(labels)
    except (TypeError, ValueError) as problem:
        raise error(f"The labels{of} are no array ({problem}); give one number each.") from problem
    if values.dtype.kind not in "iubf":
        raise error(
            f"The labels{of} are of type {values.dtype}, needed are class numbers from 0; "
            "number the classes (np.unique(labels, return_inverse=True))."
        )
    values = _one_a_sample(values, of, error)
    if len(values) != samples:
        raise error(f"There are {samples} samples but {len(values)} labels{of}; give one each.")
    _refuse_wrong_values(values, classes, of, error)
    return values.astype(np.int64)


def _one_a_sample(values: npt.NDArray[Any], of: str, error: type[Exception]) -> npt.NDArray[Any]:
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2 and values.shape[1] > 1:
        hot = (values == 1).sum(axis=1)
        if np.all(hot == 1) and np.all((values == 0) | (values == 1)):
            result: npt.NDArray[Any] = values.argmax(axis=1)
            return result
    if values.ndim != 1:
        raise error(
            f"The labels{of} have shape {values.shape} and are not one-hot; give one class "
            "number for each sample."
        )
    return values


def _refuse_wrong_values(
    values: npt.NDArray[Any], classes: int | None, of: str, error: type[Exception]
) -> None:
    whole = np.isfinite(values) & (values == np.floor(values))
    wrong = np.flatnonzero(~whole)
    if len(wrong):
        raise error(
            f"Label {wrong[0]}{of} is {values[wrong[0]]}, needed are whole class numbers; for a "
            "network of continuous outputs leave labels out."
        )
    wrong = np.flatnonzero(values < 0)
    if len(wrong):
        raise error(
            f"Label {wrong[0]}{of} is {int(values[wrong[0]])}, allowed are numbers from 0; leave "
            "out samples without a class."
        )
    if classes is None:
        wrong = np.flatnonzero(values > _LARGEST)  # a cast to int64 would wrap
        if len(wrong):
            raise error(
                f"Label {wrong[0]}{of} is {values[wrong[0]]:g}, allowed are 0 to {_LARGEST}; "
                "number the classes (np.unique(labels, return_inverse=True))."
            )
        return
    wrong = np.flatnonzero(values >= classes)
    if len(wrong):
        raise error(
            f"Label {wrong[0]}{of} is {int(values[wrong[0]])}, allowed are 0 to {classes - 1}, as "
            f"the network has {classes} output{'s' * (classes != 1)}; number the classes from 0, "
            "or give the network that was trained on them."
        )
