"""Inputs that are encoded already, as batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from speck_adacal.errors import CalibrationError
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.samples.batches import Batches, Form


def encoded_batches(
    batches: Iterable[torch.Tensor], input_shape: tuple[int, ...], settings: AdaptSettings
) -> Batches:
    """Inputs as the network is to see them, checked.

    Args:
        batches: `Batches`, which are taken as they are; or float32 tensors
            `[batch, T, *input_shape]` for `input_coding="events"`, `[batch, *input_shape]` for
            `"analog"`.
        input_shape: shape of one input.
        settings: T, the input coding and the batch size to run.

    Raises:
        CalibrationError: nothing in it, other shapes than traced, or NaN inputs.
    """
    if isinstance(batches, Batches):
        for name in ("time_steps", "input_coding"):
            own, asked = getattr(batches.settings, name), getattr(settings, name)
            if own != asked:
                raise CalibrationError(
                    f"The samples were prepared with {name}={own!r}, and {asked!r} is asked for; "
                    "prepare them with the settings that they are used with."
                )
        return batches.with_batch_size(settings.batch_size)
    analog = settings.input_coding == "analog"
    wanted = tuple(input_shape) if analog else (settings.time_steps, *input_shape)
    parts = [_checked(batch, index, wanted, settings) for index, batch in enumerate(batches)]
    if not sum(len(part) for part in parts):
        raise CalibrationError(
            "The calibration data hold no samples; give at least one batch, better a few "
            "hundred samples that look like those at inference."
        )
    source = parts[0] if len(parts) == 1 else torch.cat(parts)
    return Batches(source, settings, Form.IMAGES if analog else Form.CURRENTS)


def _checked(
    batch: Any, index: int, wanted: tuple[int, ...], settings: AdaptSettings
) -> torch.Tensor:
    if not isinstance(batch, torch.Tensor) or tuple(batch.shape[1:]) != wanted:
        shape = tuple(batch.shape) if isinstance(batch, torch.Tensor) else type(batch).__name__
        raise CalibrationError(
            f"Calibration batch {index} has shape {shape}, but "
            f"input_coding={settings.input_coding!r} needs [batch, "
            f"{', '.join(map(str, wanted))}]; encode the inputs, or trace with their shape."
        )
    if not bool(torch.isfinite(batch).all()):
        raise CalibrationError(
            f"Calibration batch {index} holds NaN or infinite inputs; clean the data."
        )
    return batch.float()
