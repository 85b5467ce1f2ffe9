"""What adaptation found: the settings asked for, and the values chosen per layer."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from speck_adacal.errors import SettingsError
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.readout.output_terms import OutputTerm
from speck_adacal.recipe.verdict import Verdict
from speck_adacal.validation import Count, CountOrZero, Positive, Several, Share, checked, one_of

if TYPE_CHECKING:
    import torch

CORRECTIONS = (
    "auto",
    "potential",
    "bias",
    "both",
    "weights",
    "temporal",
    "temporal_weights",
    "none",
)


@checked
class AdaptSettings:
    """What `adapt` is asked to do. Every field has a default that suits deployment on Speck.

    Attributes:
        time_steps: T, number of time steps a sample is shown for.
        phi: φ, the largest number of spikes a neuron may fire in one step (eq. 2).
        threshold_method: `"mse"` (grid search, eqs. 6 and 8), `"max"` or `"percentile"`.
        percentile: for `threshold_method="percentile"`, in percent.
        per_channel: one threshold per channel instead of one per layer. Without it, `adapt` does so
            only where one per layer loses more than a tenth of the trained network's decisions, and
            thresholds per channel win some of them back (in time steps, for events).
        correction: `"potential"` (initial membrane potential), `"bias"`, `"both"`, `"weights"`
            (advanced calibration), `"temporal"` (one bias per channel and time step, beside the
            bias; of time steps only, the chip has none), `"temporal_weights"` (the two together),
            `"none"`, or `"auto"`: where the input is made of events, `"potential"`, which the chip
            has too; where it is analog, what does best on held-out samples of `"both"`,
            `"temporal"` and `"temporal_weights"`.
        first_step: the first time step, from 1, whose outputs count in a decision; None takes all
            of them, or with temporal biases those that do best on held-out samples.
        input_coding: `"events"`: inputs are spike counts per step (deterministic rate coding
            of images, or binned recordings); `"analog"`: the first layer sees the same analog
            input at every step (the paper's coding of static images).
        input_burst: where images are coded as events, the most events of a pixel in one time
            step (φ of the input): each is worth `1 / input_burst`. Input events are cheap, since
            the first layer has few input channels, and a fine input saves accuracy on the chip.
        batch_size: samples run at once; fewer where the largest layer's values, over all steps,
            would take more than 256 MiB.
        seed: seed of everything that draws random numbers.
        chip_correction: choose what becomes of biases and of the lower clip by measuring on the
            twin, and correct the initial potentials once more by the chip's own rule (where the
            network can be deployed; the trace says if not).
        hold_out: keep a part of the calibration samples (where there are 64 or more) from
            calibration, and say on these what the network lost; see `Recipe.verdict`.
        correction_samples: how many calibration samples the corrections use (they are kept in
            memory with their values; the first layers of a large network see fewer, which the
            trace says; thresholds are calibrated on all).
        ridge: for `correction="weights"`, the pull towards the trained weights, as a part of the
            mean diagonal of the normal matrix.
        estimator: what sensitivity and cost are measured by in the end: `"time_steps"` (the
            paper's model), or `"twin"`: thresholds and initial potentials are searched once more
            on the chip twin, event by event, for accuracy per SynOp.
        max_synops: for `estimator="twin"`, the most SynOps a sample may cost there (simulated);
            None takes the most accurate point.
        bias: how the biases of convolutions reach the chip: `"measured"` (what loses least, SynOps
            considered; needs `chip_correction`, else it means `"events"`), `"events"` (the host
            sends a constant channel beside the input, and the network is rewritten to take its
            biases from there, which is exact), `"initial"` (as part of the initial membrane
            potential) or `"leak"` (on the slow clock; for input from the chip's own sensor). See
            `ChipPolicy` for the last two.
        reset_each: whether states are reset before each sample (samples that a host feeds one by
            one) or never (a camera); with None `adapt` takes recordings of events for a stream
            that is never reset, and everything else for single samples.
        constant_rate: for `bias="events"`, events of each place of the constant channel in a time
            step. More of them cost SynOps, and leave weights more of the eight bits.
        max_pooling: `"refit"`: average pooling takes the place of max pooling, which no core can
            do, and the layers behind it are fitted again in closed form to what the trained network
            computes there (a calibration of weights, without training); `"keep"` leaves it, for
            networks in time steps only.
        max_pooling_loss: share of held-out calibration samples that a network without max pooling
            may decide otherwise.

        outputs: what each output of the network is; one class vector need not be named.

    Raises:
        SettingsError: naming the field, the value found and what is allowed.
    """

    time_steps: Count = 8
    phi: Count = 1
    threshold_method: Annotated[str, one_of("mse", "max", "percentile")] = "mse"
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.9
    per_channel: bool = False
    correction: Annotated[str, one_of(*CORRECTIONS)] = "auto"
    first_step: Count | None = None
    input_coding: Annotated[str, one_of("events", "analog")] = "events"
    input_burst: Count = 4
    batch_size: Count = 128
    seed: CountOrZero = 0
    chip_correction: bool = True
    hold_out: bool = True
    correction_samples: Count = 256
    ridge: Positive = 0.01
    estimator: Annotated[str, one_of("time_steps", "twin")] = "time_steps"
    max_synops: Positive | None = None
    bias: Annotated[str, one_of("measured", "events", "initial", "leak")] = "measured"
    constant_rate: Count = 2
    max_pooling: Annotated[str, one_of("refit", "keep")] = "refit"
    max_pooling_loss: Share = 0.15
    reset_each: bool | None = None
    outputs: Several[OutputTerm] | None = None

    def __post_init__(self) -> None:
        if self.first_step is not None and self.first_step > self.time_steps:
            raise SettingsError(
                f"AdaptSettings.first_step must be at most time_steps, {self.time_steps}, so that "
                f"a step is left to decide from; found {self.first_step}."
            )
        if self.estimator == "twin" and self.input_coding != "events":
            raise SettingsError(
                "AdaptSettings.estimator='twin' needs input_coding='events', which is what the "
                f"chip sees; found {self.input_coding!r}."
            )
        if self.max_synops is not None and self.estimator != "twin":
            raise SettingsError(
                f"AdaptSettings.max_synops needs estimator='twin'; found {self.max_synops!r} with "
                f"{self.estimator!r}."
            )

    @property
    def never_reset(self) -> bool:
        """Whether the network is for a stream; where it was not said, it is not."""
        return self.reset_each is False

    @property
    def made_for(self) -> str:
        """What the network was adapted for, in words."""
        return "a stream that is never reset" if self.never_reset else "a reset before each sample"

    def for_stream(self) -> AdaptSettings:
        """The same for a stream that is never reset: initial potentials are worth nothing there,
        and are not corrected."""
        correction = {"potential": "none", "both": "bias"}.get(self.correction, self.correction)
        return replace(self, correction=correction, chip_correction=False, reset_each=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {"outputs": self.outputs and [asdict(term) for term in self.outputs]}


@dataclass(frozen=True, eq=False)
class LayerRecipe:
    """The values of one spiking layer.

    Attributes:
        name: name of the activation node in the layer graph, or of the output node for the
            readout layer.
        phi: φ, spikes per step at most.
        rho: ρ, threshold ratio (eq. 12): the neuron fires at `rho * threshold`.
        threshold: V_th in units of the ANN's activation; float64, shape `()` or `[channels]`.
        initial_potential: membrane potential before the first step, in the same units; float64,
            shape `()`, `[channels]`, or the full layer's. Half a threshold unless calibrated.
        readout: True for the classifier's output neurons, which exist on the chip only (in
            the float network the classifier's membrane potential is read).
        lower_clip: how far below zero a potential may fall, in firing thresholds; None: open.
        leaks: on the chip, the layer's bias is added at each tick of the slow clock; otherwise a
            window's worth of it is part of the initial potential.
        as_is: True for a layer that came spiking: its integers are those of sinabs' own
            discretisation, and nothing is fitted to a trained network.
        mended: of a layer that came spiking: where sinabs' joint scale loses its weights, it gets
            a scale of its own.
        step_bias: what is added to each channel's input at each time step, float64
            `[T, channels]`, in units of the activation (of a readout layer: added to the output);
            None for nothing. It exists in time steps only.
        signed: neurons that fire negative spikes too, down to -φ a step; in time steps only.
    """

    name: str
    phi: int
    rho: float
    threshold: npt.NDArray[np.float64]
    initial_potential: npt.NDArray[np.float64]
    readout: bool = False
    lower_clip: float | None = None
    leaks: bool = False
    as_is: bool = False
    mended: bool = False
    step_bias: npt.NDArray[np.float64] | None = None
    signed: bool = False

    def beside_potential(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """A number, or one a channel, in the shape that acts on each channel's potentials."""
        array = np.asarray(values, dtype=np.float64)
        axes = np.ndim(self.initial_potential)
        return array.reshape(-1, *(1,) * (axes - 1)) if array.ndim == 1 and axes else array

    def with_threshold(
        self, threshold: npt.ArrayLike, *, phi: int | None = None, rho: float | None = None
    ) -> LayerRecipe:
        """The layer with another V_th, φ or ρ; its potential stays as far from half of θ."""
        values = np.asarray(threshold, dtype=np.float64)
        rho = self.rho if rho is None else float(rho)
        moved = self.beside_potential((rho * values - self.firing_threshold) / 2)
        return replace(
            self,
            phi=self.phi if phi is None else phi,
            rho=rho,
            threshold=values,
            initial_potential=np.asarray(self.initial_potential + moved),
        )

    def uncorrected(self) -> LayerRecipe:
        """The layer as before any correction: at half its firing threshold, without biases."""
        start = np.asarray(self.firing_threshold / 2)
        return replace(self, initial_potential=start, step_bias=None)

    @property
    def lowest_potential(self) -> npt.NDArray[np.float64] | None:
        """The lower clip in the unit of the threshold; None where it is open."""
        if self.lower_clip is None:
            return None
        return np.asarray(-self.lower_clip * self.firing_threshold)

    @property
    def firing_threshold(self) -> npt.NDArray[np.float64]:
        """θ = ρ · V_th."""
        return np.asarray(self.rho * self.threshold)


@dataclass(frozen=True)
class StepRecord:
    """What one step of the recipe did; `values` holds its measured numbers by name.

    `seconds` is the wall time that it took. It is known where it was done and is not kept in files,
    so that equal runs give equal bundles; NaN elsewhere.
    """

    step: str
    seconds: float = math.nan
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Recipe:
    """The result of adaptation: settings, values per layer, and the trace of how it was found.

    `input_amplitude` is what one input event is worth in units of the network's input: 1 for
    recordings, `1 / settings.input_burst` for rate-coded images. `constant` is the channel that is
    sent beside every input, where biases are carried by events. `step_us` is the duration of a time
    step, where a bias leaks: the slow clock ticks once in it. `verdict` says what the network kept.
    `first_step` is the first time step, from 1, whose outputs count in a decision.
    """

    settings: AdaptSettings
    layers: tuple[LayerRecipe, ...]
    trace: tuple[StepRecord, ...] = ()
    input_amplitude: float = 1.0
    constant: ConstantChannel | None = None
    step_us: float | None = None
    verdict: Verdict | None = None
    first_step: int = 1

    @property
    def has_step_biases(self) -> bool:
        """Whether time steps have biases of their own, which a chip cannot have."""
        return any(layer.step_bias is not None for layer in self.layers)

    def decision_output(self, outputs: torch.Tensor) -> torch.Tensor:
        """What decides, from outputs `[batch, T, …]`: their mean from `first_step` on."""
        return outputs[:, min(self.first_step, outputs.shape[1]) - 1 :].mean(1)

    @property
    def came_spiking(self) -> bool:
        """Whether the network was a spiking one before: there is no trained network to match."""
        return any(layer.as_is for layer in self.layers)

    def __getitem__(self, name: str) -> LayerRecipe:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise SettingsError(
            f"The recipe has no layer {name!r}; it has {[layer.name for layer in self.layers]}."
        )
