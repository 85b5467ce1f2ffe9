"""The thread of one graph.

One graph, one thread, one queue: batches are processed in the order in which they arrive, and
what a node makes of them is queued behind. So order is kept along every path, and two graphs
run side by side. Nothing is lost at a stop: what was accepted before is carried to the end,
what comes later waits for the next start.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speck_adacal.virtual_samna.graph.batch import Batch
    from speck_adacal.virtual_samna.graph.nodes import Node

log = logging.getLogger("speck_adacal.virtual_samna.graph")


_FOREVER = float("inf")
_ALL: weakref.WeakSet[Worker] = weakref.WeakSet()


class Worker:
    """Queue and thread of one graph. It knows its nodes weakly: the graph object keeps them."""

    def __init__(self) -> None:
        self._nodes: weakref.WeakSet[Node] = weakref.WeakSet()
        self.was_started = False
        self.errors = 0
        self._queue: deque[tuple[Node, Batch]] = deque()
        self._held: deque[tuple[Node, Batch]] = deque()
        self._wake = threading.Condition()
        self._control = threading.Lock()
        self._stopping = False
        self._abandoned = False
        self._thread: threading.Thread | None = None
        _ALL.add(self)

    @property
    def is_running(self) -> bool:
        """True between a start and the end of the matching stop."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def add(self, chain: list[Node]) -> None:
        """Connect nodes in a row."""
        self._nodes.update(chain)
        for source, target in pairwise(chain):
            source._attach(self, target)

    def post(self, target: Node, batch: Batch) -> None:
        """Queue a batch for `target`; held back while the graph does not run."""
        with self._wake:
            if self._thread is None or self._stopping:
                self._held.append((target, batch))
            else:
                self._queue.append((target, batch))
                self._wake.notify()

    def start(self) -> bool:
        """Start the thread; True if it runs afterwards."""
        with self._control:
            if self.is_running:
                return True
            with self._wake:
                self._stopping = False
                self._queue, self._held = self._held, deque()
                self.was_started = True
                self._thread = threading.Thread(
                    target=self._run, name="virtual-samna-graph", daemon=True
                )
                self._thread.start()
        return True

    def stop(self) -> bool:
        """Carry everything accepted so far to its sinks, then end the thread."""
        if threading.current_thread() is self._thread:  # from a callback: cannot wait for itself
            with self._wake:
                self._stopping = True
            return True
        with self._control:
            thread = self._thread
            if thread is None:
                return True
            with self._wake:
                self._stopping = True
                self._wake.notify()
            thread.join()
            self._thread = None
        return True

    def abandon(self) -> None:
        """End the thread without carrying anything further, and forget all edges."""
        with self._wake:
            self._abandoned = self._stopping = True
            self._queue.clear()
            self._held.clear()
            self._wake.notify()
        for node in list(self._nodes):
            node._detach(self)

    def _run(self) -> None:
        polls: dict[Node, float] = {}
        while True:
            with self._wake:
                while not self._queue and not self._stopping:
                    polls = self._polls(polls)
                    left = min(polls.values(), default=_FOREVER) - time.monotonic()
                    if left <= 0 or not self._wake.wait(min(left, threading.TIMEOUT_MAX)):
                        break
                if self._abandoned or (self._stopping and not self._queue):
                    return
                item = self._queue.popleft() if self._queue else None
            if item is not None:
                self._carry(item[0], item[1])
                item = None  # or the last node would live as long as this thread waits
            self._poll(polls)

    def _polls(self, polls: dict[Node, float]) -> dict[Node, float]:
        """When each node that wants it is polled next, in monotonic seconds."""
        now = time.monotonic()
        wanting = [node for node in list(self._nodes) if node.poll_s > 0]
        return {node: polls.get(node, now + node.poll_s) for node in wanting}

    def _poll(self, polls: dict[Node, float]) -> None:
        now = time.monotonic()
        for node, due in polls.items():
            if due <= now:
                polls[node] = now + node.poll_s
                self._carry(node, None)

    def _carry(self, node: Node, batch: Batch | None) -> None:
        try:
            with node._busy:
                results = node.poll() if batch is None else node.process(batch)
        except Exception:  # a user's callback must not end the graph
            self.errors += 1
            log.exception("A node of type %s failed; its batch is dropped.", type(node).__name__)
            return
        for result in results:
            for worker, target in node.targets():
                if worker is self:
                    with self._wake:
                        if not self._abandoned:
                            self._queue.append((target, result))
                else:
                    worker.post(target, result)


@atexit.register
def _end_all() -> None:
    """End every graph's thread before the interpreter is taken down."""
    for worker in list(_ALL):
        worker.abandon()
