"""Any function of spike trains without an error of its own: differences of it on running means."""

from __future__ import annotations

import copy
from typing import Any

import torch
from sinabs import layers as sl
from torch import nn

from speck_adacal.errors import ModelError


class RunningTotals(sl.StatefulLayer):
    """`y_t = t · f(X_t / t) - (t - 1) · f(X_{t-1} / (t - 1))`, with X the totals of the inputs.

    The outputs of the first t steps add up to t · f(mean input) at every t, so that no error is
    made however the spikes are spread over time; a function of each step's spikes would have
    another mean wherever f is not linear. Max pooling, products of two spike trains, soft-max,
    normalisation and smooth activations all run so. Totals are kept, and f is run, in float64.

    Args:
        function: f, of one or several tensors `[batch, *shape]`; it is copied.
        homogeneous: f(c·x) = c·f(x) for c > 0, as of maxima; it is run on the totals then.

    Shape:
        one or several `[batch, time, *shape]` to `[batch, time, *out]`.
    """

    def __init__(self, function: nn.Module, *, homogeneous: bool = False) -> None:
        super().__init__(state_names=[])
        self.totals: list[torch.Tensor] = []
        self.reached: torch.Tensor | None = None
        self.steps_run = 0
        self.function, self.homogeneous = copy.deepcopy(function).double(), homogeneous

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Run all steps of the inputs.

        Raises:
            ModelError: an input has no time axis, or their numbers of samples or steps differ.
        """
        if any(x.ndim < 3 for x in inputs) or len({x.shape[:2] for x in inputs}) != 1:
            raise ModelError(
                "RunningTotals needs inputs [batch, time, ...] of as many samples and steps, found "
                f"{', '.join(str(tuple(x.shape)) for x in inputs)}."
            )
        if [t.shape for t in self.totals] != [x[:, 0].shape for x in inputs]:
            self.reset_states()
            self.totals = [torch.zeros_like(x[:, 0], dtype=torch.float64) for x in inputs]
        risen = []
        for step in zip(*(x.unbind(1) for x in inputs), strict=True):
            # One step's totals at a time: all of them are several times the input.
            self.totals = [total + x for total, x in zip(self.totals, step, strict=True)]
            self.steps_run += 1
            steps = 1 if self.homogeneous else self.steps_run
            reached = self.function(*(total / steps for total in self.totals)) * steps
            before = 0 if self.reached is None else self.reached
            risen.append((reached - before).to(inputs[0].dtype))
            self.reached = reached
        self.totals = [total.detach() for total in self.totals]
        self.reached = None if self.reached is None else self.reached.detach()
        return torch.stack(risen, 1)

    def reset_states(self, randomize: bool = False, value_ranges: Any = None) -> None:
        """Forget all totals."""
        self.totals, self.reached, self.steps_run = [], None, 0

    @property
    def _param_dict(self) -> dict[str, Any]:
        return {"function": self.function, "homogeneous": self.homogeneous}

    def __deepcopy__(self, memo: Any = None) -> RunningTotals:
        made = RunningTotals(**self._param_dict)
        made.totals = [total.clone() for total in self.totals]
        made.reached = None if self.reached is None else self.reached.clone()
        made.steps_run = self.steps_run
        made.training = self.training
        return made
