"""The AdaFire neuron: up to φ spikes a step, subtract, start at half a threshold."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from sinabs import layers as sl
from sinabs.activation import MaxSpike
from torch import nn

from speck_adacal.errors import ModelError
from speck_adacal.snn._burst import burst
from speck_adacal.snn._kernel import Array
from speck_adacal.snn._values import Values, broadcastable, check_settings, constant
from speck_adacal.snn.fused import Settings, Tally, fused_forward, fused_usable
from speck_adacal.snn.spike_counts import count_afterwards
from speck_adacal.snn.step_bias import biased


class _Flat(NamedTuple):
    """θ as the kernels have it, and what it was made of."""

    key: tuple[object, ...]
    threshold: torch.Tensor
    values: Array


class AdaFire(sl.StatefulLayer):
    """Integrate-and-fire neurons with adaptive burst firing (Adaptive Calibration, eqs. 1-3, 12).

    In every step `u = v + x`, `k = clip(floor(u / θ), 0, φ)` with `θ = ρ · V_th`, the output is
    `k · θ` (or `k`), and `v = u - k · θ`. With a sign, for values that may be below zero, the clip
    is to -φ … φ, and a negative spike adds θ to the potential. A time step is a bin of the paper's
    model; the chip's rule (one spike per input event) is the twin's.

    Args:
        spike_threshold: V_th in the unit of the input, above 0; a number, `[channels]`
            (the axis after time), or anything that broadcasts to the layer's shape.
        phi: φ, the largest number of spikes in a step.
        rho: ρ, threshold ratio.
        initial_potential: membrane potential before the first step, the same forms as
            `spike_threshold`; half the firing threshold θ by default.
        min_v_mem: lower clip of the membrane potential, the same forms as `spike_threshold`;
            none by default.
        step_bias: added to the input of each channel at each step, `[T, channels]` (or with the
            axes of the layer's shape); none by default.
        signed: neurons with a sign.
        emit_counts: emit spike counts `k` instead of amplitudes `k · θ`.

    Shape:
        float32 `[batch, time, *shape]` to the same.

    Attributes:
        v_mem: membrane potential `[batch, *shape]`, empty until first used. It carries over from
            call to call until `reset_states()`, and starts anew where the batch or shape change.

    Raises:
        SettingsError: φ below 1, or a threshold or ρ that is not above 0.
    """

    def __init__(
        self,
        spike_threshold: Values = 1.0,
        phi: int = 4,
        rho: float = 1.0,
        initial_potential: Values | None = None,
        min_v_mem: Values | None = None,
        *,
        step_bias: torch.Tensor | None = None,
        signed: bool = False,
        emit_counts: bool = False,
    ) -> None:
        super().__init__(state_names=["v_mem"])
        self.v_mem: torch.Tensor
        check_settings(spike_threshold, phi, rho)
        self.spike_threshold = constant(spike_threshold)
        self.phi = constant(torch.tensor(int(phi)))
        self.rho = constant(torch.tensor(float(rho), dtype=torch.float64))
        if initial_potential is None:
            initial_potential = self.theta / 2
        self.initial_potential = constant(initial_potential)
        self.min_v_mem = None if min_v_mem is None else constant(min_v_mem)
        self.step_bias = None if step_bias is None else constant(step_bias)
        self.steps_run = 0
        self.signed, self.emit_counts = signed, emit_counts
        self._flat = _Flat((), torch.empty(0), np.empty(0, np.float32))

    @property
    def theta(self) -> torch.Tensor:
        """Firing threshold θ = ρ · V_th, float32."""
        return (self.rho * self.spike_threshold.double()).float()

    @property
    def max_num_spikes_per_bin(self) -> int:
        """φ, under the name that sinabs' `MaxSpike` has for it."""
        return int(self.phi)

    @property
    def least(self) -> torch.Tensor:
        """The least spikes of a step: 0, or -φ with a sign."""
        return -self.phi if self.signed else torch.zeros_like(self.phi)

    def forward(self, input_data: torch.Tensor) -> torch.Tensor:
        """Run all time steps of `[batch, time, *shape]`."""
        if input_data.ndim < 3:
            raise ModelError(
                f"AdaFire needs [batch, time, ...], found shape {tuple(input_data.shape)}; "
                "use AdaFireSqueeze for [batch * time, ...]."
            )
        return self.run(input_data, input_data.shape[1])

    def run(
        self,
        current: torch.Tensor,
        time_steps: int,
        out: torch.Tensor | None = None,
        tally: Tally | None = None,
    ) -> torch.Tensor:
        """Like `forward`; `current` may also be `[batch, 1, *shape]`, held for `time_steps`.

        Args:
            current: input; never changed unless it is `out` too.
            time_steps: T.
            out: float32 `[batch, time_steps, *shape]` that the result may be put in; used by the
                fused kernel only, and only if it is contiguous, so go on with what is returned.
            tally: where to count spikes and SynOps, as the kernel goes; see `snn.spike_counts`.
        """
        fused = self.fuses(current)
        if self.step_bias is not None:
            current, out = biased(self.step_bias, self.steps_run, current, time_steps, out)
            self.steps_run += time_steps
        if fused:
            return self._fused(current, time_steps, out, tally)
        spikes = self._plain(current, time_steps)
        if tally:
            count_afterwards(spikes, torch.ones(()) if self.emit_counts else self.theta, tally)
        return spikes

    def _fused(
        self,
        current: torch.Tensor,
        time_steps: int,
        out: torch.Tensor | None,
        tally: Tally | None,
    ) -> torch.Tensor:
        """All steps by the kernel."""
        current, settings = self.for_kernel(current)
        shape = (current.shape[0], time_steps, *current.shape[2:])
        fits = out is not None and out.shape == shape and out.dtype is torch.float32
        if out is None or not fits or not out.is_contiguous():
            out = torch.empty(shape)
        fused_forward(current, self.v_mem, out, settings, self.emit_counts, tally)
        return out

    def for_kernel(self, current: torch.Tensor) -> tuple[torch.Tensor, Settings]:
        """`current`, contiguous as the state is made too, and θ, φ and clip for it."""
        current, self.v_mem = current.contiguous(), self.v_mem.contiguous()
        low = -math.inf if self.min_v_mem is None else float(self.min_v_mem)
        theta, least = self._flat_theta(tuple(current.shape[2:])), int(self.least)
        return current, Settings(theta, int(self.phi), least, low)

    def fuses(self, current: torch.Tensor) -> bool:
        """Whether a compiled kernel can run all steps of `current`; gives the state its shape."""
        state = (current.shape[0], *current.shape[2:])
        if self.v_mem.shape != state:
            self.init_state_with_shape(state)
        uniform_low = self.min_v_mem is None or self.min_v_mem.numel() == 1
        return uniform_low and fused_usable(current, self.v_mem)

    def _flat_theta(self, shape: tuple[int, ...]) -> Array:
        """θ for the kernels, one value or one per neuron.

        Kept from call to call, and found again by value: a threshold may change in many ways.
        """
        own, kept = self.spike_threshold.detach(), self._flat
        key = (float(self.rho), shape, own.dtype, own.device)
        if key != kept.key or not own.equal(kept.threshold):
            theta = self.theta.detach().cpu()
            if theta.numel() > 1:
                theta = broadcastable(theta, len(shape))[0].expand(shape)
            self._flat = _Flat(key, own.clone(), theta.reshape(-1).contiguous().numpy())
        return self._flat.values

    def _plain(self, current: torch.Tensor, time_steps: int) -> torch.Tensor:
        parts = current.ndim - 2
        theta = broadcastable(self.theta, parts)
        low = None if self.min_v_mem is None else broadcastable(self.min_v_mem, parts)
        potential, outputs = self.v_mem, []
        for step in range(time_steps):
            potential = potential + current[:, step if current.shape[1] > 1 else 0]
            count = burst(potential, theta, self.phi, self.least)
            spikes = count * theta
            potential = potential - spikes
            if low is not None:
                potential = torch.maximum(potential, low)
            outputs.append(count if self.emit_counts else spikes)
        self.v_mem = potential if potential.requires_grad else potential.detach()
        return torch.stack(outputs, 1)

    def reset_states(self, randomize: bool = False, value_ranges: Any = None) -> None:
        """Back to the initial potential; random potentials in [0, θ) (or the range) if asked."""
        self.steps_run = 0
        if self.v_mem.numel() == 0:
            return
        parts = self.v_mem.ndim - 1
        if not randomize:
            start = broadcastable(self.initial_potential, parts)
            self.v_mem = torch.empty_like(self.v_mem).copy_(start)
            return
        uniform = torch.rand_like(self.v_mem)
        if value_ranges and "v_mem" in value_ranges:
            low, high = value_ranges["v_mem"]
            self.v_mem = uniform * (high - low) + low
        else:
            self.v_mem = uniform * broadcastable(self.theta, parts)

    def init_state_with_shape(self, shape: Any, randomize: bool = False) -> None:
        """Give the state a shape `(batch, *layer shape)`, at the initial potential."""
        self.v_mem = torch.zeros(tuple(shape), device=self.spike_threshold.device)
        self.reset_states(randomize=randomize)

    def as_iaf(self) -> nn.Module:
        """The same neurons as sinabs' own `IAF` with `MaxSpike`, for `sinabs.nir` and the like.

        sinabs keeps neither φ nor the initial potential when it saves or exports: reset such a
        layer by `v_mem.fill_`, not by `reset_states`.

        Raises:
            ModelError: this layer emits amplitudes, has biases per step, or a sign.
        """
        if self.step_bias is not None or self.signed:
            raise ModelError(
                "sinabs' neurons have no biases per time step, and no negative spikes; calibrate "
                "without correction='temporal', and train with ReLU, what is to be exported."
            )
        if not self.emit_counts:
            raise ModelError(
                "Only a layer that emits counts has a counterpart in sinabs; fold its thresholds "
                "into the next layer's weights and set emit_counts=True."
            )
        settings = {
            "spike_threshold": self._like_state(self.theta),
            "spike_fn": MaxSpike(int(self.phi)),
            "min_v_mem": None if self.min_v_mem is None else self._like_state(self.min_v_mem),
        }
        return self._start_like(sl.IAF(**settings))

    def _like_state(self, value: torch.Tensor) -> torch.Tensor:
        """A per-channel value in the shape of the state without its batch, once that is known."""
        if value.ndim != 1 or self.v_mem.numel() == 0:
            return value
        return broadcastable(value, self.v_mem.ndim - 1)[0].expand(self.v_mem.shape[1:]).clone()

    def _start_like(self, layer: nn.Module) -> nn.Module:
        if self.v_mem.numel():
            layer.init_state_with_shape(self.v_mem.shape)  # type: ignore[operator]
            layer.v_mem = self.v_mem.detach().clone()
        return layer

    @property
    def shape(self) -> torch.Size | None:
        """Shape of the state, or None before the first use."""
        return self.v_mem.shape if self.v_mem.numel() else None

    @property
    def does_spike(self) -> bool:
        """True: sinabs counts this layer among the spiking ones."""
        return True

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Take over shapes too, so that any saved layer loads into any other."""
        for name in ("v_mem", "spike_threshold", "initial_potential", "min_v_mem", "step_bias"):
            saved, own = state_dict.get(prefix + name), getattr(self, name)
            if saved is not None and own is not None and saved.shape != own.shape:
                empty = torch.empty_like(saved)
                setattr(self, name, empty if name == "v_mem" else constant(empty))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @property
    def _param_dict(self) -> dict[str, Any]:
        return {
            "spike_threshold": self.spike_threshold.detach().clone(),
            "phi": int(self.phi),
            "rho": float(self.rho),
            "initial_potential": self.initial_potential.detach().clone(),
            "min_v_mem": None if self.min_v_mem is None else self.min_v_mem.detach().clone(),
            "step_bias": None if self.step_bias is None else self.step_bias.detach().clone(),
            "signed": self.signed,
            "emit_counts": self.emit_counts,
        }

    def __deepcopy__(self, memo: Any = None) -> AdaFire:
        copy = super().__deepcopy__(memo)
        copy.v_mem, copy.steps_run = self.v_mem.detach().clone(), self.steps_run
        layer: AdaFire = copy.train(self.training)
        return layer
