"""Streaming to a live view: one JSON object a line over TCP, on this machine only.

The vendor's own wire format is not public and its window cannot connect here; `samnagui` of the
virtual samna and `VizEventReceiver` can. A streamer listens, any number of receivers connect.
"""

from __future__ import annotations

import atexit
import json
import logging
import multiprocessing.util  # noqa: F401  # its exit handler must be registered before ours
import socket
import threading
import time
import weakref
from typing import Any

from speck_adacal.errors import BackendError
from speck_adacal.virtual_samna.graph.batch import Batch, as_list
from speck_adacal.virtual_samna.graph.nodes import Node
from speck_adacal.virtual_samna.serial import plain

log = logging.getLogger("speck_adacal.virtual_samna.viz")

CONNECT_WAIT_S = 5.0
_SEND_TIMEOUT_S = 1.0
_LINE_LIMIT = 1 << 22
_STREAMERS: weakref.WeakSet[VizEventStreamer] = weakref.WeakSet()


def parse_endpoint(endpoint: str) -> tuple[str, int]:
    """(host, port) of `"tcp://0.0.0.0:40000"`; the host is always this machine.

    Raises:
        BackendError: not of that form.
    """
    scheme, _, rest = str(endpoint).partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BackendError(f"The endpoint is {endpoint!r}, expected tcp://HOST:PORT.")
    return "127.0.0.1", int(port)


class VizEventStreamer(Node):
    """Sends every event it gets to all receivers; without receivers events are counted only."""

    def __init__(self) -> None:
        super().__init__()
        self.sent_events = 0
        self._listener: socket.socket | None = None
        self._receivers: list[socket.socket] = []
        self._lock = threading.Lock()
        self._last_configuration = b""
        _STREAMERS.add(self)

    def set_streamer_endpoint(self, endpoint: str) -> bool:
        """Listen at an endpoint, such as `"tcp://0.0.0.0:40000"`."""
        address = parse_endpoint(endpoint)
        self.close()
        try:
            listener = socket.create_server(address)
        except OSError as error:
            raise BackendError(
                f"The endpoint {endpoint} cannot be listened at: {error}."
            ) from error
        listener.setblocking(False)
        self._listener = listener
        return True

    def set_streamer_destination(self, endpoint: str) -> bool:
        """The old name of `set_streamer_endpoint`."""
        return self.set_streamer_endpoint(endpoint)

    def wait_for_receiver_count(self, count: int = 1, timeout: float | None = None) -> int:
        """Wait for so many receivers, at most `timeout` ms (5 s by default); returns how many
        there are."""
        end = time.monotonic() + (CONNECT_WAIT_S if timeout is None else timeout / 1000)
        while self._accept() < count and time.monotonic() < end:
            time.sleep(0.02)
        return len(self._receivers)

    def process(self, batch: Batch) -> list[Batch]:
        """Send the events."""
        self._accept()
        events = as_list(batch)
        self.sent_events += len(events)
        lines = [encode(event) for event in events]
        settings = [line for line in lines if line.startswith(b'{"VisualizerConfiguration"')]
        if settings:
            self._last_configuration = settings[-1]
        self._send(b"".join(lines))
        return []

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for connection in [self._listener, *self._receivers]:
                if connection is not None:
                    connection.close()
            self._listener, self._receivers = None, []

    def __del__(self) -> None:
        self.close()

    def _accept(self) -> int:
        with self._lock:
            while self._listener is not None:
                try:
                    receiver, _ = self._listener.accept()
                except (BlockingIOError, OSError):
                    break
                receiver.settimeout(_SEND_TIMEOUT_S)
                self._receivers.append(receiver)
                if self._last_configuration:
                    receiver.sendall(self._last_configuration)
            return len(self._receivers)

    def _send(self, data: bytes) -> None:
        with self._lock:
            for receiver in list(self._receivers):
                try:
                    receiver.sendall(data)
                except OSError:  # gone, or too slow
                    receiver.close()
                    self._receivers.remove(receiver)


