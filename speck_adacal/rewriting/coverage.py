"""Where a constant channel must send events, so that every output of a layer gets as many.

Rows and columns are treated alike and apart: along each axis a map of the channel is a vector of
counts, which strides, relays and pooling turn into another. A layer's bias can be carried if, under
some of its taps, every output has the same count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_MOST_TRIES = 20_000


@dataclass(frozen=True)
class Window:
    """How a layer reads a map along one axis: output `o` sees `o * stride - padding` and on.

    Attributes:
        size: of the kernel.
        stride, padding: in pixels of the input.
        outputs: number of outputs.
    """

    size: int
    stride: int
    padding: int
    outputs: int

    def under(self, counts: Ints, first: int, last: int) -> Ints:
        """int64 `[outputs]`: events under the taps from `first` up to `last`, without the last."""
        at = np.arange(self.outputs)[:, None] * self.stride - self.padding + np.arange(first, last)
        inside = (at >= 0) & (at < len(counts))
        found = np.where(inside, counts[np.clip(at, 0, len(counts) - 1)], 0)
        return np.asarray(found.sum(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class Step:
    """One node on the way of the channel, along one axis.

    Attributes:
        name: of the node.
        source: of the node whose counts it reads.
        window: how it reads them.
        kind: `"pool"` (a sum over the window), `"relay"` (one tap of the window is passed on) or
            `"bias"` (all outputs need the same count).
    """

    name: str
    source: str
    window: Window
    kind: str


@dataclass(frozen=True)
class Taps:
    """Taps of a layer, from `first` up to `last` without it, and each output's count there."""

    first: int
    last: int
    count: int


@dataclass(frozen=True)
class Coverage:
    """A pattern of events along one axis that serves all layers.

    Attributes:
        places: positions of the input that send.
        counts: by node name, the counts at its output.
        biases: by node name, the taps that carry its bias.
        relays: by node name, the tap that is passed on.
    """

    places: tuple[int, ...]
    counts: dict[str, Ints]
    biases: dict[str, Taps]
    relays: dict[str, int]


def cover(start: str, length: int, steps: Sequence[Step]) -> Coverage | None:
    """The sparsest regular pattern on an input of `length` that serves all steps.

    Args:
        start: name of the input node.
        length: of the input along the axis.
        steps: in topological order.

    Returns:
        None where no pattern was found, not even one event at every position.
    """
    tries = [0]
    for spacing in range(length, 0, -1):
        for offset in range(spacing):
            counts = np.zeros(length, dtype=np.int64)
            counts[offset::spacing] = 1
            if not counts.any():
                continue
            begin = Coverage(tuple(np.flatnonzero(counts).tolist()), {start: counts}, {}, {})
            limited = tries if spacing > 1 else [0]
            for found in _completed(begin, steps, limited):
                return found
    return None


def _completed(done: Coverage, steps: Sequence[Step], tries: list[int]) -> Iterator[Coverage]:
    """All ways to go on from `done` through `steps`; gives up after some thousand tries."""
    if not steps:
        yield done
        return
    for option in _options(done, steps[0]):
        tries[0] += 1
        if tries[0] > _MOST_TRIES:
            return
        yield from _completed(option, steps[1:], tries)


def _options(done: Coverage, step: Step) -> Iterator[Coverage]:
    counts = done.counts[step.source]
    size = step.window.size
    if step.kind == "pool":
        pooled = step.window.under(counts, 0, size)
        yield _with(done, counts={step.name: pooled})
    elif step.kind == "bias":
        taps = uniform_taps(counts, step.window)
        if taps is not None:
            yield _with(done, biases={step.name: taps})
    else:
        for tap in sorted(range(size), key=lambda tap: abs(2 * tap - (size - 1))):
            passed = step.window.under(counts, tap, tap + 1)
            if passed.any():
                yield _with(done, counts={step.name: passed}, relays={step.name: tap})


def _with(
    done: Coverage,
    counts: dict[str, Ints] | None = None,
    biases: dict[str, Taps] | None = None,
    relays: dict[str, int] | None = None,
) -> Coverage:
    return Coverage(
        done.places,
        {**done.counts, **(counts or {})},
        {**done.biases, **(biases or {})},
        {**done.relays, **(relays or {})},
    )


def uniform_taps(counts: Ints, window: Window) -> Taps | None:
    """Neighbouring taps under which every output has the same count; of several, the most."""
    best: Taps | None = None
    for first in range(window.size):
        for last in range(first + 1, window.size + 1):
            under = window.under(counts, first, last)
            most = int(under[0])
            if (under == most).all() and most > (best.count if best else 0):
                best = Taps(first, last, most)
    return best
