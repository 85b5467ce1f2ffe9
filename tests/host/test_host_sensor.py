"""The dev kit's own sensor as the source."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal import Events, simulate
from speck_adacal.errors import EventError
from speck_adacal.host import ArgmaxSpikeCount, Session
from speck_adacal.host.sensor import SensorBackend, at_sensor, joined, silence


def test_what_the_sensor_sees_is_what_the_network_decides_on(deployment, recording, virtual_board):
    board = virtual_board(real_time=True)
    scene = recording(0, 400, 20_000, (2, 128, 128))
    # The middle 32 x 32 of the 128 x 128 pixels, pooled by 4, are the network's 8 x 8.
    scene = Events(
        scene.t_us, 48 + scene.x // 4, 48 + scene.y // 4, scene.channel, scene.shape, 20_000
    )
    readout = ArgmaxSpikeCount(3)
    with Session(SensorBackend(deployment, board), readout) as session:
        moments = []
        for k, moment in enumerate(session.watch(silence((2, 8, 8), window_us=40_000, windows=4))):
            moments.append(moment)
            if k == 0:
                board.virtual.show(scene)
    seen = joined([m.seen for m in moments if m.seen is not None], (2, 8, 8), 160_000)
    assert len(seen) == 400 == moments[-1].events
    np.testing.assert_array_equal(seen.x, scene.x // 4 - 12)
    np.testing.assert_array_equal(seen.channel, scene.channel)
    whole = simulate(deployment, [seen])
    assert moments[-1].decision.counts.tolist() == whole.class_counts[0].tolist()


def test_pieces_with_events_are_refused(deployment, recording, virtual_board):
    with (
        Session(SensorBackend(deployment, virtual_board())) as session,
        pytest.raises(EventError, match="silence"),
    ):
        next(session.watch([recording()]))


def test_a_bundle_for_a_host_is_told_what_the_sensor_shows_it(deployment, caplog):
    wired = at_sensor(deployment)
    assert "(12, 12), pooled by 4" in caplog.text
    caplog.clear()
    assert at_sensor(wired) is wired
    assert caplog.text == ""
