"""Tiny data sets in their true layouts, and a small web server that can be cut off."""

from __future__ import annotations

import http.server
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest


@dataclass
class Web:
    """What the server serves, how it misbehaves, and what it was asked.

    Attributes:
        address: where it is.
        files: content by path without the leading slash.
        cut_after: break each answer off after so many bytes (-1: never).
        ranges: whether it honours Range headers.
        asked: (path, Range header) of every request.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: int = -1
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def web():
    state = Web()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range", "")
            state.asked.append((self.path, wanted))
            data = state.files.get(self.path.lstrip("/"))
            if data is None:
                self.send_error(404)
                return
            start = int(wanted[6:-1]) if wanted and state.ranges else 0
            if wanted and state.ranges and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            body = data[start:]
            self.wfile.write(body if state.cut_after < 0 else body[: state.cut_after])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def _events(seed, n=60, width=34, height=34):
    rng = np.random.default_rng(seed)
    return {
        "t": np.sort(rng.integers(0, 50_000, n)),
        "x": rng.integers(0, width, n),
        "y": rng.integers(0, height, n),
        "p": rng.integers(0, 2, n),
    }


def _nmnist(v):
    columns = [v["x"], v["y"], v["p"] << 7 | v["t"] >> 16, v["t"] >> 8 & 255, v["t"] & 255]
    return np.stack(columns, axis=1).astype(np.uint8).tobytes()


def _dat(v):
    rows = np.empty((len(v["t"]), 2), dtype="<u4")
    rows[:, 0] = v["t"]
    rows[:, 1] = v["x"] | v["y"] << 14 | v["p"] << 28
    return b"% Data file containing CD events\n% Version 2\n\x00\x08" + rows.tobytes()


@pytest.fixture
def sets(tmp_path):
    """A data folder with a few recordings of each event set, and the events in them."""
    made = {}

    def put(path, v, write):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target)
        made[path] = v

    for k, path in enumerate(("NMNIST/Train/3/00008.bin", "NMNIST/Train/0/00002.bin")):
        v = _events(k)
        put(path, v, lambda t, v=v: t.write_bytes(_nmnist(v)))
    for k, path in enumerate(
        (
            "NCALTECH101/Caltech101/wrench/image_0001.bin",
            "NCALTECH101/Caltech101/ant/image_0007.bin",
        )
    ):
        v = _events(10 + k, width=200, height=170)
        put(path, v, lambda t, v=v: t.write_bytes(_nmnist(v)))
    for k, path in enumerate(
        (
            "DVSGesture/ibmGestureTest/user24_led/10.npy",
            "DVSGesture/ibmGestureTest/user25_lab/2.npy",
        )
    ):
        v = _events(20 + k, width=128, height=128)
        v["t"] = v["t"] // 1000 * 1000  # the files have milliseconds
        rows = np.stack([v["x"], v["y"], v["p"], v["t"] // 1000], axis=1)
        put(path, v, lambda t, rows=rows: np.save(t, rows))
    for k, path in enumerate(("POKERDVS/pips_train/he/1.npy", "POKERDVS/pips_train/sp/0.npy")):
        v = _events(30 + k, width=35, height=35)
        rows = np.stack([v["t"], v["x"], v["y"], v["p"]], axis=1)
        put(path, v, lambda t, rows=rows: np.save(t, rows))
    for k, path in enumerate(
        ("NCARS/n-cars_test/cars/obj_000001_td.dat", "NCARS/n-cars_test/background/obj_2_td.dat")
    ):
        v = _events(40 + k, width=100, height=90)
        put(path, v, lambda t, v=v: t.write_bytes(_dat(v)))
    return tmp_path, made
