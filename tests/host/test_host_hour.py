"""An hour of synthetic events at 100,000 a second through a session."""

from __future__ import annotations

import resource
import threading

import numpy as np
import pytest

from speck_adacal import Events
from speck_adacal.host import Session, SessionLimits, TwinBackend

RATE_HZ, PIECE_US = 100_000, 100_000


def pieces(recording, seconds):
    """The stream, made piece by piece; ten different pieces take turns."""
    made = [recording(k, RATE_HZ * PIECE_US // 1_000_000, PIECE_US - 1) for k in range(10)]
    for k in range(seconds * 1_000_000 // PIECE_US):
        m, start = made[k % 10], k * PIECE_US
        yield Events(m.t_us + start, m.x, m.y, m.channel, m.shape, start + PIECE_US)


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def stream_for(deployment, recording, seconds):
    """(counters, spikes received, peak memory in MiB after a tenth, and at the end)."""
    limits = SessionLimits(input_events=50_000, output_spikes=50_000)
    received, peaks, until = 0, [], [0]
    with Session(TwinBackend(deployment), limits=limits) as session:

        def produce():
            for piece in pieces(recording, seconds):
                session.send(piece)
            session.stop()

        producer = threading.Thread(target=produce)
        producer.start()
        number = -1
        while (batch := session.receive(timeout_s=60)) is not None:
            assert batch.number == number + 1
            number = batch.number
            assert batch.answer.until_us == until[-1] + PIECE_US
            until[-1] = batch.answer.until_us
            received += len(batch.answer)
            session.acknowledge(batch)
            if number == seconds - 1:
                peaks.append(peak_mib())
        producer.join()
        return session.counters, received, (peaks[0], peak_mib())


def check(deployment, recording, seconds):
    counters, received, peaks = stream_for(deployment, recording, seconds)
    assert counters.add_up
    assert counters.offered == counters.processed == seconds * RATE_HZ
    assert counters.dropped == counters.discarded == counters.waiting == 0
    assert counters.batches == seconds * 1_000_000 // PIECE_US
    assert counters.spikes == counters.acknowledged == received > 0
    assert peaks[1] - peaks[0] < 20
    return counters, peaks


def test_ten_seconds(deployment, recording):
    check(deployment, recording, 10)


@pytest.mark.long
def test_an_hour(deployment, recording):
    counters, peaks = check(deployment, recording, 3600)
    assert counters.processed == 360_000_000
    np.testing.assert_allclose(peaks[0], peaks[1], atol=20)


def test_a_stream_longer_than_the_chips_clock(deployment, recording):
    """The chip's time has 32 bits of µs (71 minutes); the session's has not."""
    chunk = recording(0, 500, 9_999)
    spikes = []
    for start in (0, (1 << 31) + 5, (1 << 33) + 5):
        backend = TwinBackend(deployment)
        backend.reset()
        if start:
            empty = np.zeros(0, np.int64)
            for end in range(1 << 30, start + 1, 1 << 30):
                backend.feed(Events(empty, empty, empty, empty, (2, 8, 8), end))
        answer = backend.feed(
            Events(chunk.t_us + start, chunk.x, chunk.y, chunk.channel, chunk.shape, start + 10_000)
        )
        spikes.append((answer.t_us - start).tolist())
        assert answer.until_us == start + 10_000
    assert spikes[0] == spikes[1] == spikes[2] != []
