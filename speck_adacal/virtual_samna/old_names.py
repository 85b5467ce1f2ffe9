"""Names of old samna releases that public programs still use: some work, the others name the new.

Before release 0.21 a program started a node of its own (`init_samna`), opened others by name, and
told the visualizer about them. In one process with one board none of that is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from speck_adacal.errors import BackendError
from speck_adacal.virtual_samna.fields import FieldValueError
from speck_adacal.virtual_samna.graph.nodes import check_events

log = logging.getLogger("speck_adacal.virtual_samna")

ENDPOINT = "tcp://0.0.0.0:40000"

_GONE = {
    "open_remote_node": "samna.device.open_device opens boards, and samnagui.run_visualizer is the "
    "live view",
    "setup_local_node": "nothing needs to be set up; call samna.device.open_device",
    "device_node": "use samna.device.get_all_devices and samna.device.open_device",
}
"""Old name in `samna`: what to use now."""


class Node:
    """What `init_samna` returned: a place in the old network of nodes."""

    def get_sender_endpoint(self) -> str:
        """An endpoint that a `VizEventStreamer` can listen at."""
        return ENDPOINT

    def get_receiver_endpoint(self) -> str:
        """The same: the live view connects to the streamer."""
        return ENDPOINT

    def get_node_id(self) -> int:
        """Number of this node; there is only one."""
        return 0


def init_samna(*arguments: Any) -> Node:
    """Needed nothing since release 0.21; returns a node whose endpoints a streamer can use."""
    return Node()


def refused(old: str, now: str) -> Callable[..., Any]:
    """A function that says what has taken the place of an old one."""

    def refuse(*arguments: Any, **values: Any) -> Any:
        """Gone from samna.

        Raises:
            BackendError: always, naming the new call.
        """
        raise BackendError(f"{old} is gone since samna 0.21; {now}.")

    refuse.__name__ = old.rpartition(".")[2]
    return refuse


class _Gone:
    """An old module: every name in it is refused."""

    def __init__(self, old: str, now: str) -> None:
        self._old, self._now = old, now

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise BackendError(f"{self._old}.{name} is gone since samna 0.21; {self._now}.")


def set_log_level(level: int | str) -> None:
    """Set which lines of the virtual samna's log are shown.

    Args:
        level: a level of Python's logging: a number, or a name such as "info" in any case.

    Raises:
        FieldValueError: no such level.
    """
    wanted = level.upper() if isinstance(level, str) else level
    try:
        logging.getLogger("speck_adacal.virtual_samna").setLevel(wanted)
    except (TypeError, ValueError) as error:
        raise FieldValueError(
            f"The log level is {level!r}, allowed are debug, info, warning, error and critical."
        ) from error


LOG = {"set_log_level": set_log_level, "set_level": set_log_level}
"""Names of `samna.log` and `samna.logger`."""


def written_directly(where: str, sink: Any, events: Any) -> None:
    """What `write` did before release 0.21; a real board has it no more, so say so.

    As then, an event for a core that is not configured is dropped, counted and logged.
    """
    log.warning(
        "%s.write is gone since samna 0.21; on a board, use "
        "samna.graph.source_to(model.get_sink_node()).write(events).",
        where,
    )
    batch = check_events(where, events, sink.ACCEPTS)
    if batch:
        sink.take(batch)


def public() -> dict[str, Any]:
    """Old names of the module `samna`."""
    functions = {name: refused(f"samna.{name}", now) for name, now in _GONE.items()}
    node = _Gone("samna.device_node", _GONE["device_node"])
    return {
        **functions,
        "device_node": node,
        "init_samna": init_samna,
        "set_log_level": set_log_level,
    }
