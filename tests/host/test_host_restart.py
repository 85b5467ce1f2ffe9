"""A consumer in a process of its own that is killed, again and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np

from speck_adacal import Events
from speck_adacal.host import Session, TwinBackend

CONSUMER = """
import json, os, sys
out = open(sys.argv[1], "a")
for line in sys.stdin:
    batch = json.loads(line)
    out.write(json.dumps(batch) + "\\n"); out.flush(); os.fsync(out.fileno())
    print(batch["number"], flush=True)  # safe now: acknowledge it
"""


def start(path):
    return subprocess.Popen(
        [sys.executable, "-c", CONSUMER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        try:
            pipe.close()
        except BrokenPipeError:
            continue


def test_killing_the_consumer_loses_nothing_that_was_acknowledged(deployment, recording, tmp_path):
    chunk, pieces = recording(0, 200, 4_999), 40
    expected = []
    with Session(TwinBackend(deployment)) as session:
        for k in range(pieces):
            times, end = chunk.t_us + 5000 * k, 5000 * (k + 1)
            session.send(Events(times, chunk.x, chunk.y, chunk.channel, chunk.shape, end))
        session.stop()
        consumer, sent, acknowledged = start(tmp_path / "log"), 0, []
        while (batch := session.receive(timeout_s=20)) is not None:
            line = json.dumps({"number": batch.number, "output": batch.answer.output.tolist()})
            consumer.stdin.write(line + "\n")
            consumer.stdin.flush()
            sent += 1
            if sent % 9 == 0:  # killed before it could say that it has the batch
                kill(consumer)
                session.restart_consumer()
                consumer = start(tmp_path / "log")
                continue
            assert int(consumer.stdout.readline()) == batch.number
            session.acknowledge(batch)
            acknowledged.append(batch.number)
            expected.append(batch.answer.output)
        kill(consumer)
        counters = session.counters
    kept = {}
    for line in (tmp_path / "log").read_text().splitlines():
        entry = json.loads(line)
        assert kept.setdefault(entry["number"], entry["output"]) == entry["output"]
    assert acknowledged == list(range(pieces))
    assert sorted(kept) == acknowledged
    assert [kept[n] for n in acknowledged] == [c.tolist() for c in expected]
    assert counters.acknowledged == counters.spikes == sum(map(len, expected)) > 0
    assert counters.add_up
    assert np.sum([len(c) for c in kept.values()]) == counters.spikes
