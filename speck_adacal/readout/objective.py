"""All outputs of a network together: read, compared with the trained network's, decided from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.events.labels import checked_labels
from speck_adacal.readout.distance import best_scale, half_uncertain
from speck_adacal.readout.output_kinds import ClassReader, Reader, reader_of
from speck_adacal.readout.output_terms import KINDS, OutputTerm

Ints = npt.NDArray[np.int64]
_NOT_ASKED = -1  # in place of a label that counts for nothing


class Objective:
    """The terms of a network's outputs, summed with their weights.

    Features are `[..., size]`, one term behind the other.

    Args:
        graph: the network.
        terms: what its outputs are; None where it has one class vector, which is clear.

    Raises:
        SettingsError: it is not clear what an output is (all are named, with their shapes), an
            output is named that there is not, or of another shape than its term needs.
    """

    def __init__(self, graph: LayerGraph, terms: Sequence[OutputTerm] | None = None) -> None:
        terms = _clear(graph) if terms is None else tuple(terms)
        named = [name for term in terms for name in term.outputs]
        if unknown := [name for name in named if name not in graph.outputs]:
            raise SettingsError(f"No output is named {unknown[0]!r}; {_described(graph)}.")
        missing = [name for name in graph.outputs if name not in named]
        if missing or len(set(named)) < len(named):
            raise SettingsError(
                f"Each output belongs to one term, but {', '.join(missing or named)} "
                f"{'are in none' if missing else 'are named twice'}; {_described(graph)}."
            )
        self.readers = tuple(reader_of(term, graph) for term in terms)
        self.size = sum(reader.size for reader in self.readers)

    @property
    def classifier(self) -> ClassReader | None:
        """The one term, where it is of classes."""
        first = self.readers[0]
        return first if len(self.readers) == 1 and isinstance(first, ClassReader) else None

    @property
    def of_one_class(self) -> ClassReader | None:
        """The one term, where it is a class vector."""
        found = self.classifier
        return found if found is not None and found.term.kind == "class_kl" else None

    def read(self, values: Mapping[str, torch.Tensor], before: int = 1) -> torch.Tensor:
        """Features of outputs whose first `before` axes are batch (and time)."""
        parts = [reader.read(values, before) for reader in self.readers]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    def target(self, features: torch.Tensor, temperature: float) -> torch.Tensor:
        """What the trained network's features are compared as."""
        parts = zip(self.readers, self._split(features), strict=True)
        return torch.cat([reader.target(part, temperature) for reader, part in parts], 1)

    def distance(
        self, target: torch.Tensor, found: torch.Tensor, temperature: float = 1.0
    ) -> torch.Tensor:
        """The weighted sum of all terms' distances, `[batch]`."""
        total = torch.zeros(())
        for reader, wanted, own in self._pairs(target, found):
            total = total + reader.term.weight * reader.distance(wanted, own, temperature)
        return total

    def agreement(self, target: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Share of what is decided alike, `[batch]`: the mean of the terms that decide."""
        parts = [reader.agreement(a, b) for reader, a, b in self._pairs(target, found)]
        return torch.stack(parts).nanmean(0)

    def projections(
        self, target: torch.Tensor, temperature: float, count: int, seed: int
    ) -> list[torch.Tensor]:
        """Random directions d of the features, whose mean of ½ (d · δ)² is the distance of δ."""
        generator, found = torch.Generator().manual_seed(seed), []
        for _ in range(count):
            noise = torch.randn(target.shape, generator=generator)
            parts = [
                math.sqrt(reader.term.weight) * reader.root(wanted, own, temperature)
                for reader, wanted, own in self._pairs(target, noise)
            ]
            found.append(torch.cat(parts, 1))
        return found

    def temperature(self, features: torch.Tensor) -> float:
        """At which the trained network's classes are half as uncertain as can be."""
        logs = [
            math.log(half_uncertain(part.reshape(-1, reader.classes)))
            for reader, part in zip(self.readers, self._split(features), strict=True)
            if isinstance(reader, ClassReader)
        ]
        return math.exp(sum(logs) / len(logs)) if logs else 1.0

    def scale(self, target: torch.Tensor, found: torch.Tensor, temperature: float) -> float:
        """The factor on outputs at which the KL is least; 1 where outputs are more than classes."""
        reader = self.classifier
        if reader is None:
            return 1.0
        shape = (-1, reader.classes)
        return best_scale(target.reshape(shape), found.reshape(shape), temperature)

    def decisions(self, values: Mapping[str, torch.Tensor]) -> Ints:
        """Classes of outputs `[batch, ...]`, int64 `[batch]`, or `[batch, *places]`.

        Raises:
            CalibrationError: the outputs decide on no class.
        """
        return np.asarray(self.deciding("A decision").every(values).numpy(), dtype=np.int64)

    def deciding(self, what: str) -> ClassReader:
        """The one term of classes, for what needs such.

        Raises:
            CalibrationError: there is none; the message names what the outputs are.
        """
        found = self.classifier
        if found is None:
            terms = [reader.term for reader in self.readers]
            kinds = ", ".join(f"{term.kind} of {' + '.join(term.outputs)}" for term in terms)
            raise CalibrationError(
                f"{what} needs one output of classes (class_kl, pixel_kl or point_kl), this "
                f"network has {kinds}; measure it by what its boxes or values are worth."
            )
        return found

    def labels(self, labels: npt.ArrayLike, samples: int) -> Ints:
        """Labels where features are read, int64 `[samples]` or `[samples, places]`; -1 where they
        count for nothing.

        Raises:
            CalibrationError: of another layout, or no classes of this network.
        """
        reader = self.deciding("A label")
        if reader.term.kind == "class_kl":
            return checked_labels(labels, samples)
        found, shape = np.asarray(labels), (samples, *reader.shape)
        if found.dtype.kind not in "iub" or found.shape != shape:
            raise CalibrationError(
                f"Labels of {reader.term.outputs[0]!r} have shape {found.shape} and type "
                f"{found.dtype}; give one whole class number for each place, {shape}."
            )
        found = found.astype(np.int64)
        counts = found != (_NOT_ASKED if reader.term.ignore is None else reader.term.ignore)
        if bool(((found < 0) | (found >= reader.classes))[counts].any()):
            wrong = found[counts & ((found < 0) | (found >= reader.classes))][0]
            raise CalibrationError(
                f"A label of {reader.term.outputs[0]!r} is {wrong}, allowed are 0 to "
                f"{reader.classes - 1}; name the number of void places in OutputTerm.ignore."
            )
        flat = np.where(counts, found, _NOT_ASKED).reshape(samples, -1)
        return flat if reader.chosen is None else flat[:, reader.chosen.numpy()]

    def right(self, found: torch.Tensor, labels: Ints) -> npt.NDArray[np.float64]:
        """Share of each sample's places whose class is its label, `[samples]`; NaN without any."""
        reader = self.deciding("An accuracy")
        decided = found.unflatten(-1, (reader.places, reader.classes)).argmax(-1).numpy()
        wanted = labels.reshape(len(labels), -1)
        asked = wanted != _NOT_ASKED
        hits = ((decided == wanted) & asked).sum(1)
        shares = hits / np.maximum(asked.sum(1), 1)
        return np.where(asked.any(1), shares, np.nan)

    def _split(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parts: tuple[torch.Tensor, ...]
        parts = features.split([reader.size for reader in self.readers], -1)
        return parts

    def _pairs(
        self, target: torch.Tensor, found: torch.Tensor
    ) -> list[tuple[Reader, torch.Tensor, torch.Tensor]]:
        parts = (self.readers, self._split(target), self._split(found))
        return list(zip(*parts, strict=True))


def decided(
    graph: LayerGraph, values: Mapping[str, torch.Tensor], terms: Sequence[OutputTerm] | None
) -> Ints:
    """Decisions of outputs `[batch, ...]`: int64 `[batch]`, or `[batch, *places]`.

    What one output is, where nobody said it, is what a chip makes of it: a class for each neuron.

    Raises:
        SettingsError: there are several outputs, and it is not clear what they are.
        CalibrationError: the outputs decide on no class.
    """
    if terms is None and len(graph.outputs) == 1:
        return np.asarray(values[graph.outputs[0]].flatten(1).argmax(1).numpy(), dtype=np.int64)
    return Objective(graph, terms).decisions(values)


def _clear(graph: LayerGraph) -> tuple[OutputTerm, ...]:
    """The terms of a network with one class vector."""
    shapes = [graph[name].shape for name in graph.outputs]
    if len(shapes) == 1 and math.prod(shapes[0]) == shapes[0][0]:
        return (OutputTerm("class_kl", graph.outputs),)
    raise SettingsError(
        f"It is not clear what the outputs are; {_described(graph)}: say it in AdaptSettings."
        f"outputs, one OutputTerm of {', '.join(KINDS)} for each."
    )


def _described(graph: LayerGraph) -> str:
    shown = (f"{name!r} of shape {graph[name].shape}" for name in graph.outputs)
    return f"the network's outputs are {', '.join(shown)}"
