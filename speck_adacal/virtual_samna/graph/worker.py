"""The thread of one graph.

One graph, one thread, one queue: a batch that arrives is carried to the end of every row before
the next one, so order is kept along every path, and memory holds what one batch makes. Two graphs
run side by side. Nothing is lost at a stop: what was accepted before is carried to the end, what
comes later waits for the next start.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from itertools import pairwise

from speck_adacal.virtual_samna.graph.batch import Batch
from speck_adacal.virtual_samna.graph.nodes import Node

log = logging.getLogger("speck_adacal.virtual_samna.graph")


GIVE_UP_S = 1.0
LONGEST_WAIT_S = 0.5
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
        self._accepted = 0  # batches ever put into the queue
        self._carried = 0  # batches taken out of it and carried to the end
        self._wake = threading.Condition()
        self._control = threading.Lock()
        self._stopping = False
        self._abandoned = False
        self._thread: threading.Thread | None = None
        _ALL.add(self)

    @property
    def abandoned(self) -> bool:
        """True once the graph object is gone."""
        return self._abandoned

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
            if self._abandoned:
                return
            if self._thread is None or self._stopping:
                self._held.append((target, batch))
            else:
                self._queue.append((target, batch))
                self._accepted += 1
                self._wake.notify_all()

    def settle(self, visited: set[object]) -> None:
        """Wait until all that was written before now has been carried to the end.

        A real chip is never behind; this lets a reader see what it would have given out by now.
        The wait is given up if nothing moves for `GIVE_UP_S`, and is none in a callback.
        """
        if self in visited or self._thread is threading.current_thread():
            return
        visited.add(self)
        self._wait_carried()  # input on its way to a board through this very graph
        for node in list(self._nodes):
            node.settle(visited)
            for feeder in node._feeders:
                feeder.settle(visited)
        self._wait_carried()

    def _wait_carried(self) -> None:
        with self._wake:
            goal = self._accepted
            while self.is_running and self._carried < goal:
                if not self._wait_for_progress(self._carried):
                    return

    def _wait_for_progress(self, before: int) -> bool:
        """Wait until the count of carried batches is no longer `before`; False if it stays."""
        return self._wake.wait_for(lambda: self._carried != before, GIVE_UP_S)

    def start(self) -> bool:
        """Start the thread; True if it runs afterwards."""
        with self._control:
            if self.is_running and not self._end_of_a_stop_inside():
                return True
            with self._wake:
                self._stopping = False
                self._queue, self._held = self._held, deque()
                self._accepted += len(self._queue)
                self.was_started = True
                self._thread = threading.Thread(
                    target=self._run, name="virtual-samna-graph", daemon=True
                )
                self._thread.start()
        return True

    def _end_of_a_stop_inside(self) -> bool:
        """After a callback stopped the graph: go on if it asks, else wait for the end."""
        with self._wake:
            if not self._stopping:
                return False
            thread = self._thread
            if thread is threading.current_thread():
                self._stopping = False
                return False
        if thread is not None:
            thread.join()
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
                self._wake.notify_all()
            thread.join()
            self._thread = None
        return True

    def abandon(self) -> None:
        """End the thread without carrying anything further, and forget all edges."""
        with self._wake:
            self._abandoned = self._stopping = True
            self._queue.clear()
            self._held.clear()
            self._carried = self._accepted
            self._wake.notify_all()
        for node in list(self._nodes):
            node._detach(self)

    def _run(self) -> None:
        polls: dict[Node, float] = {}
        while True:
            polls = self._polls(polls)  # also while the queue is never empty
            with self._wake:
                while not self._queue and not self._stopping:
                    polls = self._polls(polls)
                    left = min(polls.values(), default=_FOREVER) - time.monotonic()
                    if left <= 0:
                        break
                    # Not for ever: the garbage collector may abandon this graph in this very
                    # thread just before it waits, and nobody would wake it again.
                    self._wake.wait(min(left, LONGEST_WAIT_S))
                if self._abandoned or (self._stopping and not self._queue):
                    return
                item = self._queue.popleft() if self._queue else None
            if item is not None:
                self._carry(item[0], item[1])
                item = None  # or the last node would live as long as this thread waits
                with self._wake:
                    self._carried += 1
                    self._wake.notify_all()
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
                polls[node] = max(due + node.poll_s, now)  # at its times, not later and later
                self._carry(node, None)

    def _carry(self, node: Node, batch: Batch | None) -> None:
        """Let a node process a batch (or poll it), and carry on what it makes, piece by piece."""
        try:
            with node._busy:
                pieces = iter(node.poll() if batch is None else node.process(batch))
            while not self._abandoned:
                with node._busy:
                    result = next(pieces, None)
                if result is None:
                    return
                for worker, target in node.targets():
                    if worker is self:
                        self._carry(target, result)
                    else:
                        worker.post(target, result)
        except Exception:  # a user's callback must not end the graph
            self.errors += 1
            log.exception("A node of type %s failed; its batch is dropped.", type(node).__name__)


@atexit.register
def _end_all() -> None:
    """End every graph's thread before the interpreter is taken down."""
    for worker in list(_ALL):
        worker.abandon()
