"""Bring whatever the user has (images, recordings, a loader) to re-iterable batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import torch

from speck_adacal.errors import CalibrationError
from speck_adacal.events import Events
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.events.encode import rate_code, rate_code_frames
from speck_adacal.events.steps import counts_to_events
from speck_adacal.recipe.recipe import AdaptSettings, Recipe

LARGEST_AT_ONCE = 1 << 26
"""Values of the largest layer, over all steps and the samples of a batch: 256 MiB."""

_EMPTY = "The calibration set is empty; give at least a few dozen samples."


class Form(Enum):
    """What the samples of a set are."""

    IMAGES = "images"  # float32 [n, *input_shape]
    COUNTS = "counts"  # events per step, [n, T, *input_shape]
    RECORDINGS = "recordings"  # Events, one a sample
    CURRENTS = "currents"  # what the network is to see at each step, [n, T, *input_shape]


@dataclass(frozen=True, eq=False)
class Batches:
    """Samples, encoded batch by batch as often as they are iterated over.

    Iterating yields float32 `[batch, T, *input_shape]`, what the network sees at each step; or
    `[batch, *input_shape]` where the input is analog, the same at every step.

    Attributes:
        source: the samples, in the form that `form` names.
        settings: time steps, coding and batch size.
        form: images, event counts, recordings, or inputs that are encoded already.
        constant: a channel sent beside the samples' own, which the trained network does not see.
    """

    source: torch.Tensor | tuple[Events, ...]
    settings: AdaptSettings
    form: Form
    constant: ConstantChannel | None = None

    @property
    def is_analog(self) -> bool:
        """Whether the network sees the same analog input at every step."""
        return self.settings.input_coding == "analog" and self.form is Form.IMAGES

    @property
    def amplitude(self) -> float:
        """What one event is worth in units of the network's input."""
        coded = self.form is Form.IMAGES and not self.is_analog
        return 1 / self.settings.input_burst if coded else 1.0

    @property
    def step_us(self) -> float:
        """Length of a time step on the chip; of recordings the median."""
        if isinstance(self.source, torch.Tensor):
            return 1000.0
        durations = [recording.duration_us + 1 for recording in self.source]
        return float(np.median(durations)) / self.settings.time_steps

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.source)

    def __len__(self) -> int:
        return -(-self.samples // self.settings.batch_size)

    def __iter__(self) -> Iterator[torch.Tensor]:
        for part in self._parts():
            yield self._with_constant(self._encode(part))

    def network_inputs(self) -> Iterator[torch.Tensor]:
        """Batches as the trained network sees them, float32 `[batch, *input_shape]`: images as
        they are, or the mean over the steps."""
        for part in self._parts():
            if isinstance(part, torch.Tensor) and self.form is Form.IMAGES:
                yield part
            else:
                yield self._encode(part).mean(dim=1)

    def held(self) -> Iterator[torch.Tensor]:
        """Batches as a rewritten network sees them: `network_inputs`, with the constant channel."""
        for batch in self.network_inputs():
            yield self._with_constant(batch.unsqueeze(1)).squeeze(1)

    def ann_input(self, batch: torch.Tensor) -> torch.Tensor:
        """The mean over the steps of a batch, `[batch, *input_shape]`."""
        return batch if self.is_analog else batch.mean(1)

    def snn_input(self, batch: torch.Tensor) -> torch.Tensor:
        """What the spiking network sees of a batch, `[batch, T, ...]`; `[batch, 1, ...]` if the
        input is analog."""
        return batch.unsqueeze(1) if self.is_analog else batch

    def part(self, indices: Sequence[int]) -> Batches:
        """Some of the samples."""
        if isinstance(self.source, torch.Tensor):
            return replace(self, source=self.source[torch.as_tensor(list(indices))])
        return replace(self, source=tuple(self.source[i] for i in indices))

    def between(self, start: int, stop: int | None) -> Batches:
        """The samples from `start` to before `stop`; without a copy."""
        return replace(self, source=self.source[start:stop])

    def with_batch_size(self, size: int) -> Batches:
        """The same samples in other batches."""
        return replace(self, settings=replace(self.settings, batch_size=size))

    def fitting(self, largest: int) -> Batches:
        """The same samples in batches that fit into memory; in the same ones where those do.

        Args:
            largest: values that a sample has in the network's largest layer, in one step.
        """
        room = LARGEST_AT_ONCE // (largest * self.settings.time_steps)
        return self.with_batch_size(max(1, min(self.settings.batch_size, room)))

    def recordings(self) -> list[Events]:
        """The samples as the chip sees them: recordings as they are, images rate-coded, each with
        the constant channel."""
        constant, steps = self.constant, self.settings.time_steps
        found = self._own_recordings()
        return found if constant is None else [constant.added_to(r, steps) for r in found]

    def _own_recordings(self) -> list[Events]:
        if not isinstance(self.source, torch.Tensor):
            return list(self.source)
        if self.form is not Form.IMAGES:
            return [
                counts_to_events(counts.numpy(), seed=self.settings.seed) for counts in self.source
            ]
        return [
            rate_code(
                image.numpy(),
                time_steps=self.settings.time_steps,
                max_events_per_step=self.settings.input_burst,
                seed=self.settings.seed,
            )
            for image in self.source
        ]

    def _parts(self) -> Iterator[torch.Tensor | tuple[Events, ...]]:
        size = self.settings.batch_size
        for start in range(0, self.samples, size):
            yield self.source[start : start + size]

    def _with_constant(self, encoded: torch.Tensor) -> torch.Tensor:
        """`[batch, T, channels, height, width]` with the constant as one channel more."""
        if self.constant is None:
            return encoded
        height, width = encoded.shape[-2:]
        constant = torch.from_numpy(self.constant.counts(height, width)) * self.amplitude
        channel = constant.expand(*encoded.shape[:2], 1, height, width)
        return torch.cat((encoded, channel), dim=2)

    def _encode(self, part: torch.Tensor | tuple[Events, ...]) -> torch.Tensor:
        steps = self.settings.time_steps
        if not isinstance(part, torch.Tensor):
            return torch.from_numpy(np.stack([recording.to_frames(steps) for recording in part]))
        if self.form is not Form.IMAGES or self.is_analog:
            return part
        frames = rate_code_frames(
            part.numpy(),
            steps,
            max_events_per_step=self.settings.input_burst,
            seed=self.settings.seed,
        )
        return torch.from_numpy(frames) * self.amplitude


def encode_for(data: Any, input_shape: tuple[int, ...], recipe: Recipe) -> Batches:
    """Samples as a network with a recipe will see them: `encode_samples`, with its constant.

    Args:
        data: as for `encode_samples`.
        input_shape: of the trained network's input, without the constant.
        recipe: its settings, and the constant channel if there is one.

    Raises:
        CalibrationError: as for `encode_samples`.
    """
    encoded = encode_samples(data, input_shape, recipe.settings)
    return replace(encoded, constant=recipe.constant)


def encode_samples(data: Any, input_shape: tuple[int, ...], settings: AdaptSettings) -> Batches:
    """Check samples and prepare them as the network will see them.

    Args:
        data: one of: images, a tensor or array `[n, *input_shape]` (values 0 to 1 where the
            input is coded as events); event counts `[n, T, *input_shape]`; `Events` or a
            sequence of them; or an iterable (such as a `DataLoader`) of image batches, or of
            tuples whose first member is one.
        input_shape: shape of one input.
        settings: time steps, coding, batch size and seed.

    Raises:
        CalibrationError: the data are empty, of another shape, not finite, or outside 0..1 where
            they must be rate-coded.
    """
    shape = tuple(input_shape)
    if isinstance(data, Events):
        data = [data]
    if isinstance(data, Sequence) and data and all(isinstance(item, Events) for item in data):
        _check_recordings(data, shape, settings)
        own = tuple(recording.from_own_start() for recording in data)
        return Batches(own, settings, Form.RECORDINGS)
    samples = _as_tensor(data)
    is_counts = tuple(samples.shape[1:]) == (settings.time_steps, *shape)
    if not is_counts and tuple(samples.shape[1:]) != shape:
        raise CalibrationError(
            f"Samples have shape {tuple(samples.shape[1:])}, the network takes {shape} (or "
            f"{(settings.time_steps, *shape)} for event counts per step); check input_shape and "
            "the calibration set."
        )
    _check_values(samples, settings, is_counts=is_counts)
    return Batches(samples, settings, Form.COUNTS if is_counts else Form.IMAGES)


def _check_recordings(
    recordings: Sequence[Events], shape: tuple[int, ...], settings: AdaptSettings
) -> None:
    if settings.input_coding != "events":
        raise CalibrationError(
            "Recordings of events were given with input_coding='analog'; use 'events'."
        )
    for index, recording in enumerate(recordings):
        if recording.shape != shape:
            raise CalibrationError(
                f"Recording {index} has shape {recording.shape}, the network takes {shape}; "
                "crop or pool the recordings, or change input_shape."
            )


def _check_values(samples: torch.Tensor, settings: AdaptSettings, *, is_counts: bool) -> None:
    finite = torch.isfinite(samples).flatten(1).all(1)
    if not finite.all():
        first = int((~finite).nonzero()[0])
        raise CalibrationError(
            f"Sample {first} holds NaN or infinite values; remove or repair it first."
        )
    low, high = float(samples.min()), float(samples.max())
    if settings.input_coding == "events" and not is_counts and (low < 0.0 or high > 1.0):
        raise CalibrationError(
            f"Images have values from {low:.3g} to {high:.3g}, rate coding needs 0 to 1; scale "
            "them and give the network their normalisation (adapt --normalize MEAN STD, or "
            "ann.modules.Normalised), or use input_coding='analog' (--input-coding analog)."
        )
    if is_counts and (low < 0.0 or bool((samples != samples.round()).any())):
        raise CalibrationError(
            "Event counts per step must be whole numbers of at least 0; for images leave out "
            "the time axis."
        )


def _as_tensor(data: Any) -> torch.Tensor:
    if isinstance(data, np.ndarray):
        data = torch.from_numpy(np.ascontiguousarray(data))
    if isinstance(data, torch.Tensor):
        if len(data) == 0:
            raise CalibrationError(_EMPTY)
        return data.detach().float().cpu()
    if not isinstance(data, Iterable):
        raise CalibrationError(
            f"Cannot calibrate on a {type(data).__name__}; give images, recordings or a loader."
        )
    parts = [_first_member(item) for item in data]
    if not parts or not sum(len(part) for part in parts):
        raise CalibrationError(_EMPTY)
    if len({part.shape[1:] for part in parts}) != 1:
        raise CalibrationError(
            "The calibration loader yields batches of different shapes; make them equal."
        )
    return torch.cat(parts).detach().float().cpu()


def _first_member(item: Any) -> torch.Tensor:
    member = item[0] if isinstance(item, tuple | list) else item
    if isinstance(member, np.ndarray):
        member = torch.from_numpy(member)
    if not isinstance(member, torch.Tensor) or member.ndim == 0:
        raise CalibrationError(
            f"The calibration loader yields {type(member).__name__}, batches of tensors (or "
            "tuples that begin with one) are needed; for recordings give a list of Events."
        )
    return member
