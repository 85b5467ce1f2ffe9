"""AdaFire on batch and time in one axis, as sinabs' squeezed layers are."""

from __future__ import annotations

from typing import Any

import torch
from sinabs import layers as sl
from torch import nn

from speck_adacal.snn.adafire import AdaFire


class AdaFireSqueeze(AdaFire, sl.SqueezeMixin):
    """`AdaFire` on `[batch * time, *shape]`, like sinabs' `IAFSqueeze`.

    Args:
        batch_size: batch size, or None where `num_timesteps` is given.
        num_timesteps: time steps, or None where `batch_size` is given.
        kwargs: as for `AdaFire`.
    """

    def __init__(
        self, batch_size: int | None = None, num_timesteps: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.squeeze_init(batch_size, num_timesteps)

    def forward(self, input_data: torch.Tensor) -> torch.Tensor:
        """Run all time steps of `[batch * time, *shape]`."""
        output: torch.Tensor = self.squeeze_forward(input_data, super().forward)
        return output

    def as_iaf(self) -> nn.Module:
        """The same neurons as sinabs' own `IAFSqueeze`; see `AdaFire.as_iaf`."""
        plain = super().as_iaf()
        layer = sl.IAFSqueeze(
            batch_size=None if self.batch_size < 0 else self.batch_size,
            num_timesteps=None if self.num_timesteps < 0 else self.num_timesteps,
            spike_threshold=plain.spike_threshold.detach(),  # type: ignore[operator]
            spike_fn=plain.spike_fn,
            min_v_mem=None if plain.min_v_mem is None else plain.min_v_mem.detach(),  # type: ignore[operator]
        )
        return self._start_like(layer)

    @property
    def _param_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = self.squeeze_param_dict(super()._param_dict)
        return values
