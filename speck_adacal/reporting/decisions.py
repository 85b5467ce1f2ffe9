"""What the chip decided of labelled samples: which classes are taken for which, and pictures."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from speck_adacal.chip.simulation import Simulation
from speck_adacal.events.types import Events

_MOST_WRONG, _MOST_RIGHT = 12, 12
_OFF, _ON, _BOTH = (53, 103, 181), (184, 86, 15), (27, 35, 48)


@dataclass(frozen=True)
class Picture:
    """A sample, as one can see it.

    Attributes:
        index: of the sample.
        label: its true class.
        decided: the chip's decision; -1 for none.
        png: the picture, base64.
    """

    index: int
    label: int
    decided: int
    png: str

    @property
    def right(self) -> bool:
        """Whether the decision is the true class."""
        return self.label == self.decided


@dataclass(frozen=True)
class Decisions:
    """Decisions on the chip twin (simulated), by true class.

    Attributes:
        confusion: `[classes][classes + 1]`, samples of each true class by decision; the last
            column is no decision.
        pictures: some samples, those decided wrongly first.
    """

    confusion: tuple[tuple[int, ...], ...]
    pictures: tuple[Picture, ...]

    @property
    def by_class(self) -> tuple[float | None, ...]:
        """Share of each class's samples that are decided rightly; None of a class without any."""
        return tuple(
            row[label] / sum(row) if sum(row) else None for label, row in enumerate(self.confusion)
        )

    def mistakes(self, most: int = 5) -> tuple[tuple[int, int, int], ...]:
        """The most frequent wrong decisions: true class, decision (-1 for none), samples."""
        classes = len(self.confusion)
        wrong = [
            (label, decided if decided < classes else -1, count)
            for label, row in enumerate(self.confusion)
            for decided, count in enumerate(row)
            if count and decided != label
        ]
        return tuple(sorted(wrong, key=lambda found: -found[2])[:most])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; pictures are left out."""
        return {
            "kind": "simulated",
            "confusion": [list(row) for row in self.confusion],
            "accuracy_by_class": list(self.by_class),
        }


def decisions_of(
    simulation: Simulation, samples: Any, labels: npt.NDArray[np.int64], classes: int
) -> Decisions:
    """What a simulation decided of labelled samples.

    Args:
        simulation: of these samples.
        samples: images `[n, channels, height, width]` or a list of recordings.
        labels: int64 `[n]`, true classes.
        classes: number of classes.
    """
    confusion = np.zeros((classes, classes + 1), dtype=np.int64)
    np.add.at(confusion, (labels, simulation.decisions % (classes + 1)), 1)
    pictures = tuple(
        Picture(index, int(labels[index]), int(simulation.decisions[index]), _png(samples[index]))
        for index in _shown(simulation.decisions, labels)
    )
    return Decisions(tuple(map(tuple, confusion.tolist())), pictures)


def _shown(decisions: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> list[int]:
    """Wrong ones first, then right ones of as many classes as there are."""
    wrong = np.flatnonzero(decisions != labels)[:_MOST_WRONG].tolist()
    right = np.flatnonzero(decisions == labels)
    classes = [right[labels[right] == label][:_MOST_RIGHT] for label in np.unique(labels[right])]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*(c.tolist() for c in classes)))
    return [*wrong, *[index for index in turns if index is not None][:_MOST_RIGHT]]


def _png(sample: Sequence[float] | Events) -> str:
    pixels = _event_pixels(sample) if isinstance(sample, Events) else _image_pixels(sample)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _image_pixels(image: Any) -> npt.NDArray[np.uint8]:
    """Grey for one channel, colours for three, the mean of any other number; stretched where the
    values go beyond 0 to 1."""
    values = np.asarray(image, dtype=np.float64)
    shown = values if len(values) == 3 else values.mean(axis=0, keepdims=True)
    low, high = min(float(shown.min()), 0.0), max(float(shown.max()), 1.0)
    grey = np.rint(255 * (shown - low) / (high - low)).astype(np.uint8)
    return np.ascontiguousarray(grey.transpose(1, 2, 0)) if len(grey) == 3 else grey[0]


def _event_pixels(events: Events) -> npt.NDArray[np.uint8]:
    """Pixels with OFF events in blue, with ON events in orange, with both dark, on white."""
    off, on = (np.zeros(events.shape[1:], dtype=np.bool_) for _ in range(2))
    off[events.y[events.channel == 0], events.x[events.channel == 0]] = True
    on[events.y[events.channel > 0], events.x[events.channel > 0]] = True
    pixels = np.full((*events.shape[1:], 3), 255, dtype=np.uint8)
    for where, colour in ((off, _OFF), (on, _ON), (off & on, _BOTH)):
        pixels[where] = colour
    return pixels
