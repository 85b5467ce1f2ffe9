"""`EventFilterGraph`, and the short cuts `source_to` and `sink_from`."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Sequence
from typing import Any

from speck_adacal.virtual_samna.fields import FieldValueError
from speck_adacal.virtual_samna.graph.filter_names import named_filter
from speck_adacal.virtual_samna.graph.jit import CppFilter
from speck_adacal.virtual_samna.graph.nodes import BasicSinkNode, BasicSourceNode, Node
from speck_adacal.virtual_samna.graph.worker import Worker

log = logging.getLogger("speck_adacal.virtual_samna.graph")

_LIBRARIES = ("sinabs", "speck_adacal")
RECEIVER = "VizEventReceiver"
"""The one filter that may come first: it makes events by itself."""


class EventFilterGraph:
    """Nodes in rows, run by a thread of its own between `start` and `stop`.

    Keep the object as long as it should run: a graph that is forgotten while it runs is stopped
    with a warning, and its nodes no longer pass anything on.
    """

    def __init__(self) -> None:
        self._worker = Worker()
        self._rows: list[list[Node]] = []
        self._finalizer = weakref.finalize(self, _destroyed, self._worker, _owner())
        self._finalizer.atexit = False

    def sequential(self, nodes: Sequence[Any]) -> list[Any]:
        """Connect nodes in a row and return them as objects, in order.

        Args:
            nodes: node objects, or names of built-in filters; a name cannot come first, since
                a filter takes its type from what comes before. Nodes may be shared by rows.

        Raises:
            FieldValueError: an element is neither, the row is too short, or a name comes first.
            BackendError: a filter is not known, or needs a C++ compiler.
        """
        if isinstance(nodes, (str, bytes)) or not isinstance(nodes, Sequence):
            raise FieldValueError("sequential takes a list of nodes.")
        if len(nodes) < 2:
            raise FieldValueError(f"sequential takes at least two nodes, found {len(nodes)}.")
        row = [self._node(i, item) for i, item in enumerate(nodes)]
        self._worker.add(row)
        self._rows.append(row)
        return row

    def start(self) -> bool:
        """Run; what was written before is carried first. True if the graph runs."""
        return self._worker.start()

    def stop(self) -> bool:
        """Carry everything under way to its sinks and end the thread. True when done."""
        return self._worker.stop()

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._worker.is_running

    def _node(self, index: int, item: Any) -> Node:
        if isinstance(item, Node):
            return item
        if isinstance(item, CppFilter):
            item.refuse()
        if not isinstance(item, str):
            raise FieldValueError(
                f"sequential takes nodes or names of filters, found {type(item).__name__} "
                f"at position {index}."
            )
        if index == 0 and item != RECEIVER:
            raise FieldValueError(
                f"The filter {item!r} cannot come first: its type follows from the node before it."
            )
        return named_filter(item)


def sequential(nodes: Sequence[Any]) -> EventFilterGraph:
    """A graph of one row."""
    graph = EventFilterGraph()
    graph.sequential(nodes)
    return graph


def source_to(sink: Node) -> Any:
    """A source connected to `sink`, whose graph runs as long as the source is kept."""
    source = BasicSourceNode()
    _run_with(source, [source, sink])
    return source


def sink_from(source: Node) -> Any:
    """A sink connected to `source`, whose graph runs as long as the sink is kept."""
    sink = BasicSinkNode()
    _run_with(sink, [source, sink])
    return sink


def _run_with(owner: Any, row: list[Node]) -> None:
    graph = EventFilterGraph()
    graph.sequential(row)
    graph.start()
    graph._finalizer.detach()  # it is meant to end with its owner, without a warning
    weakref.finalize(graph, graph._worker.abandon).atexit = False
    owner.graph = graph


def _owner() -> str:
    """The top package of the code that makes a graph."""
    frame = sys._getframe(2)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _destroyed(worker: Worker, owner: str) -> None:
    if worker.is_running and owner not in _LIBRARIES:  # a user can do nothing about a library's
        log.warning(
            "A graph was destroyed while running; its nodes pass nothing on any more. "
            "Keep the graph object, and stop it after use."
        )
    worker.abandon()
