"""Calibration inputs: checked, re-iterable, and cut into pieces that fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from speck_adacal.errors import CalibrationError
from speck_adacal.recipe.recipe import AdaptSettings


class CalibrationBatches:
    """Calibration tensors with the meaning that the settings give them.

    Args:
        batches: a re-iterable of float32 tensors: event counts `[batch, T, *input_shape]` for
            `input_coding="events"`, or `[batch, *input_shape]` for `"analog"`. Something that can
            be iterated only once is kept in memory.
        input_shape: shape of one input.
        settings: T, the input coding and the batch size to run.

    Raises:
        CalibrationError: nothing in it, other shapes than traced, or NaN inputs; when iterated.
    """

    def __init__(
        self, batches: Iterable[torch.Tensor], input_shape: tuple[int, ...], settings: AdaptSettings
    ) -> None:
        self._batches = list(batches) if iter(batches) is batches else batches
        self._shape = input_shape
        self._settings = settings

    @property
    def analog(self) -> bool:
        """Whether inputs are analog, the same at every step."""
        return self._settings.input_coding == "analog"

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Pieces of at most `settings.batch_size` samples."""
        found = False
        for index, batch in enumerate(self._batches):
            for piece in self._checked(batch, index).split(self._settings.batch_size):
                if len(piece):
                    found = True
                    yield piece
        if not found:
            raise CalibrationError(
                "The calibration data hold no samples; give at least one batch, better a few "
                "hundred samples that look like those at inference."
            )

    def without_data(self) -> CalibrationBatches:
        """The same meaning, and no samples."""
        return CalibrationBatches((), self._shape, self._settings)

    def first(self, samples: int) -> list[torch.Tensor]:
        """Pieces with the first `samples` samples together."""
        kept: list[torch.Tensor] = []
        for piece in self:
            kept.append(piece[: samples - sum(len(k) for k in kept)])
            if sum(len(k) for k in kept) >= samples:
                break
        return kept

    def ann_input(self, piece: torch.Tensor) -> torch.Tensor:
        """What the ANN sees: the mean over the time steps, `[batch, *input_shape]`."""
        return piece if self.analog else piece.mean(1)

    def snn_input(self, piece: torch.Tensor) -> torch.Tensor:
        """What the spiking network sees, `[batch, T, ...]`, or `[batch, 1, ...]` if analog."""
        return piece.unsqueeze(1) if self.analog else piece

    def _checked(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        steps = () if self.analog else (self._settings.time_steps,)
        wanted = (*steps, *self._shape)
        if not isinstance(batch, torch.Tensor) or tuple(batch.shape[1:]) != wanted:
            shape = tuple(batch.shape) if isinstance(batch, torch.Tensor) else type(batch).__name__
            coding = self._settings.input_coding
            raise CalibrationError(
                f"Calibration batch {index} has shape {shape}, but input_coding={coding!r} needs "
                f"[batch, {', '.join(map(str, wanted))}]; encode the inputs, or trace with their "
                "shape."
            )
        if not bool(torch.isfinite(batch).all()):
            raise CalibrationError(
                f"Calibration batch {index} holds NaN or infinite inputs; clean the data."
            )
        return batch.float()
