"""`Convolution2d`, `IntegrateAndFire` and `SumPooling` of `samna.specksim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import EventError
from speck_adacal.virtual_samna.events import specksim_events
from speck_adacal.virtual_samna.fields import FieldValueError, as_int
from speck_adacal.virtual_samna.graph.batch import Batch, Columns, to_columns

_EVENTS = specksim_events()
Spike = _EVENTS["Spike"]
WeightedEvent = _EVENTS["WeightedEvent"]

YX = tuple[int, int]
LARGEST_RESULT = 1 << 18
"""Most weighted events made at a time inside a graph."""


class Convolution2d:
    """A convolution without bias: one weighted event for each weight that an input meets.

    Args:
        in_channels, out_channels: feature counts.
        kernel_size, in_shape, stride, padding: (y, x) pairs.

    Raises:
        FieldValueError: a size is not positive, or the kernel is larger than the padded map.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        in_shape: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
    ) -> None:
        name = "Convolution2d"
        self._in = _size(f"{name}.in_channels", in_channels)
        self._out = _size(f"{name}.out_channels", out_channels)
        self._kernel = _yx(f"{name}.kernel_size", kernel_size)
        self._in_shape = _yx(f"{name}.in_shape", in_shape)
        self._stride = _yx(f"{name}.stride", stride)
        self._padding = _yx(f"{name}.padding", padding, least=0)
        self._out_shape = self._sizes()
        self._weights = np.zeros((self._out, self._in, *self._kernel), np.float32)

    def set_weights(self, weights: Any) -> None:
        """Set the weights `[out][in][ky][kx]`; kept as float32."""
        array = _floats("Convolution2d.set_weights", weights)
        if array.shape != self._weights.shape:
            raise FieldValueError(
                f"Convolution2d.set_weights takes shape {self._weights.shape} [out][in][ky][kx], "
                f"found {array.shape}."
            )
        self._weights = array

    def get_weights(self) -> list[Any]:
        """The weights as nested lists `[out][in][ky][kx]`."""
        result: list[Any] = self._weights.tolist()
        return result

    def forward(self, spikes: Any) -> list[Any]:
        """Weighted events that a list of spikes causes, in order."""
        return self.columns(spikes).objects()

    def columns(self, spikes: Batch) -> Columns:
        """As `forward`, on events in columns."""
        from speck_adacal.virtual_samna.specksim.kernels import convolve

        feature, y, x, t = _spikes("Convolution2d", spikes, self._in, self._in_shape)
        out = convolve(
            feature, y, x, t, self._weights, self._out_shape, self._stride, self._padding
        )
        return Columns(WeightedEvent, out)

    def parts(self, spikes: Batch) -> list[Batch]:
        """`spikes` in pieces whose results stay below some ten megabytes each."""
        most = self._out * self._kernel[0] * self._kernel[1]
        return _pieces(spikes, max(LARGEST_RESULT // most, 1))

    def get_in_channels(self) -> int:
        """Number of input features."""
        return self._in

    def get_out_channels(self) -> int:
        """Number of output features."""
        return self._out

    def get_kernel_size(self) -> YX:
        """Kernel size (y, x)."""
        return self._kernel

    def get_in_shape(self) -> YX:
        """Input map (y, x)."""
        return self._in_shape

    def get_stride(self) -> YX:
        """Stride (y, x)."""
        return self._stride

    def get_padding(self) -> YX:
        """Padding (y, x)."""
        return self._padding

    def get_output_shape(self) -> YX:
        """Output map (y, x)."""
        return self._out_shape

    def _sizes(self) -> YX:
        sizes = tuple(
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(
                self._in_shape, self._padding, self._kernel, self._stride, strict=True
            )
        )
        if min(sizes) < 1:
            raise FieldValueError(
                f"Convolution2d: kernel {self._kernel} does not fit a map of {self._in_shape} "
                f"with padding {self._padding}."
            )
        return sizes[0], sizes[1]


class IntegrateAndFire:
    """Neurons without leak: add the weight, clip from below, fire once if `v >= threshold`.

    Args:
        channels: number of features.
        shape: (y, x) size of the map.
        threshold: fires at or above; subtracted when it does.
        min_v_mem: lower bound of the membrane potential.
    """

    def __init__(
        self, channels: int, shape: Sequence[int], threshold: float, min_v_mem: float
    ) -> None:
        name = "IntegrateAndFire"
        self._shape = (_size(f"{name}.channels", channels), *_yx(f"{name}.shape", shape))
        self._threshold = np.float32(_number(f"{name}.threshold", threshold))
        self._lowest = np.float32(_number(f"{name}.min_v_mem", min_v_mem))
        self._state = np.zeros(self._shape, np.float32)

    def forward(self, events: Any) -> list[Any]:
        """Spikes that a list of weighted events causes, in order."""
        return self.columns(events).objects()

    def columns(self, events: Batch) -> Columns:
        """As `forward`, on events in columns."""
        from speck_adacal.virtual_samna.specksim.kernels import integrate

        batch = _as_columns("IntegrateAndFire", events, WeightedEvent)
        feature, y, x, t, weight = batch.fields
        _check("IntegrateAndFire", (feature, y, x), self._shape)
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        fires = integrate(feature, y, x, weight, self._state, self._threshold, self._lowest)
        return Columns(Spike, (feature[fires], y[fires], x[fires], t[fires]))

    def parts(self, events: Batch) -> list[Batch]:
        """`events` as they are."""
        return [events]

    def get_v_mem(self) -> list[Any]:
        """Membrane potentials `[feature][y][x]`."""
        result: list[Any] = self._state.tolist()
        return result

    def reset_states(self) -> None:
        """Set all membrane potentials to zero."""
        self._state[:] = 0

    def get_spike_threshold(self) -> float:
        """The threshold."""
        return float(self._threshold)

    def get_min_v_mem(self) -> float:
        """The lower bound of the membrane potential."""
        return float(self._lowest)


class SumPooling:
    """Pooling without state: each spike goes on at its coordinates divided by the kernel size."""

    def __init__(self, kernel_size: Sequence[int], in_shape: Sequence[int]) -> None:
        self._kernel = _yx("SumPooling.kernel_size", kernel_size)
        self._in_shape = _yx("SumPooling.in_shape", in_shape)

    def forward(self, spikes: Any) -> list[Any]:
        """Pooled spikes, in order; those in an incomplete last window are dropped."""
        return self.columns(spikes).objects()

    def columns(self, spikes: Batch) -> Columns:
        """As `forward`, on events in columns."""
        feature, y, x, t = _spikes("SumPooling", spikes, None, self._in_shape)
        y, x = y // self._kernel[0], x // self._kernel[1]
        inside = (y < self.get_output_shape()[0]) & (x < self.get_output_shape()[1])
        return Columns(Spike, (feature, y, x, t)).select(inside)

    def parts(self, spikes: Batch) -> list[Batch]:
        """`spikes` as they are."""
        return [spikes]

    def get_kernel_size(self) -> YX:
        """Kernel size (y, x)."""
        return self._kernel

    def get_shape(self) -> YX:
        """Input map (y, x)."""
        return self._in_shape

    def get_output_shape(self) -> YX:
        """Output map (y, x)."""
        return self._in_shape[0] // self._kernel[0], self._in_shape[1] // self._kernel[1]


def _pieces(events: Batch, size: int) -> list[Batch]:
    if len(events) <= size:
        return [events]
    batch = _as_columns("Convolution2d", events, Spike)
    return [
        Columns(batch.event_class, tuple(f[i : i + size] for f in batch.fields))
        for i in range(0, len(batch), size)
    ]


def _spikes(
    where: str, events: Batch, features: int | None, shape: YX
) -> tuple[npt.NDArray[np.int64], ...]:
    batch = _as_columns(where, events, Spike)
    feature, y, x, t = batch.fields
    _check(where, (feature, y, x), (features, *shape))
    return feature, y, x, t


def _as_columns(where: str, events: Batch, event_class: Any) -> Columns:
    if isinstance(events, Columns):
        return events
    wrong = next((e for e in events if type(e) is not event_class), None)
    if wrong is not None:
        raise FieldValueError(
            f"{where} takes {event_class.QUALIFIED} events, found a {type(wrong).__name__}."
        )
    return to_columns(events, event_class)


def _check(
    where: str, coordinates: tuple[npt.NDArray[Any], ...], sizes: tuple[int | None, ...]
) -> None:
    for name, values, size in zip(("feature", "y", "x"), coordinates, sizes, strict=True):
        if size is not None and len(values) and (bad := values >= size).any():
            i = int(np.argmax(bad))
            raise EventError(
                f"{where}: event {i} has {name} = {int(values[i])}, allowed is 0 to {size - 1}."
            )


def _size(where: str, value: Any, least: int = 1) -> int:
    number = as_int(where, value)
    if number < least:
        raise FieldValueError(f"{where} must be at least {least}, found {number}.")
    return number


def _yx(where: str, value: Any, least: int = 1) -> YX:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or len(value) != 2:
        raise FieldValueError(f"{where} takes a pair (y, x), found {value!r}.")
    return _size(where, value[0], least), _size(where, value[1], least)


def _number(where: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise FieldValueError(f"{where} takes a number, found {value!r}.") from error


def _floats(where: str, value: Any) -> npt.NDArray[np.float32]:
    try:
        return np.array(value, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise FieldValueError(f"{where} takes nested lists of numbers: {error}.") from error
