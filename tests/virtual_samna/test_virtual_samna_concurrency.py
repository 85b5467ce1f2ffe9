"""Many boards, many threads: nothing is lost or doubled, nothing hangs, nothing is left behind."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("no_leaked_threads")


@pytest.fixture
def spikes(samna):
    def make(count, start=0, step=10):
        cls = samna.speck2f.event.Spike
        return [cls(layer=3, x=i % 4, timestamp=start + i * step) for i in range(count)]

    return make


def test_a_hundred_open_close_cycles(samna, boards, one_core, spikes, drain):
    boards("speck2fmodule")
    config = one_core(weight=10)
    for cycle in range(100):
        board = samna.device.open_device("Speck2fModuleDevKit:0")
        board.get_model().apply_configuration(config)
        graph = samna.graph.EventFilterGraph()
        source, _ = graph.sequential(
            [samna.BasicSourceNode_speck2f_event_input_event(), board.get_model_sink_node()]
        )
        _, sink = graph.sequential(
            [board.get_model_source_node(), samna.BasicSinkNode_speck2f_event_output_event()]
        )
        graph.start()
        board.get_stop_watch().start()
        source.write(spikes(20))
        if cycle % 2:  # in every other cycle close while events are in flight
            assert len(drain(board, graph, sink)) == 20
        samna.device.close_device(board)
        graph.stop()
        assert len(sink.get_events()) <= 20
    assert samna.device.get_opened_devices() == []


def test_two_boards_and_two_graphs_at_once(samna, boards, one_core, wired, spikes):
    boards("speck2fmodule:2")
    opened = [samna.device.open_device("Speck2fModuleDevKit") for _ in range(2)]
    ends = []
    for board in opened:
        board.get_model().apply_configuration(one_core(weight=10))
        board.get_stop_watch().start()
        ends.append(wired(board))

    def produce(source, start):
        for i in range(50):
            source.write(spikes(20, start=start + i * 200))

    producers = [
        threading.Thread(target=produce, args=(source, n)) for n, (source, _, _) in enumerate(ends)
    ]
    for thread in producers:
        thread.start()
    for thread in producers:
        thread.join()
    for n, (board, (_, sink, graph)) in enumerate(zip(opened, ends, strict=True)):
        graph.stop()
        assert board.virtual.wait_idle()
        graph.start()
        graph.stop()
        stamps = [e.timestamp for e in sink.get_events()]
        assert stamps == list(range(n, 10_000 + n, 10))
        samna.device.close_device(board)


def test_a_slow_consumer_gets_everything(samna, boards, one_core, wired, spikes):
    boards("speck2fmodule")
    board = samna.device.open_device("Speck2fModuleDevKit")
    board.get_model().apply_configuration(one_core(weight=10))
    source, sink, graph = wired(board)
    board.get_stop_watch().start()
    done = threading.Event()
    seen: list[int] = []

    def consume():
        while not done.is_set():
            seen.extend(e.timestamp for e in sink.get_events())
            time.sleep(0.02)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for i in range(200):
        source.write(spikes(100, start=i * 1000))
    graph.stop()
    assert board.virtual.wait_idle()
    graph.start()
    graph.stop()
    done.set()
    consumer.join()
    seen.extend(e.timestamp for e in sink.get_events())
    assert seen == list(range(0, 200_000, 10))
    samna.device.close_device(board)


def test_a_read_sees_all_that_is_due_by_then(samna, boards, one_core, wired, spikes):
    """A real chip is never behind: neither sleeps nor guesses are needed before a read."""
    boards("speck2fmodule")
    board = samna.device.open_device("Speck2fModuleDevKit")
    board.get_model().apply_configuration(one_core(weight=10))
    source, sink, _ = wired(board)
    board.get_stop_watch().start()
    for i in range(20):
        source.write(spikes(1000, start=i * 10_000))
        assert len(sink.get_events()) == 1000
    samna.device.close_device(board)


def test_a_read_in_a_callback_waits_for_nothing(samna, spikes):
    graph = samna.graph.EventFilterGraph()
    source = samna.BasicSourceNode_speck2f_event_input_event()
    other = samna.BasicSinkNode_speck2f_event_output_event()
    _, custom, sink = graph.sequential(
        [
            source,
            "Speck2fCustomFilterNode",
            samna.BasicSinkNode_speck2f_event_output_event(),
        ]
    )
    graph.sequential([source, other])
    seen = []

    def callback(events):
        seen.append(len(other.get_events()))
        return events

    custom.set_filter_function(callback)
    graph.start()
    start = time.monotonic()
    source.write(spikes(3))
    assert len(sink.get_events()) == 3
    assert time.monotonic() - start < 0.9
    graph.stop()
    assert seen == [0]


def test_a_stuck_callback_delays_a_read_but_does_not_block_it(samna, spikes):
    graph = samna.graph.EventFilterGraph()
    release = threading.Event()
    source, custom, sink = graph.sequential(
        [
            samna.BasicSourceNode_speck2f_event_input_event(),
            "Speck2fCustomFilterNode",
            samna.BasicSinkNode_speck2f_event_output_event(),
        ]
    )

    def callback(events):
        release.wait(30)
        return events

    custom.set_filter_function(callback)
    graph.start()
    source.write(spikes(3))
    assert sink.get_events() == []
    release.set()
    assert len(sink.get_events()) == 3
    graph.stop()


def test_stop_while_events_are_in_flight(samna, boards, one_core, wired, spikes):
    """Stopping and starting the graph at any moment only delays events."""
    boards("speck2fmodule")
    board = samna.device.open_device("Speck2fModuleDevKit")
    board.get_model().apply_configuration(one_core(weight=10))
    source, sink, graph = wired(board)
    board.get_stop_watch().start()
    seen = []
    for i in range(40):
        source.write(spikes(500, start=i * 5000))
        graph.stop()
        seen += [e.timestamp for e in sink.get_events()]
        graph.start()
    graph.stop()
    assert board.virtual.wait_idle()
    graph.start()
    graph.stop()
    seen += [e.timestamp for e in sink.get_events()]
    assert seen == list(range(0, 200_000, 10))
    samna.device.close_device(board)


def test_real_time_releases_events_by_the_stop_watch(samna, boards, one_core, wired, spikes):
    boards("speck2fmodule", real_time=True)
    board = samna.device.open_device("Speck2fModuleDevKit")
    board.get_model().apply_configuration(one_core(weight=10))
    source, sink, graph = wired(board)
    watch = board.get_stop_watch()
    watch.start(True)
    start = time.monotonic()
    source.write(spikes(3, start=100_000, step=100_000))
    stamps = []
    while len(stamps) < 3 and time.monotonic() - start < 20:
        for event in sink.get_events_blocking(100):
            stamps.append(event.timestamp)
            assert time.monotonic() - start >= event.timestamp / 1e6 - 0.01
            assert watch.get_value() >= event.timestamp
    assert stamps == [100_000, 200_000, 300_000]
    source.write(spikes(1, start=0))  # in the past: goes out at once, stamped now
    (late,) = sink.get_events_blocking(5000)
    assert late.timestamp >= 300_000
    source.write(spikes(1, start=2**31))
    graph.stop()
    assert board.virtual.waiting_events == 1
    watch.stop()  # held events go out when the watch is off
    assert board.virtual.wait_idle()
    samna.device.close_device(board)


def test_reads_in_real_time_are_answered_before_the_next_read_of_the_sink(
    samna, boards, one_core, wired
):
    boards("speck2fmodule", real_time=True)
    board = samna.device.open_device("Speck2fModuleDevKit")
    board.get_model().apply_configuration(one_core())
    source, sink, _ = wired(board)
    request = [samna.speck2f.event.ReadNeuronValue(layer=3, address=i) for i in range(16)]
    for _ in range(50):
        source.write(request)
        assert [e.address for e in sink.get_events()] == list(range(16))
    samna.device.close_device(board)


def test_closing_with_held_events_does_not_wait_for_them(samna, boards, one_core, wired, spikes):
    boards("speck2fmodule", real_time=True)
    board = samna.device.open_device("Speck2fModuleDevKit")
    board.get_model().apply_configuration(one_core())
    source, _, graph = wired(board)
    board.get_stop_watch().start(True)
    source.write(spikes(5, start=3_600_000_000))
    graph.stop()
    samna.device.close_device(board)
    assert board.virtual.lost_events == 5


def test_power_monitor_in_real_time(samna, boards):
    boards("speck2fdevkit", real_time=True)
    board = samna.device.open_device("Speck2fDevKit")
    graph = samna.graph.EventFilterGraph()
    monitor = board.get_power_monitor()
    _, sink = graph.sequential(
        [monitor.get_source_node(), samna.BasicSinkNode_unifirm_modules_events_measurement()]
    )
    graph.start()
    board.get_stop_watch().set_enable_value(True)
    monitor.start_auto_power_measurement(100.0)
    time.sleep(0.25)
    monitor.stop_auto_power_measurement()
    graph.stop()
    events = sink.get_events()
    assert 5 * 5 <= len(events) <= 26 * 5
    assert [e.channel for e in events[:5]] == [0, 1, 2, 3, 4]
    assert sum(e.value for e in events[:5]) == pytest.approx(1170.3e-6, rel=1e-3)
    assert events[-1].timestamp > events[0].timestamp > 0
    with pytest.raises(ValueError, match="power monitor's rate"):
        monitor.start_auto_power_measurement(0)
    samna.device.close_device(board)


def test_declaring_boards_again_closes_the_old_ones(samna, boards):
    boards("speck2e:2")
    first = samna.device.open_device("Speck2eTestBoard")
    boards("speck2f" + "module")
    assert first.closed
    assert len(samna.device.get_all_devices()) == 1


def test_the_sensor_sees_a_scene_again_and_again(samna, one_core, wired, spikes, tmp_path):
    """Also while input is held back by the stop watch."""
    from speck_adacal.errors import SettingsError
    from speck_adacal.virtual_samna import declare_boards

    path = tmp_path / "scene.npz"
    count = np.arange(5)
    np.savez(path, t=count * 4000, x=count, y=count + 1, p=count % 2)
    declare_boards("speck2fdevkit", scene=str(path))
    board = samna.device.open_device("Speck2fDevKit")
    config = one_core()
    config.dvs_layer.raw_monitor_enable = True
    board.get_model().apply_configuration(config)
    source, sink, _ = wired(board)
    board.get_stop_watch().start(True)
    source.write(spikes(1, start=3_600_000_000))
    seen = []
    deadline = time.monotonic() + 20
    while len(seen) < 12 and time.monotonic() < deadline:
        seen += sink.get_events_blocking(100)
    samna.device.close_device(board)
    assert len(seen) >= 12
    xs = [e.x for e in seen]
    assert xs == [(xs[0] + i) % 5 for i in range(len(xs))]
    assert all(e.y == e.x + 1 and e.p is bool(e.x % 2) for e in seen)
    assert [e.timestamp for e in seen] == sorted(e.timestamp for e in seen)
    with pytest.raises(SettingsError, match="is not there"):
        declare_boards("speck2fdevkit", scene=str(tmp_path / "nothing.npz"))
    declare_boards("none")
