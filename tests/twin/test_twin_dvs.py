"""The DVS stage: polarity, pooling, region of interest, mirroring, filters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speck_adacal.errors import ConfigurationError
from speck_adacal.twin import Assumptions, Destination, DvsFilterProgram, DvsProgram, Twin
from speck_adacal.twin.dvs import DvsStage

DVS = 13


@pytest.fixture
def through(make_core, make_program, make_events):
    """Run events through a stage into core 0, whose neurons fire at every event."""

    def run(rows, clock_hz=None, assumptions=None, **settings):
        stage = DvsProgram(destinations=(Destination(0),), monitor=True, **settings)
        features, height, width = stage.out_shape
        weights = np.zeros((features, features, 1, 1), np.int8)
        weights[range(features), range(features)] = 1
        core = make_core(
            0,
            weights,
            in_shape=(features, height, width),
            out_shape=(features, height, width),
            threshold_high=1,
        )
        twin = Twin(make_program(core, dvs=stage), slow_clock_hz=clock_hz, assumptions=assumptions)
        return twin.run(make_events(rows, (2, 128, 128)))

    return run


def places(run):
    spikes = run.spikes[0]
    return list(zip(spikes.x.tolist(), spikes.y.tolist(), spikes.channel.tolist(), strict=True))


SMALL = {"cut": (7, 7)}
ROWS = [(1, 3, 5, 1), (2, 6, 2, 0)]


def test_polarities_are_kept_selected_or_merged(through):
    assert places(through(ROWS, **SMALL)) == [(3, 5, 1), (6, 2, 0)]
    assert places(through(ROWS, off_channel=False, **SMALL)) == [(3, 5, 1)]
    assert places(through(ROWS, on_channel=False, **SMALL)) == [(6, 2, 0)]
    assert places(through(ROWS, merge=True, **SMALL)) == [(3, 5, 0), (6, 2, 0)]


def test_pooling_comes_before_the_region_of_interest(through):
    run = through([(1, 50, 21, 0)], pooling=(2, 4), origin=(8, 10), cut=(11, 13))
    assert places(run) == [(50 // 4 - 10, 21 // 2 - 8, 0)]
    outside = through([(1, 60, 21, 0)], pooling=(2, 4), origin=(8, 10), cut=(11, 13))
    assert places(outside) == []
    assert len(outside.monitored) == 0  # the monitor shows the region of interest
    whole = through(
        [(1, 60, 21, 0)],
        pooling=(2, 4),
        origin=(8, 10),
        cut=(11, 13),
        assumptions=Assumptions(dvs_monitor="sensor"),
    )
    assert len(whole.monitored) == 1


def test_the_monitor_counts_from_the_corner_of_the_region_before_pooling(through):
    run = through([(1, 50, 21, 0)], pooling=(2, 4), origin=(8, 10), cut=(11, 13))
    stage = run.monitored.layer == DVS
    assert run.monitored.x[stage].tolist() == [50 - 4 * 10]
    assert run.monitored.y[stage].tolist() == [21 - 2 * 8]


@given(data=st.data(), monitored=st.sampled_from(["region", "sensor"]))
def test_what_goes_on_is_known_from_what_the_monitor_shows(data, monitored):
    pools = data.draw(st.tuples(*2 * [st.sampled_from([1, 2, 4])]))
    origin = data.draw(st.tuples(*2 * [st.integers(0, 9)]))
    cut = tuple(low + data.draw(st.integers(0, 9)) for low in origin)
    program = DvsProgram(
        pooling=pools,
        origin=origin,
        cut=cut,
        merge=data.draw(st.booleans()),
        mirror=data.draw(st.tuples(st.booleans(), st.booleans())),
        mirror_diagonal=data.draw(st.booleans()),
    )
    stage = DvsStage(program, 128, Assumptions(dvs_monitor=monitored))
    rows = data.draw(st.lists(st.tuples(*[st.integers(0, n) for n in (1, 99, 99)]), max_size=30))
    channel, y, x = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    selected = stage.selected(channel, y, x, np.zeros_like(y))
    sent, known = (
        stage.forwarded(selected),
        stage.forwarded_of_monitored(stage.monitored(selected)),
    )
    for name in ("index", "channel", "y", "x"):
        assert getattr(sent, name).tolist() == getattr(known, name).tolist(), name


def test_a_published_collectors_region_fills_its_frame(make_program, make_events):
    """80 x 80 pixels from column 23 on; the program indexes such a frame with the monitor."""
    rows = [(t, x, y, 0) for t, (x, y) in enumerate([(23, 0), (102, 79), (22, 5), (60, 80)])]
    stage = DvsProgram(monitor=True, origin=(0, 23), cut=(79, 102))
    shown = Twin(make_program(dvs=stage)).run(make_events(rows, (2, 128, 128)), entry=DVS).monitored
    assert list(zip(shown.x, shown.y, strict=True)) == [(0, 0), (79, 79)]


@pytest.mark.parametrize("threshold", [1, 5])
def test_a_hot_pixel_filter_with_a_window_of_one_pixel_asks_for_no_company(through, threshold):
    """Two published collectors run real kits with these settings, and get events."""
    rows = [(t, t % 7, t % 5, t % 2) for t in range(40)]
    only = DvsFilterProgram(hot_pixel=True, size=(1, 1), threshold=threshold)
    assert len(through(rows, filter=only, **SMALL).spikes[0]) == 40
    wide = DvsFilterProgram(hot_pixel=True, size=(1, 3), threshold=threshold)
    assert (
        0
        < len(through([(t, 3 + t % 2, 3, 0) for t in range(9)], filter=wide, **SMALL).spikes[0])
        < 9
    )


def test_mirrors_and_diagonal(through):
    settings = {"cut": (3, 7)}
    event = [(1, 6, 1, 0)]
    assert places(through(event, mirror=(False, True), **settings)) == [(1, 1, 0)]
    assert places(through(event, mirror=(True, False), **settings)) == [(6, 2, 0)]
    assert places(through(event, mirror_diagonal=True, **settings)) == [(1, 6, 0)]
    assert places(through(event, mirror=(True, True), mirror_diagonal=True, **settings)) == [
        (2, 1, 0)
    ]


def test_two_destinations(make_core, make_program, make_events):
    stage = DvsProgram(destinations=(Destination(0, slot=0), Destination(1, slot=1)), cut=(0, 0))
    program = make_program(make_core(0, [[1, 1]]), make_core(1, [[2, 2]]), dvs=stage)
    twin = Twin(program)
    assert twin.entry == DVS
    twin.run(make_events([(0, 0, 0, 1)]))
    assert (twin.read_neuron(0, 0, 0, 0), twin.read_neuron(1, 0, 0, 0)) == (1, 2)


def test_monitor_shows_the_event_before_what_it_causes(through):
    run = through(ROWS, **SMALL)
    assert run.monitored.layer.tolist() == [DVS, 0, DVS, 0]
    assert run.monitored.t_us.tolist() == [1, 1, 2, 2]


def noise_filter(**settings):
    return {"filter": DvsFilterProgram(**{"size": (3, 3), "threshold": 2, **settings}), **SMALL}


# one tick a millisecond: an event and its neighbour 0.5 ms later, then one far away, then both late
FILTER_ROWS = [
    (1_500, 3, 3, 1),
    (2_100, 4, 3, 0),
    (2_200, 0, 7, 1),
    (9_500, 3, 3, 1),
    (9_600, 3, 3, 1),
]


def test_noise_filter_wants_company_in_time_and_space(through):
    run = through(FILTER_ROWS, clock_hz=1000, **noise_filter())
    assert run.spikes[0].cause.tolist() == [1, 4]
    # by the datasheet an event passes if the difference is less than the threshold
    run = through(FILTER_ROWS, clock_hz=1000, **noise_filter(threshold=1))
    assert run.spikes[0].cause.tolist() == [4]


def test_hot_pixel_filter_does_not_count_the_pixel_itself(through):
    run = through(FILTER_ROWS, clock_hz=1000, **noise_filter(hot_pixel=True))
    assert run.spikes[0].cause.tolist() == [1]
    other = Assumptions(hot_pixel_filter="block_fast_pixels")
    rows = [*FILTER_ROWS, (9_700, 4, 3, 0), (9_800, 4, 3, 0)]
    run = through(rows, clock_hz=1000, assumptions=other, **noise_filter(hot_pixel=True))
    assert run.spikes[0].cause.tolist() == [1, 5]


def test_low_pass_blocks_events_soon_after_the_last_of_their_pixel(through):
    rows = [(500, 1, 1, 1), (1_500, 1, 1, 1), (6_500, 1, 1, 1), (6_600, 2, 1, 1)]
    run = through(rows, clock_hz=1000, **noise_filter(low_pass=True, threshold=3))
    assert run.spikes[0].cause.tolist() == [0, 2, 3]


def test_without_a_clock_every_pixel_stays_company_for_ever(through):
    assert through(FILTER_ROWS, **noise_filter()).spikes[0].cause.tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": (3, 1)}, "pooling.y = 3"),
        ({"origin": (0, 128)}, "origin.x = 128"),
        ({"origin": (5, 0), "cut": (4, 7)}, "cut.y = 4"),
        ({"cut": (7, 128)}, "cut.x = 128"),
        ({"filter": DvsFilterProgram(size=(16, 1))}, "filter_size.y = 16"),
        ({"filter": DvsFilterProgram(threshold=-1)}, "threshold = -1"),
    ],
)
def test_bad_settings_are_named(make_core, make_program, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Twin(make_program(make_core(), dvs=DvsProgram(**settings)))