class VizEventReceiver(Node):
    """Receives what a streamer sends and passes it on as `samna.ui` events."""

    def __init__(self) -> None:
        super().__init__()
        self._address: tuple[str, int] | None = None
        self._connection: socket.socket | None = None
        self._rest = b""
        self.poll_s = 0.02

    def set_receiver_endpoint(self, endpoint: str) -> bool:
        """Connect to a streamer's endpoint, now or as soon as there is one."""
        self._address = parse_endpoint(endpoint)
        return True

    def process(self, batch: Batch) -> list[Batch]:
        """Pass on what another node sends here."""
        return [batch]

    def poll(self) -> list[Batch]:
        """What has arrived."""
        events = [e for line in self.lines() if (e := decode(line)) is not None]
        return [events] if events else []

    def lines(self) -> list[bytes]:
        """Complete lines that have arrived; connects first if need be."""
        if self._connection is None and not self._connect():
            return []
        data = b""
        connection = self._connection
        try:
            while connection is not None and (part := connection.recv(1 << 16)):
                data += part
            self._drop()  # the other side closed
        except BlockingIOError:
            pass
        except OSError:
            self._drop()
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_LIMIT:
            self._drop()
        return lines

    @property
    def connected(self) -> bool:
        """True while there is a connection."""
        return self._connection is not None

    def _connect(self) -> bool:
        if self._address is None:
            return False
        try:
            self._connection = socket.create_connection(self._address, timeout=0.2)
        except OSError:
            return False
        self._connection.setblocking(False)
        return True

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._rest = None, b""

    def __del__(self) -> None:
        self._drop()


_ZMQ = (
    "How samna writes events into ZeroMQ messages is not public, so {name} has no endpoint here; "
    "use {instead}, or send what a Speck2fCustomFilterNode gets with a socket of your own."
)


class ZmqStreamer(Node):
    """Takes its place in a graph; what arrives goes nowhere, as it can have no endpoint."""

    def set_streamer_endpoint(self, endpoint: str) -> bool:
        """Refused.

        Raises:
            BackendError: always: the format of the messages is not public.
        """
        raise BackendError(_ZMQ.format(name="ZMQStreamer", instead="VizEventStreamer"))

    def process(self, batch: Batch) -> list[Batch]:
        """Nothing leaves."""
        return []


class ZmqReceiver(Node):
    """Takes its place in a graph; nothing arrives from outside, as it can have no endpoint."""

    def set_receiver_endpoint(self, endpoint: str) -> bool:
        """Refused.

        Raises:
            BackendError: always: the format of the messages is not public.
        """
        raise BackendError(_ZMQ.format(name="ZMQReceiver", instead="VizEventReceiver"))

    def process(self, batch: Batch) -> list[Batch]:
        """Pass on what another node sends here."""
        return [batch]


def encode(event: Any) -> bytes:
    """One event as a line."""
    name = type(event).__name__
    return json.dumps({name: plain(event)}, default=_plain_or_text).encode() + b"\n"


def decode(line: bytes) -> Any:
    """The `samna.ui` event of a line, None if it is none."""
    from speck_adacal.virtual_samna.serial import camel
    from speck_adacal.virtual_samna.ui import classes

    try:
        ((name, values),) = json.loads(line).items()
        cls = classes()[name]
        return cls(**{field: values[camel(field)] for field in cls.SCHEMA})
    except (ValueError, KeyError, AttributeError, TypeError):
        log.warning("A line that is no event was left out.")
        return None


def _plain_or_text(value: Any) -> Any:
    return plain(value) if hasattr(type(value), "SCHEMA") else str(value)


@atexit.register
def _close_all() -> None:
    """Let the live views end before the interpreter waits for their processes."""
    for streamer in list(_STREAMERS):
        streamer.close()
