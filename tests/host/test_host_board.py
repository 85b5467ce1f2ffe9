"""The dev kit behind a session: both chips, real time, and a board that fails."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal import deploy, simulate
from speck_adacal.errors import DeviceError, EventError, HardwareMissingError, SettingsError
from speck_adacal.host import ArgmaxSpikeCount, BoardBackend, Session, open_board, windows_of


def test_a_speck2e(deployment, recording, virtual_board):
    other = deploy(deployment.adapted, chip="speck2e")
    whole = simulate(other, [recording()])
    with Session(BoardBackend(other, virtual_board("speck2e")), ArgmaxSpikeCount(3)) as session:
        decision = session.decide(windows_of(recording(), 20_000))
    assert decision.counts.tolist() == whole.class_counts[0].tolist()
    assert decision.synops is None


def test_in_real_time_input_is_held_back_until_its_time(deployment, recording, virtual_board):
    short = recording(0, 200, 60_000)
    whole = simulate(deployment, [short])
    board = virtual_board(real_time=True)
    with Session(BoardBackend(deployment, board), ArgmaxSpikeCount(3)) as session:
        decision = session.decide([short])
        assert session.latency.largest_s > 0.04  # most of the recording's own time
    assert decision.counts.tolist() == whole.class_counts[0].tolist()


def test_samples_do_not_leak_into_each_other(deployment, recording, virtual_board):
    whole = simulate(deployment, [recording(1)])
    with Session(BoardBackend(deployment, virtual_board()), ArgmaxSpikeCount(3)) as session:
        for moment in session.watch(windows_of(recording(0), 10_000)):
            if moment.t_us == 30_000:
                break  # given up in the middle
        decision = session.decide([recording(1)])
    assert decision.counts.tolist() == whole.class_counts[0].tolist()


def test_a_closed_board_is_a_device_error(deployment, recording, virtual_board):
    import samna

    board = virtual_board()
    backend = BoardBackend(deployment, board, close_device=False)
    samna.device.close_device(board)
    with pytest.raises(DeviceError, match="closed"):
        backend.feed(recording())
    backend.close()
    backend.close()


def test_a_board_that_never_answers_is_given_up(deployment, recording, virtual_board):
    backend = BoardBackend(deployment, virtual_board(), timeout_s=0.2)
    backend._sink.get_events_blocking = lambda timeout_ms: []
    with pytest.raises(DeviceError, match="no answer"):
        backend.feed(recording(0, 10, 100))
    backend.close()


def test_what_is_refused(deployment, recording, virtual_board):
    with pytest.raises(SettingsError, match="reset"):
        BoardBackend(deployment, None, reset="pray")
    backend = BoardBackend(deployment, virtual_board())
    with pytest.raises(EventError, match="takes"):
        backend.feed(recording(0, 10, 100, (1, 8, 8)))
    late = type(recording())(
        np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), (2, 8, 8), 1 << 32
    )
    with pytest.raises(EventError, match="32 bits"):
        backend.feed(late)
    with pytest.raises(HardwareMissingError, match="--backend twin"):
        open_board("speck2e")
    backend.close()
