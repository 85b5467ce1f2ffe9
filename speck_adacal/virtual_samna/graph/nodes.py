"""Nodes of a graph: sources that are written to, sinks that are read, filters in between."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

from speck_adacal.virtual_samna.fields import FieldValueError
from speck_adacal.virtual_samna.graph.batch import Batch, Columns, as_list

LOOK_AGAIN_S = 0.05


class Carrier(Protocol):
    """What carries batches from node to node: the thread of a graph (`worker.Worker`)."""

    was_started: bool

    @property
    def abandoned(self) -> bool:
        """True once the graph object is gone."""

    @property
    def is_running(self) -> bool:
        """True between a start and the end of the matching stop."""

    def post(self, target: Node, batch: Batch) -> None:
        """Queue a batch for `target`."""

    def settle(self, visited: set[object]) -> None:
        """Wait until all that was written before now has been carried to the end."""


class Node:
    """A place in a graph. Subclasses say what `process` makes of a batch that arrives.

    A node may belong to several graphs at once; each graph's own thread carries what leaves
    the node along that graph's edges.

    Attributes:
        poll_s: seconds between calls of `poll` while a graph runs; 0 for never.
    """

    poll_s: float = 0.0

    def __init__(self) -> None:
        self._edges: tuple[tuple[Carrier, weakref.ref[Node]], ...] = ()
        self._feeders: tuple[Carrier, ...] = ()
        self._wiring = threading.RLock()  # garbage collection may detach while we attach
        self._busy = threading.Lock()

    def process(self, batch: Batch) -> Iterable[Batch]:
        """What leaves the node when `batch` arrives; called by one thread at a time."""
        raise NotImplementedError

    def settle(self, visited: set[object]) -> None:
        """Wait until what feeds this node from outside the graphs has given out what is due."""

    def check(self, batch: Batch) -> None:
        """Refuse a batch that this node could not process, before it is sent here."""

    def poll(self) -> Iterable[Batch]:
        """What leaves the node now, without anything arriving; for nodes with a `poll_s`."""
        return []

    def emit(self, batch: Batch) -> None:
        """Hand a batch to every graph that this node feeds, from outside the graphs' threads."""
        for worker, target in self.targets():
            worker.post(target, batch)

    def targets(self) -> list[tuple[Carrier, Node]]:
        """The nodes that this one feeds, each with the graph it is fed through."""
        return [
            (worker, target)
            for worker, ref in self._edges
            if not worker.abandoned and (target := ref()) is not None
        ]

    def _attach(self, worker: Carrier, target: Node) -> None:
        edge = (worker, weakref.ref(target))
        with self._wiring:
            if edge not in self._edges:
                alive = (old for old in self._edges if not old[0].abandoned)
                self._edges = (*alive, edge)
        with target._wiring:
            if worker not in target._feeders:
                target._feeders = (*target._feeders, worker)

    def _detach(self, worker: Carrier) -> None:
        with self._wiring:
            self._edges = tuple(e for e in self._edges if e[0] is not worker)
            self._feeders = tuple(f for f in self._feeders if f is not worker)


class BasicSourceNode(Node):
    """A source that a program writes lists of events to."""

    ACCEPTS: ClassVar[tuple[type[Any], ...]] = ()

    def write(self, events: Sequence[Any]) -> None:
        """Send events on their way, in order.

        Raises:
            FieldValueError: something in the list is not an event of this node's kind; nothing
                is sent then.
        """
        checked = check_events(type(self).__name__, events, self.ACCEPTS)
        if checked:
            for _, target in self.targets():
                target.check(checked)
            self.emit(checked)

    def process(self, batch: Batch) -> list[Batch]:
        """Pass on what another node sends here."""
        return [batch]


class BasicSinkNode(Node):
    """A sink whose events a program takes out; they wait here, however many, until it does."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Batch] = deque()
        self._arrived = threading.Condition()

    def process(self, batch: Batch) -> list[Batch]:
        """Keep the batch until it is read."""
        with self._arrived:
            self._waiting.append(batch)
            self._arrived.notify_all()
        return []

    def get_events(self) -> list[Any]:
        """Everything received since the last read, in order; the buffer is empty afterwards.

        What a real chip would have given out by now is waited for (see `Worker.settle`).
        """
        visited: set[object] = set()
        for feeder in self._feeders:
            feeder.settle(visited)
        return self._drain()

    def _drain(self) -> list[Any]:
        with self._arrived:
            batches, self._waiting = self._waiting, deque()
        events: list[Any] = []
        for batch in batches:
            events.extend(as_list(batch))
        return events

    def get_events_blocking(self, timeout: float | None = None) -> list[Any]:
        """As `get_events`, but wait for at least one event.

        Args:
            timeout: give up after so many milliseconds and return an empty list. Without it the
                wait ends when every graph that feeds this sink has been stopped.
        """
        with self._arrived:
            if timeout is not None:
                self._arrived.wait_for(lambda: bool(self._waiting), max(timeout, 0) / 1000)
            while timeout is None and not self._waiting and not self._nothing_can_come():
                self._arrived.wait(LOOK_AGAIN_S)
        return self._drain()

    def clear_events(self) -> None:
        """Throw away everything received so far."""
        with self._arrived:
            self._waiting.clear()

    def _nothing_can_come(self) -> bool:
        feeders = self._feeders
        return bool(feeders) and all(f.was_started and not f.is_running for f in feeders)


def check_events(where: str, events: Any, accepts: tuple[type[Any], ...]) -> Batch:
    """`events` as a batch, after a look at every element's class."""
    if isinstance(events, Columns) and (not accepts or events.event_class in accepts):
        return events
    if isinstance(events, (str, bytes)) or not hasattr(type(events), "__getitem__"):
        raise FieldValueError(
            f"{where}.write takes a list of events, found {type(events).__name__}; "
            "put a single event into a list."
        )
    items = list(events)
    if accepts and not set(map(type, items)) <= set(accepts):
        index, item = next((i, e) for i, e in enumerate(items) if type(e) not in accepts)
        names = ", ".join(sorted({cls.__name__ for cls in accepts}))
        raise FieldValueError(
            f"{where}.write takes events of {accepts[0].__module__} ({names}), found "
            f"{type(item).__module__}.{type(item).__name__} at position {index}."
        )
    return items


def source_class(name: str, accepts: tuple[type[Any], ...], module: str = "samna") -> type[Any]:
    """A `BasicSourceNode_...` class for events of the given classes."""
    doc = f"Source of {accepts[0].__module__} events." if accepts else "Source of any events."
    body = {"ACCEPTS": accepts, "__module__": module, "__doc__": doc}
    return type(name, (BasicSourceNode,), body)


def sink_class(name: str, module: str = "samna") -> type[Any]:
    """A `BasicSinkNode_...` class."""
    return type(name, (BasicSinkNode,), {"__module__": module, "__doc__": "Sink of events."})
