"""What becomes of biases and of the membrane's lower clip on the chip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from speck_adacal.core_layers import FoldedLayer
from speck_adacal.errors import SettingsError
from speck_adacal.rules.shapes import Violation
from speck_adacal.validation import Count, checked, one_of

BIASES = ("initial", "leak", "refuse")
CLOCK_LOW_HZ, CLOCK_HIGH_HZ = 10.0, 10_000.0  # typical, by sinabs' overview of the chip


@checked
class ChipPolicy:
    """How a float layer's bias and lower clip are brought onto a core.

    Attributes:
        bias: `"initial"`: a window's worth of bias is part of the initial potential (exact in
            total charge for a window of known length); `"leak"`: it is added at every tick of the
            slow clock, one tick a time step; `"refuse"`: a network with biases is refused.
        lower_clip: how far below zero a membrane potential may fall, in firing thresholds; None
            leaves it to the recipe, layer by layer, where it is open to 16 bits unless a search
            on the twin chose one; infinity opens all. A converted network loses charge at a clip.
        window_us: duration of a sample (of T time steps); needed for `"leak"`.

    Raises:
        SettingsError: a field is out of range, or `window_us` is missing.
    """

    bias: Annotated[str, one_of(*BIASES)] = "initial"
    lower_clip: Annotated[float, Field(gt=0, allow_inf_nan=True)] | None = None
    window_us: Count | None = None

    def __post_init__(self) -> None:
        if self.bias == "leak" and self.window_us is None:
            raise SettingsError(
                "ChipPolicy.bias='leak' needs window_us, the duration of a sample: a leak is "
                "charge per time, a bias is charge per time step."
            )

    def slow_clock_hz(self, time_steps: int) -> float | None:
        """Rate of the slow clock, one tick a time step; None where nothing leaks.

        Raises:
            SettingsError: the chip's slow clock does not go that fast or slow.
        """
        if self.bias != "leak" or self.window_us is None:
            return None
        rate = time_steps * 1e6 / self.window_us
        if not CLOCK_LOW_HZ <= rate <= CLOCK_HIGH_HZ:
            raise SettingsError(
                f"{time_steps} time steps in {self.window_us} µs need a slow clock of {rate:.4g} "
                f"Hz, it runs at {CLOCK_LOW_HZ:g} to {CLOCK_HIGH_HZ:g} Hz; use bias='initial', or "
                "other time steps."
            )
        return rate


def refused_biases(layers: Sequence[FoldedLayer], policy: ChipPolicy) -> tuple[Violation, ...]:
    """An error for every layer with a bias, where the policy refuses them."""
    if policy.bias != "refuse":
        return ()
    return tuple(
        Violation(
            "bias",
            layer.name,
            f"biases of up to {abs(layer.bias).max():.3g} thresholds a time step",
            "none, as asked for (bias='refuse')",
            "use bias='initial' for samples of known length, or train without biases",
        )
        for layer in layers
        if layer.bias.any()
    )
