"""What of a network is not supported, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speck_adacal.errors import ModelError

SUPPORTED = (
    "convolutions in one and two dimensions and transposed ones, Linear, BatchNorm, ReLU, ReLU6, "
    "Hardtanh and clamp from 0, average, sum and max pooling, means, sums and maxima over axes, "
    "flatten, reshape, permute, slices, chunks, expansion, shuffles, joins, resampling, padding, "
    "dropout, sums, differences and products, matrix products, attention, soft-max, layer and "
    "group norm, smooth activations (GELU, SiLU, sigmoid, tanh and others), and constants"
)

_NO_SOFTMAX = "trace the network without it, since the largest logit decides as well"
_NO_NEGATIVE = "train the network with ReLU in its place"
_SPIKES = "a network that is spiking already comes in by from_sinabs, or speck-adacal import"
_NEURONS = ("iaf", "lif", "alif", "expleak")
_HINTS = dict.fromkeys(("softmax", "logsoftmax", "softmax2d"), _NO_SOFTMAX) | dict.fromkeys(
    ("prelu", "rrelu", "selu", "celu", "softsign", "softshrink", "hardshrink", "tanhshrink"),
    _NO_NEGATIVE,
)
_HINTS |= {kind + form: _SPIKES for kind in _NEURONS for form in ("", "squeeze", "recurrent")}


@dataclass(frozen=True)
class Refusal:
    """One operation that is not supported.

    Attributes:
        label: how messages call the operation.
        path: the module's place in the model; empty for a function.
        source: where it stands in the user's code; empty where that is not known.
        why: the reason, with what to do instead, where there is more to say.
    """

    label: str
    path: str
    source: str
    why: str

    @classmethod
    def of(cls, label: str, path: str, source: str, why: str = "") -> Refusal:
        """A refusal with the advice that belongs to the operation."""
        return cls(label, path, source, why or _HINTS.get(label.lower().replace("_", ""), ""))

    def __str__(self) -> str:
        place = f" ({self.path})" if self.path else ""
        place += f" at {self.source}" if self.source else ""
        return f"{self.label}{place}" + (f": {self.why}" if self.why else "")


def refused(refusals: Sequence[Refusal]) -> ModelError:
    """The error that names all unsupported operations of a network."""
    if len(refusals) == 1:
        only = refusals[0]
        place, _, why = str(only).partition(": ") if only.why else (str(only), "", "")
        reason = f": {why}" if why else ""
        return ModelError(f"Operation {place} is not supported{reason}; supported are {SUPPORTED}.")
    listed = "\n".join(f"  {refusal}" for refusal in refusals)
    return ModelError(
        f"{len(refusals)} operations are not supported:\n{listed}\nSupported are {SUPPORTED}."
    )
