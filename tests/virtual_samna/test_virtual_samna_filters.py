"""Filters of pixels, by name: what each passes, what it refuses, and old ways to write events."""

from __future__ import annotations

import logging

import pytest

from speck_adacal.errors import BackendError

pytestmark = pytest.mark.usefixtures("no_leaked_threads")


@pytest.fixture
def through(samna):
    """Events of camera or chip through a row of filters, each set up by a function."""

    def run(events, *names, setup=()):
        graph = samna.graph.EventFilterGraph()
        source = samna.graph.JitSource()
        _, *nodes, sink = graph.sequential([source, *names, samna.graph.JitSink()])
        for node, set_up in zip(nodes, setup, strict=False):
            set_up(node)
        graph.start()
        source.write(events)
        graph.stop()
        return sink.get_events()

    return run


def pixels(events):
    return [(e.x, e.y) for e in events]


def test_a_camera_is_cropped_to_a_chip(samna, through):
    camera = samna.camera.event.DvsEvent
    events = [
        camera(p=i % 2, y=y, x=x, timestamp=i)
        for i, (x, y) in enumerate(
            [(100, 100), (227, 227), (228, 100), (99, 100), (100, 345), (150, 160)]
        )
    ]
    got = through(
        events,
        "DvsEventCrop",
        "CameraToSpeck2fInput",
        setup=[lambda n: n.set_roi(100, 100, 228, 228)],
    )
    assert pixels(got) == [(0, 0), (127, 127), (50, 60)]
    assert {type(e) for e in got} == {samna.speck2f.event.DvsEvent}
    assert [(e.p, e.timestamp) for e in got] == [(False, 0), (True, 1), (True, 5)]
    assert pixels(events)[5] == (150, 160)  # the events written are not changed
    back = through(got, "Speck2fDvsToCameraConverter")
    assert {type(e) for e in back} == {camera}
    assert pixels(back) == pixels(got)


def test_events_off_a_chips_sensor_are_left_out(samna, through):
    camera = samna.camera.event.DvsEvent
    events = [camera(p=1, y=0, x=x, timestamp=0) for x in (127, 128, 640)]
    assert pixels(through(events, "CameraToSpeck2eInput")) == [(127, 0)]


@pytest.mark.parametrize("name", ["DvsEventDecimate", "Speck2fDvsEventDecimate"])
def test_l_of_m_events_are_left_out_over_all_batches(samna, name):
    event = samna.speck2f.event.DvsEvent
    graph = samna.graph.EventFilterGraph()
    source = samna.graph.JitSource()
    _, node, sink = graph.sequential([source, name, samna.graph.JitSink()])
    node.set_decimation_fraction(5, 2)
    graph.start()
    for start in range(0, 20, 4):  # batches that do not end where five events do
        source.write([event(timestamp=t) for t in range(start, start + 4)])
    graph.stop()
    assert [e.timestamp for e in sink.get_events()] == [t for t in range(20) if t % 5 < 3]


def test_pixels_are_rescaled(samna, through):
    spike = samna.speck2f.event.Spike
    events = [spike(layer=1, feature=3, y=9, x=9, timestamp=7)]
    got = through(
        events, "Speck2fDvsEventRescale", setup=[lambda n: n.set_rescaling_coefficients(2, 4)]
    )
    assert [(e.layer, e.feature, e.y, e.x, e.timestamp) for e in got] == [(1, 3, 2, 4, 7)]


def test_a_board_s_output_passes_in_columns_as_in_objects(samna, through):
    from speck_adacal.virtual_samna.graph.batch import to_columns
    from speck_adacal.virtual_samna.graph.pixel_filters import EventCropNode, EventRescaleNode

    spike = samna.speck2f.event.Spike
    events = [spike(layer=2, feature=1, y=y, x=x, timestamp=x) for x in range(6) for y in range(4)]
    for node, setup in (
        (EventCropNode(), lambda n: n.set_roi(1, 1, 4, 3)),
        (EventRescaleNode(), lambda n: n.set_rescaling_coefficients(2, 3)),
    ):
        setup(node)
        (columns,), (objects,) = node.process(to_columns(events, spike)), node.process(events)
        assert [e.to_json() for e in columns.objects()] == [e.to_json() for e in objects]


def test_a_toggle_passes_while_it_is_on(samna, through):
    event = samna.speck2f.event.DvsEvent
    assert len(through([event()], "Speck2fOutputEventToggle")) == 1
    off = through(
        [event()], "Speck2fOutputEventToggle", setup=[lambda n: n.set_enable_value(False)]
    )
    assert off == []


