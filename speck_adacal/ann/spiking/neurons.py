"""What a spiking layer of sinabs holds, as far as a core of the chip can have it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sinabs.layers as sl
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from torch import nn

from speck_adacal.errors import ModelError

Floats = npt.NDArray[np.float64]
INITIAL = "initial_potential"  # what our own readers call the potentials of a layer's start
_ANY_NUMBER = 2**15 - 1  # of spikes in a step, more than any state can hold
_SPIKING = (sl.LIF, sl.ALIF, sl.ExpLeak)


@dataclass(frozen=True, eq=False)
class Neurons:
    """Integrate-and-fire neurons that subtract their threshold when they fire.

    Attributes:
        threshold: float64, shape `()` or `[channels]`, in the unit of the weights.
        lower_clip: how far below zero a potential may fall, in thresholds; None: no bound.
        most_spikes: of a neuron in a time step (the chip fires once an event, whatever it is).
        initial: float64, membrane potentials at the start, in the unit of the weights; a number, or
            `[channels, height, width]`. What a run left behind in a layer is not meant.
    """

    threshold: Floats
    lower_clip: float | None
    most_spikes: int
    initial: Floats


def is_spiking(module: nn.Module) -> bool:
    """Whether a module is one of sinabs' layers with a membrane potential."""
    return isinstance(module, _SPIKING)


def is_integrator(module: nn.Module) -> bool:
    """Whether a module sums up its input for ever and never fires."""
    if not isinstance(module, sl.ExpLeak) or module.norm_input:
        return False
    membrane = _time_constants(type(module).__name__, module, "mem")
    return membrane is not None and bool(np.all(membrane == np.inf))


def has_neurons(network: object) -> bool:
    """Whether a network is spiking already."""
    return isinstance(network, nn.Module) and any(map(is_spiking, network.modules()))


def neurons_of(name: str, module: Any) -> Neurons:
    """The neurons of one of sinabs' spiking layers.

    Raises:
        ModelError: they leak, adapt, are recurrent, reset to a value, or have thresholds or bounds
            that a core cannot have; the layer is named, with the way out.
    """
    _refuse_other_kinds(name, module)
    threshold = _threshold(name, module)
    _refuse_dynamics(name, module, float(np.mean(threshold)))
    _refuse_reset(name, module, threshold)
    clip = _lower_clip(name, module, threshold)
    initial = _numbers(getattr(module, INITIAL, 0.0))
    return Neurons(threshold, clip, _most_spikes(name, module), initial)


def _refuse_other_kinds(name: str, module: Any) -> None:
    kind = type(module).__name__
    if hasattr(module, "rec_connect"):
        raise ModelError(
            f"Layer {name!r} ({kind}) is recurrent; the cores are fed forward only: train it "
            "without recurrent connections."
        )
    if isinstance(module, sl.ALIF | sl.ExpLeak):
        raise ModelError(
            f"Layer {name!r} is {kind}, whose neurons adapt or do not fire; the chip's integrate "
            "and fire: use sinabs.layers.IAFSqueeze (at the output, ExpLeak without a leak, "
            "tau_mem=inf, may stay)."
        )


def _refuse_dynamics(name: str, module: Any, threshold: float) -> None:
    synapse, membrane = (_time_constants(name, module, which) for which in ("syn", "mem"))
    if synapse is not None:
        raise ModelError(
            f"Layer {name!r} has synapses with a time constant of {synapse.min():g} steps; the "
            "chip's act at once: train it with tau_syn=None."
        )
    if membrane is not None and np.isfinite(membrane).any():
        tau = float(membrane.min())
        leak = threshold / 2 * (1 - math.exp(-1 / tau))
        raise ModelError(
            f"Layer {name!r} ({type(module).__name__}) leaks with a time constant of {tau:g} "
            "steps; a core's slow clock can only take a constant away at each tick, and what comes "
            f"closest at half a threshold is a bias of {-leak:.3g} a step: train it with "
            "IAFSqueeze and such a bias, or without a leak."
        )
    if module.norm_input:
        raise ModelError(
            f"Layer {name!r} ({type(module).__name__}) has norm_input=True, which multiplies its "
            "input by 1 - exp(-1 / tau_mem), 0 without a leak, so that it never fires: use "
            "IAFSqueeze, or norm_input=False, as far as it was trained so."
        )


