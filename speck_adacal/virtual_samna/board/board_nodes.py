"""The two ends of a board in a graph: where its output comes from, where its input goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from speck_adacal.errors import DeviceError, EventError
from speck_adacal.virtual_samna.graph.batch import Batch, Columns
from speck_adacal.virtual_samna.graph.nodes import Node

if TYPE_CHECKING:
    from speck_adacal.virtual_samna.board.board_engine import Engine


class DeviceSourceNode(Node):
    """Output of a chip (or of a power monitor)."""

    def __init__(self, catch_up: Callable[[set[object]], None] | None = None) -> None:
        super().__init__()
        self._catch_up = catch_up

    def settle(self, visited: set[object]) -> None:
        """Wait until the board has given out what is due."""
        if self._catch_up is not None and self not in visited:
            visited.add(self)
            self._catch_up(visited)

    def process(self, batch: Batch) -> list[Batch]:
        """Nothing can be sent into a board's output."""
        raise DeviceError(f"{type(self).__name__} is a board's output; connect it as a source.")


class DeviceSinkNode(Node):
    """Input of a chip."""

    ACCEPTS: ClassVar[tuple[type[Any], ...]] = ()

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def process(self, batch: Batch) -> list[Batch]:
        """Check the events and queue them on the board."""
        self.check(batch)
        self._engine.submit(batch)
        return []

    def take(self, batch: Batch) -> None:
        """Queue events of this chip on the board; those for a missing core are dropped there."""
        self._engine.submit(batch)

    def check(self, batch: Batch) -> None:
        """Refuse events that this board cannot take; called for every `write` that leads here.

        Raises:
            DeviceError: the board is closed.
            EventError: an event of another chip, or one addressed to a core that is missing.
        """
        if self._engine.closed:
            raise DeviceError("The device is closed; open it again before writing to it.")
        if isinstance(batch, Columns):
            self._check_class(batch.event_class, 0)
            if "layer" in batch.event_class.FIELDS:
                self._check_layers(batch.column("layer").tolist())
            return
        wrong = set(map(type, batch)) - set(self.ACCEPTS)
        if wrong:
            cls = wrong.pop()
            self._check_class(cls, next(i for i, e in enumerate(batch) if type(e) is cls))
        if len(set(map(type, batch))) == 1 and "layer" in batch[0].FIELDS:
            self._check_layers([e.layer for e in batch])
        else:
            self._check_layers([getattr(e, "layer", None) for e in batch])

    def _check_class(self, cls: type[Any], index: int) -> None:
        if cls not in self.ACCEPTS:
            raise EventError(
                f"Event {index} is a {cls.__module__}.{cls.__name__}, which "
                f"{type(self).__name__} does not take."
            )

    def _check_layers(self, layers: list[int | None]) -> None:
        chip = self._engine.chip
        known = set(chip.cores) if chip is not None else set()
        if set(layers) <= known | {None}:
            return
        index, layer = next((i, n) for i, n in enumerate(layers) if n not in known | {None})
        what = f"configured are {sorted(known)}" if known else "no core is configured"
        raise EventError(
            f"Event {index} is addressed to core {layer}, but {what}; "
            "apply a configuration that uses that core, or change the event's layer."
        )


def device_nodes(chip: str, accepts: tuple[type[Any], ...]) -> tuple[type[Any], type[Any]]:
    """The source and sink classes of a chip; the second part of their name is the chip's."""
    source = type(f"DeviceSourceNode_{chip}_event_output_event", (DeviceSourceNode,), {})
    sink = type(f"DeviceSinkNode_{chip}_event_input_event", (DeviceSinkNode,), {"ACCEPTS": accepts})
    source.__module__ = sink.__module__ = "samna"
    return source, sink