def test_noise_needs_company_and_hot_pixels_are_silenced(samna, through):
    event = samna.speck2f.event.DvsEvent
    lone = [
        event(x=5, y=5, timestamp=0),
        event(x=50, y=50, timestamp=10),
        event(x=6, y=5, timestamp=9_000),
        event(x=7, y=5, timestamp=30_000),
    ]
    assert pixels(through(lone, "Speck2fBackgroundActivityFilter")) == [(6, 5)]
    hot = [event(x=1, y=1, timestamp=t * 100) for t in range(2_000)]
    cool = [event(x=2, y=2, timestamp=t * 100) for t in range(500)]
    got = pixels(through([*hot, *cool], "Speck2fHotPixelFilter"))
    assert (got.count((1, 1)), got.count((2, 2))) == (1_000, 500)


def test_spikes_alone_become_what_is_shown(samna, through):
    event = samna.speck2f.event
    shown = through(
        [event.DvsEvent(x=1), event.Spike(layer=3, x=2, feature=5)], "Speck2fSpikeToVizConverter"
    )
    assert [(type(e).__name__, e.layer, e.col) for e in shown] == [("DvsEvent", 3, 2)]


@pytest.mark.parametrize(
    ("name", "call", "values"),
    [
        ("DvsEventCrop", "set_roi", (10, 0, 10, 5)),
        ("DvsEventCrop", "set_roi", (-1, 0, 10, 5)),
        ("DvsEventCrop", "set_roi", ("a", 0, 10, 5)),
        ("DvsEventDecimate", "set_decimation_fraction", (3, 4)),
        ("DvsEventDecimate", "set_decimation_fraction", (0, 0)),
        ("DvsEventRescale", "set_rescaling_coefficients", (0, 2)),
    ],
)
def test_wrong_settings_are_refused(samna, name, call, values):
    graph = samna.graph.EventFilterGraph()
    _, node = graph.sequential([samna.graph.JitSource(), name])
    with pytest.raises((TypeError, ValueError), match=call):
        getattr(node, call)(*values)


def test_zmq_ends_name_what_to_use_instead(samna):
    graph = samna.graph.EventFilterGraph()
    _, streamer = graph.sequential([samna.graph.JitSource(), "ZMQStreamer"])
    with pytest.raises(BackendError, match=r"not public.*VizEventStreamer"):
        streamer.set_streamer_endpoint("tcp://127.0.0.1:40001")
    _, receiver = graph.sequential([samna.graph.JitSource(), "ZMQReceiver"])
    with pytest.raises(BackendError, match=r"not public.*VizEventReceiver"):
        receiver.set_receiver_endpoint("tcp://127.0.0.1:40001")


def test_old_writes_arrive_and_name_the_new_call(samna, boards, caplog):
    boards("speck2fdevkit:1")
    board = samna.device.open_device("Speck2fDevKit:0")
    model = board.get_model()
    config = samna.speck2f.configuration.SpeckConfiguration()
    config.dvs_layer.monitor_enable = True
    config.dvs_layer.pass_sensor_events = False
    model.apply_configuration(config)
    sink = samna.graph.sink_from(model.get_source_node())
    event = samna.speck2f.event
    with caplog.at_level(logging.WARNING, logger="speck_adacal.virtual_samna"):
        board.get_io_module().write([event.KillSensorPixel(x=3, y=4), event.DvsEvent(x=3, y=4)])
        model.write([event.DvsEvent(x=9, y=4)])
        board.virtual.wait_idle()
    assert [e.x for e in sink.get_events()][-1] == 9
    assert caplog.text.count("source_to(model.get_sink_node())") == 2
    before = board.virtual.lost_events
    model.write([event.Spike(layer=5)])  # no such core: dropped and counted, as the chip does
    board.virtual.wait_idle()
    assert board.virtual.lost_events == before + 1
    with pytest.raises(TypeError):
        model.write([samna.speck2e.event.DvsEvent()])
    samna.device.close_device(board)


def test_the_log_is_set_by_either_name(samna):
    logger = logging.getLogger("speck_adacal.virtual_samna")
    before = logger.level
    try:
        for module in (samna.log, samna.logger, samna):
            module.set_log_level("error")
            assert logger.level == logging.ERROR
            logger.setLevel(before)
        with pytest.raises(ValueError, match="loud"):
            samna.log.set_log_level("loud")
    finally:
        logger.setLevel(before)