def _time_constants(name: str, module: Any, which: str) -> Floats | None:
    """A layer's `tau_mem` or `tau_syn`, in steps, also where it learns decays in their place."""
    if getattr(module, "train_alphas", False):
        decay = getattr(module, f"alpha_{which}", None)
        if decay is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(_numbers(decay))
            found = np.where(logs == 0, np.inf, -1 / logs)
    elif getattr(module, f"tau_{which}", None) is None:
        return None
    else:
        found = _numbers(getattr(module, f"tau_{which}"))
    if not (found > 0).all():
        raise ModelError(
            f"Layer {name!r} has tau_{which} = {found.min():g}, but a time constant is above "
            "zero; look for the step of training that broke it."
        )
    return np.asarray(found)


def _refuse_reset(name: str, module: Any, threshold: Floats) -> None:
    reset = module.reset_fn
    if isinstance(reset, MembraneSubtract):
        value = reset.subtract_value
        if value is None or np.all(_numbers(value) == threshold):
            return
        what = f"subtracts {value}"
    elif isinstance(reset, MembraneReset):
        what = f"resets to {reset.reset_value:g}"
    else:
        what = f"resets by {type(reset).__name__}"
    raise ModelError(
        f"Layer {name!r} {what} when it fires; what is kept here are neurons that subtract their "
        "threshold: use reset_fn=MembraneSubtract() and fine-tune."
    )


def _threshold(name: str, module: Any) -> Floats:
    values = _numbers(getattr(module, "spike_threshold", 1.0))
    rows = values.reshape(values.shape[0], -1) if values.ndim else values.reshape(1, 1)
    if not np.isfinite(values).all() or values.min() <= 0:
        raise ModelError(
            f"Layer {name!r} has a spike_threshold of {float(values.min()):g}; it must be a finite "
            "number above 0."
        )
    if not (rows == rows[:, :1]).all():
        raise ModelError(
            f"Layer {name!r} has thresholds that differ within a channel; a core has one for all: "
            "give one, or one a channel."
        )
    return _by_channel(values)


def _lower_clip(name: str, module: Any, threshold: Floats) -> float | None:
    if module.min_v_mem is None:
        return None
    values = _numbers(module.min_v_mem)
    clips = -_by_channel(values) / threshold
    alike = np.ptp(values.reshape(len(np.atleast_1d(values)), -1), axis=1).max() == 0
    if not alike or not clips.min() >= 0 or not np.allclose(clips, clips.flat[0]):
        several = f" with thresholds of {threshold.min():g} to {threshold.max():g}"
        raise ModelError(
            f"Layer {name!r} has a min_v_mem of {values.min():g} to {values.max():g}"
            f"{several if threshold.size > 1 else ''}; a core can have one lower bound for all its "
            "neurons, of at most 0 and in thresholds: give min_v_mem=-spike_threshold, or a "
            "multiple of it."
        )
    return None if np.isinf(clips.flat[0]) else float(clips.flat[0])


def _by_channel(values: Floats) -> Floats:
    """One value, or the first of each channel."""
    if values.ndim == 0 or (values == values.flat[0]).all():
        return np.array(values.flat[0])
    return np.ascontiguousarray(values.reshape(values.shape[0], -1)[:, 0])


def _most_spikes(name: str, module: Any) -> int:
    rule = module.spike_fn
    if rule is SingleSpike:
        return 1
    if rule is MultiSpike:
        return _ANY_NUMBER
    if isinstance(rule, MaxSpike):
        most = rule.max_num_spikes_per_bin
        return _ANY_NUMBER if most is None else int(most)
    raise ModelError(
        f"Layer {name!r} fires by {getattr(rule, '__name__', type(rule).__name__)}; known are "
        "MultiSpike, MaxSpike and SingleSpike."
    )


def _numbers(value: Any) -> Floats:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=np.float64)
