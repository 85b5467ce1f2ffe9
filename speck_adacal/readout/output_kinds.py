"""How each kind of output is read, compared and decided from (see `OutputTerm`).

A reader takes the values of its nodes and gives `[..., size]` features; distances, agreement and
the directions of the linear response are of features. Of very many places a fixed random part is
read, the same for all samples: what is summed over places stays a mean over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import SettingsError
from speck_adacal.readout.distance import kl_divergence
from speck_adacal.readout.output_terms import OutputTerm

Values = Mapping[str, torch.Tensor]
MOST_PLACES = 256  # of a map or a cloud that searches measure at


class Reader:
    """One term on one network.

    Args:
        term: what the user says.
        graph: the network.

    Attributes:
        size: number of features.
        classes: classes of each place; 0 where there are none.
        places: of which there is a class each.
    """

    size: int
    classes = 0
    places = 0

    def __init__(self, term: OutputTerm, graph: LayerGraph) -> None:
        self.term = term

    def read(self, values: Values, before: int) -> torch.Tensor:
        """Features `[*before, size]` of values whose first `before` axes are no sample's."""
        raise NotImplementedError

    def target(self, features: torch.Tensor, temperature: float) -> torch.Tensor:
        """What the trained network's features are compared as, of the same shape."""
        return features

    def distance(
        self, target: torch.Tensor, found: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """How far features are from a target, `[batch]`."""
        raise NotImplementedError

    def agreement(self, target: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Share of what is decided alike, `[batch]`; NaN where nothing is decided."""
        return torch.full((len(target),), math.nan)

    def root(self, target: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
        """`L v` for noise v `[batch, size]`, where the distance is ½ |Lᵀ δ|² for small δ."""
        raise NotImplementedError


class ClassReader(Reader):
    """A class at each place: `class_kl` (one place), `pixel_kl`, `point_kl`."""

    def __init__(self, term: OutputTerm, graph: LayerGraph) -> None:
        super().__init__(term, graph)
        node = graph[term.outputs[0]]
        self.axis = node.channel_axis if term.kind == "point_kl" else 0
        if term.class_axis is not None:
            self.axis = term.class_axis
        shape = node.shape
        if self.axis >= len(shape):
            raise SettingsError(
                f"OutputTerm.class_axis is {self.axis}, but output {node.name!r} has shape "
                f"{shape}; allowed are 0 to {len(shape) - 1}."
            )
        self.classes = shape[self.axis]
        self.shape = shape[: self.axis] + shape[self.axis + 1 :]
        every = math.prod(self.shape)
        if term.kind == "class_kl" and every != 1:
            raise SettingsError(
                f"Output {node.name!r} has shape {shape}, a class vector has one axis; "
                "use pixel_kl or point_kl for a class at each place."
            )
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randperm(every, generator=generator)[:MOST_PLACES]
        self.chosen = chosen.sort().values if every > MOST_PLACES else None
        self.places = min(every, MOST_PLACES)
        self.size = self.places * self.classes

    def read(self, values: Values, before: int) -> torch.Tensor:
        """Classes last."""
        last = values[self.term.outputs[0]].movedim(before + self.axis, -1)
        last = last.flatten(before, -2) if last.ndim > before + 1 else last.unsqueeze(before)
        picked = last if self.chosen is None else last.index_select(before, self.chosen)
        return picked.flatten(before)

    def every(self, values: Values) -> torch.Tensor:
        """Classes of all places of `[batch, ...]`, int64 `[batch, *places]` (`[batch]` for one)."""
        found = values[self.term.outputs[0]].argmax(1 + self.axis)
        return found if self.term.kind != "class_kl" else found.flatten()

    def target(self, features: torch.Tensor, temperature: float) -> torch.Tensor:
        """Log-probabilities."""
        return F.log_softmax(self._apart(features) / temperature, -1).flatten(1)

    def distance(
        self, target: torch.Tensor, found: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """The mean KL over places."""
        return kl_divergence(self._apart(target), self._apart(found), temperature).mean(1)

    def agreement(self, target: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Share of places."""
        same = self._apart(target).argmax(-1) == self._apart(found).argmax(-1)
        return same.float().mean(1)

    def root(self, target: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
        """Of the Fisher information of each place's soft-max."""
        root, v = (self._apart(target) / 2).exp(), self._apart(noise)
        found = root * (v - root * (root * v).sum(-1, keepdim=True))
        return (found / (temperature * math.sqrt(self.places))).flatten(1)

    def _apart(self, features: torch.Tensor) -> torch.Tensor:
        apart: torch.Tensor = features.unflatten(-1, (self.places, self.classes))
        return apart


class ErrorReader(Reader):
    """`mse`: the mean squared error."""

    def __init__(self, term: OutputTerm, graph: LayerGraph) -> None:
        super().__init__(term, graph)
        self.size = math.prod(graph[term.outputs[0]].shape)

    def read(self, values: Values, before: int) -> torch.Tensor:
        """All values."""
        return values[self.term.outputs[0]].flatten(before)

    def distance(
        self, target: torch.Tensor, found: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """The mean over values."""
        return (found - target).square().mean(1)

    def root(self, target: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
        """Of the squared error."""
        return noise * math.sqrt(2 / self.size)


class BoxReader(Reader):
    """`box_head`: boxes, objectness and classes at each cell and anchor."""

    def __init__(self, term: OutputTerm, graph: LayerGraph) -> None:
        super().__init__(term, graph)
        shapes = [graph[name].shape for name in term.outputs]
        self.cells = math.prod(shapes[0][1:])
        channels = [shape[0] for shape in shapes]
        if len(channels) == 1:
            each, rest = divmod(channels[0], term.anchors)
            channels = [4 * term.anchors, term.anchors, (each - 5) * term.anchors]
            wrong = rest or each < 6
        else:
            wrong = channels[0] != 4 * term.anchors or channels[1] != term.anchors
        if wrong or len({shape[1:] for shape in shapes}) > 1:
            raise SettingsError(
                f"The box head {', '.join(term.outputs)} has shapes {shapes}, which is none of "
                f"{term.anchors} anchors; give boxes [4 · anchors, ...], objectness [anchors, ...] "
                "and classes, or one output with 5 + classes channels for each anchor."
            )
        self.boxes, self.anchors, self.kinds = channels
        self.size = sum(channels) * self.cells

    def read(self, values: Values, before: int) -> torch.Tensor:
        """Boxes, then objectness, then classes, each `[channels, cells]`."""
        parts = [values[name].flatten(before + 1) for name in self.term.outputs]
        if len(parts) == 1:
            whole = parts[0].unflatten(before, (self.anchors, -1))
            cut = (whole.narrow(before + 1, 0, 4), whole.narrow(before + 1, 4, 1))
            rest = whole.narrow(before + 1, 5, whole.shape[before + 1] - 5)
            parts = [part.flatten(before, before + 1) for part in (*cut, rest)]
        return torch.cat([part.flatten(before) for part in parts], -1)

    def distance(
        self, target: torch.Tensor, found: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """KL of objectness an expected object, and of classes and boxes an object."""
        (box, seen, kind), (own_box, own_seen, own_kind) = self._parts(target), self._parts(found)
        p = seen.sigmoid()
        objectness = (
            p * (F.logsigmoid(seen) - F.logsigmoid(own_seen))
            + (1 - p) * (F.logsigmoid(-seen) - F.logsigmoid(-own_seen))
        ).sum((1, 2)) / (1 + p.sum((1, 2)))
        weight = self._weight(p)
        where = (box - own_box).square().mean(2)
        what = self._kind_distance(kind, own_kind)
        boxes = (weight * where).sum((1, 2))
        return objectness + boxes + (self._of_classes(weight) * what).sum((1, 2))

    def agreement(self, target: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Share of classes that are the same, weighted by objectness."""
        (_, seen, kind), (_, _, own) = self._parts(target), self._parts(found)
        same = (kind.argmax(2) == own.argmax(2)).float()
        return (self._of_classes(self._weight(seen.sigmoid())) * same).sum((1, 2))

    def root(self, target: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
        """Of the same, to second order."""
        (_, seen, kind), (v_box, v_seen, v_kind) = self._parts(target), self._parts(noise)
        p = seen.sigmoid()
        weight = self._weight(p)
        box = v_box * (weight / 2).sqrt().unsqueeze(2)
        objectness = v_seen * (p * (1 - p) / (1 + p.sum((1, 2), keepdim=True))).sqrt()
        if self.term.exclusive:
            root = (F.log_softmax(kind, 2) / 2).exp()
            classes = root * (v_kind - root * (root * v_kind).sum(2, keepdim=True))
        else:
            q = kind.sigmoid()
            classes = v_kind * (q * (1 - q)).sqrt()
        classes = classes * self._of_classes(weight).sqrt().unsqueeze(2)
        return torch.cat([part.flatten(1) for part in (box, objectness, classes)], 1)

    def _parts(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes `[batch, anchors, 4, cells]`, objectness `[batch, anchors, cells]`, classes
        `[batch, 1 or anchors, classes, cells]`."""
        sizes = [n * self.cells for n in (self.boxes, self.anchors, self.kinds)]
        box, seen, kind = (p.unflatten(1, (-1, self.cells)) for p in features.split(sizes, 1))
        own = self.anchors if len(self.term.outputs) == 1 else 1
        return box.unflatten(1, (self.anchors, 4)), seen, kind.unflatten(1, (own, -1))

    def _weight(self, p: torch.Tensor) -> torch.Tensor:
        return p / p.sum((1, 2), keepdim=True).clamp_min(1e-6)

    def _of_classes(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights of the classes, which the anchors of a cell may share."""
        return weight if len(self.term.outputs) == 1 else weight.sum(1, keepdim=True)

    def _kind_distance(self, kind: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        if self.term.exclusive:
            log_p, log_q = F.log_softmax(kind, 2), F.log_softmax(own, 2)
            return (log_p.exp() * (log_p - log_q)).sum(2)
        p = kind.sigmoid()
        yes = p * (F.logsigmoid(kind) - F.logsigmoid(own))
        return (yes + (1 - p) * (F.logsigmoid(-kind) - F.logsigmoid(-own))).sum(2)


_READERS: dict[str, Any] = {"box_head": BoxReader, "mse": ErrorReader}


def reader_of(term: OutputTerm, graph: LayerGraph) -> Reader:
    """The reader of a term."""
    found: Reader = _READERS.get(term.kind, ClassReader)(term, graph)
    return found
