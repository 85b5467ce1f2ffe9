"""Bring whatever the user has (images, recordings, a loader) to re-iterable calibration batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from speck_adacal.adapt.recipe import AdaptSettings
from speck_adacal.errors import CalibrationError
from speck_adacal.events import Events
from speck_adacal.events.encode import rate_code_frames


@dataclass(frozen=True, eq=False)
class Batches:
    """Encoded samples, iterated over as often as needed.

    Attributes:
        samples: float32 `[n, T, *input_shape]` event counts per step, or `[n, *input_shape]`
            where the input is analog.
        batch_size: samples per batch.
    """

    samples: torch.Tensor
    batch_size: int

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from self.samples.split(self.batch_size)

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)


def encode_samples(
    data: Any, input_shape: tuple[int, ...], settings: AdaptSettings
) -> Batches:
    """Encode samples as the network will see them.

    Args:
        data: one of: images, a tensor or array `[n, *input_shape]` (values 0 to 1 where the
            input is coded as events); event counts `[n, T, *input_shape]`; a sequence of
            `Events`; or an iterable (such as a `DataLoader`) of image batches, or of tuples
            whose first member is one.
        input_shape: shape of one input.
        settings: time steps, coding, batch size and seed.

    Raises:
        CalibrationError: the data are empty, of another shape, not finite, or outside 0..1 where
            they must be rate-coded.
    """
    if isinstance(data, Events):
        data = [data]
    if isinstance(data, Sequence) and data and all(isinstance(item, Events) for item in data):
        samples = _bin_recordings(data, input_shape, settings)
    else:
        samples = _encode_images(_as_tensor(data), input_shape, settings)
    if not torch.isfinite(samples).all():
        first = int((~torch.isfinite(samples)).flatten(1).any(1).nonzero()[0])
        raise CalibrationError(
            f"Sample {first} holds NaN or infinite values; remove or repair it first."
        )
    return Batches(samples, settings.batch_size)


def _bin_recordings(
    recordings: Sequence[Events], input_shape: tuple[int, ...], settings: AdaptSettings
) -> torch.Tensor:
    if settings.input_coding != "events":
        raise CalibrationError(
            "Recordings of events were given with input_coding='analog'; use 'events'."
        )
    for index, recording in enumerate(recordings):
        if recording.shape != tuple(input_shape):
            raise CalibrationError(
                f"Recording {index} has shape {recording.shape}, the network takes "
                f"{tuple(input_shape)}; crop or pool the recordings, or change input_shape."
            )
    frames = np.stack([recording.to_frames(settings.time_steps) for recording in recordings])
    return torch.from_numpy(frames)


def _encode_images(
    images: torch.Tensor, input_shape: tuple[int, ...], settings: AdaptSettings
) -> torch.Tensor:
    shape = tuple(input_shape)
    counts = (settings.time_steps, *shape)
    if images.ndim == len(shape) + 2 and tuple(images.shape[1:]) == counts:
        return images
    if tuple(images.shape[1:]) != shape:
        raise CalibrationError(
            f"Samples have shape {tuple(images.shape[1:])}, the network takes {shape} (or "
            f"{counts} for event counts per step); check input_shape and the calibration set."
        )
    if settings.input_coding == "analog":
        return images
    low, high = float(images.min()), float(images.max())
    if not (low >= 0.0 and high <= 1.0):
        raise CalibrationError(
            f"Images have values from {low:.3g} to {high:.3g}, rate coding needs 0 to 1; scale "
            "them (and fold the scale into the first layer), or use input_coding='analog'."
        )
    return torch.from_numpy(rate_code_frames(images.numpy(), settings.time_steps))


def _as_tensor(data: Any) -> torch.Tensor:
    if isinstance(data, np.ndarray):
        data = torch.from_numpy(np.ascontiguousarray(data))
    if isinstance(data, torch.Tensor):
        if len(data) == 0:
            raise CalibrationError("The calibration set is empty; give at least a few dozen samples.")
        return data.detach().float()
    if not isinstance(data, Iterable):
        raise CalibrationError(
            f"Cannot calibrate on a {type(data).__name__}; give images, recordings or a loader."
        )
    parts = [_first_member(item) for item in data]
    if not parts:
        raise CalibrationError("The calibration set is empty; give at least a few dozen samples.")
    if len({part.shape[1:] for part in parts}) != 1:
        raise CalibrationError("The calibration loader yields batches of different shapes.")
    return torch.cat(parts).detach().float()


def _first_member(item: Any) -> torch.Tensor:
    member = item[0] if isinstance(item, (tuple, list)) else item
    if isinstance(member, np.ndarray):
        member = torch.from_numpy(member)
    if not isinstance(member, torch.Tensor):
        raise CalibrationError(
            f"The calibration loader yields {type(member).__name__}, batches of tensors (or "
            "tuples that begin with one) are needed; for recordings give a list of Events."
        )
    return member
