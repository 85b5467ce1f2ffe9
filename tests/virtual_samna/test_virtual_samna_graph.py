"""Graphs: order, branches, start and stop, callbacks that fail, filters by name and Jit."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import pytest

from speck_adacal.errors import BackendError

pytestmark = pytest.mark.usefixtures("no_leaked_threads")


@pytest.fixture
def spike(samna):
    return samna.specksim.events.Spike


@pytest.fixture
def ends(samna):
    def make():
        return (
            samna.BasicSourceNode_specksim_events_spike(),
            samna.BasicSinkNode_specksim_events_spike(),
        )

    return make


def test_events_arrive_in_order_and_once(samna, spike, ends):
    graph = samna.graph.EventFilterGraph()
    source, sink = graph.sequential(ends())
    assert graph.start()
    for start in range(0, 1000, 10):
        source.write([spike(0, 0, 0, t) for t in range(start, start + 10)])
    assert graph.stop()
    assert [e.timestamp for e in sink.get_events()] == list(range(1000))
    assert sink.get_events() == []


def test_what_is_written_before_the_start_is_carried_after_it(samna, spike, ends):
    graph = samna.graph.EventFilterGraph()
    source, sink = graph.sequential(ends())
    source.write([spike(0, 0, 0, 1)])
    time.sleep(0.05)
    assert sink.get_events() == []
    graph.start()
    graph.stop()
    assert len(sink.get_events()) == 1


def test_stop_and_start_again_loses_and_doubles_nothing(samna, spike, ends):
    graph = samna.graph.EventFilterGraph()
    source, sink = graph.sequential(ends())
    done = threading.Event()

    def produce():
        for t in range(2000):
            source.write([spike(0, 0, 0, t)])
        done.set()

    producer = threading.Thread(target=produce)
    graph.start()
    producer.start()
    while not done.is_set():
        graph.stop()
        graph.start()
    producer.join()
    graph.stop()
    assert [e.timestamp for e in sink.get_events()] == list(range(2000))


def test_branches_and_shared_nodes(samna, spike, ends):
    graph = samna.graph.EventFilterGraph()
    source, first = graph.sequential(ends())
    second = samna.BasicSinkNode_specksim_events_spike()
    graph.sequential([source, second])
    graph.start()
    source.write([spike(1, 2, 3, 4)] * 5)
    graph.stop()
    assert len(first.get_events()) == len(second.get_events()) == 5


def test_two_graphs_share_a_source_and_stop_apart(samna, spike, ends):
    one, other = samna.graph.EventFilterGraph(), samna.graph.EventFilterGraph()
    source, first = one.sequential(ends())
    second = samna.BasicSinkNode_specksim_events_spike()
    other.sequential([source, second])
    one.start()
    other.start()
    source.write([spike(0, 0, 0, 1)])
    one.stop()
    source.write([spike(0, 0, 0, 2)])
    other.stop()
    assert [e.timestamp for e in first.get_events()] == [1]
    assert [e.timestamp for e in second.get_events()] == [1, 2]
    one.start()
    one.stop()
    assert [e.timestamp for e in first.get_events()] == [2]


def test_a_failing_callback_does_not_end_the_graph(samna, spike, ends, caplog):
    graph = samna.graph.EventFilterGraph()
    source, sink = ends()
    seen = []

    def callback(events):
        seen.append(len(events))
        if len(events) == 2:
            raise RuntimeError("two is too many")
        return events

    _, custom, _ = graph.sequential([source, "Speck2fCustomFilterNode", sink])
    custom.set_filter_function(callback)
    graph.start()
    for count in (1, 2, 3):
        source.write([spike(0, 0, 0, 0)] * count)
    graph.stop()
    assert seen == [1, 2, 3]
    assert len(sink.get_events()) == 4
    assert "two is too many" in caplog.text


def test_a_callback_may_stop_its_own_graph(samna, spike, ends):
    graph = samna.graph.EventFilterGraph()
    source, sink = ends()
    _, custom, _ = graph.sequential([source, "Speck2fCustomFilterNode", sink])

    def callback(events):
        graph.stop()
        return events

    custom.set_filter_function(callback)
    graph.start()
    source.write([spike(0, 0, 0, 0)])
    assert len(sink.get_events_blocking(2000)) == 1
    assert graph.stop()
    assert not graph.is_running


def test_blocking_read_returns_when_its_graphs_are_stopped(samna, spike, ends):
    graph = samna.graph.EventFilterGraph()
    _, sink = graph.sequential(ends())
    graph.start()
    threading.Timer(0.1, graph.stop).start()
    assert sink.get_events_blocking() == []
    start = time.monotonic()
    assert sink.get_events_blocking(80) == []
    assert time.monotonic() - start >= 0.07


def test_a_forgotten_graph_is_stopped_with_a_warning(samna, spike, ends, caplog):
    graph = samna.graph.EventFilterGraph()
    source, sink = graph.sequential(ends())
    graph.start()
    alive = weakref.ref(graph)
    with caplog.at_level(logging.WARNING):
        del graph
        gc.collect()
    assert alive() is None
    assert "destroyed while running" in caplog.text
    source.write([spike(0, 0, 0, 0)])
    assert sink.get_events() == []


def test_short_cuts_live_as_long_as_their_end(samna, spike):
    source = samna.BasicSourceNode_specksim_events_spike()
    sink = samna.graph.sink_from(source)
    source.write([spike(0, 0, 0, 7)])
    assert [e.timestamp for e in sink.get_events_blocking(2000)] == [7]
    other = samna.graph.source_to(sink)
    other.write([spike(0, 0, 0, 8)])
    assert [e.timestamp for e in sink.get_events_blocking(2000)] == [8]
    gone = weakref.ref(sink)
    del sink, other
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("bad", ["ab", [], [1, 2], ["Speck2fOutputMemberSelect", "x"]])
def test_rows_that_make_no_sense_are_refused(samna, bad):
    with pytest.raises((TypeError, BackendError)):
        samna.graph.EventFilterGraph().sequential(bad)


def test_wrong_events_are_named_and_nothing_is_sent(samna, spike, ends):
    graph = samna.graph.EventFilterGraph()
    source, sink = graph.sequential(ends())
    graph.start()
    other = samna.speck2f.event.Spike()
    with pytest.raises(TypeError, match=r"samna\.speck2f\.event\.Spike at position 1"):
        source.write([spike(0, 0, 0, 0), other])
    with pytest.raises(TypeError, match="takes a list"):
        source.write(spike(0, 0, 0, 0))
    graph.stop()
    assert sink.get_events() == []


def test_cpp_filters_are_refused_with_the_reason(samna):
    source = samna.BasicSourceNode_ui_event()
    for make in (samna.graph.JitFilter, samna.graph.JitFunctionFilter):
        written = make("Mine", "struct Mine {};")  # real ones compile in a graph, too
        with pytest.raises(BackendError, match=r"no C\+\+ compiler.*'Mine'.*CustomFilterNode"):
            samna.graph.EventFilterGraph().sequential([source, written])
    with pytest.raises(BackendError, match="Speck2fOutputEventTypeFilter"):
        samna.graph.EventFilterGraph().sequential(
            [samna.BasicSourceNode_ui_event(), "Speck2fNoSuchFilter"]
        )


def test_type_and_member_filters(samna):
    event = samna.speck2f.event
    graph = samna.graph.EventFilterGraph()
    source = samna.BasicSourceNode_speck2f_event_input_event()
    _, kind, member, sink = graph.sequential(
        [
            source,
            "Speck2fOutputEventTypeFilter",
            samna.graph.JitMemberSelect(),
            samna.BasicSinkNode_speck2f_event_output_event(),
        ]
    )
    kind.set_desired_type("speck2f::event::Spike")
    member.set_white_list([13, 2], "layer")
    graph.start()
    source.write(
        [event.Spike(layer=2), event.DvsEvent(), event.Spike(layer=3), event.Spike(layer=13)]
    )
    graph.stop()
    assert [e.layer for e in sink.get_events()] == [2, 13]


def test_collection_count_and_majority(samna):
    event = samna.speck2f.event
    graph = samna.graph.EventFilterGraph()
    source = samna.BasicSourceNode_speck2f_event_input_event()
    _, collection, count, counts = graph.sequential(
        [
            source,
            samna.graph.JitSpikeCollection(event.Spike),
            samna.graph.JitSpikeCount(samna.ui.Event),
            samna.BasicSinkNode_ui_event(),
        ]
    )
    _, majority, decisions = graph.sequential(
        [
            collection,
            samna.graph.JitMajorityReadout(samna.ui.Event),
            samna.BasicSinkNode_ui_event(),
        ]
    )
    collection.set_interval_milli_sec(50)
    count.set_feature_count(3)
    majority.set_feature_count(3)
    majority.set_default_feature(2)
    graph.start()
    source.write([event.Spike(feature=f) for f in (1, 0, 1)])
    deadline = time.monotonic() + 5
    seen, decided = [], []
    while not any(sum(c.counts) for c in seen) and time.monotonic() < deadline:
        seen += counts.get_events_blocking(200)
    graph.stop()
    decided = decisions.get_events()
    assert [1, 2, 0] in [c.counts for c in seen]
    assert {d.feature for d in decided} <= {1, 2}
    assert 1 in [d.feature for d in decided]


def test_streamer_and_receiver(samna):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    endpoint = f"tcp://0.0.0.0:{port}"
    out, into = samna.graph.EventFilterGraph(), samna.graph.EventFilterGraph()
    source, streamer = out.sequential([samna.BasicSourceNode_ui_event(), "VizEventStreamer"])
    streamer.set_streamer_endpoint(endpoint)
    assert streamer.wait_for_receiver_count(1, 50) == 0
    receiver, sink = into.sequential(["VizEventReceiver", samna.BasicSinkNode_ui_event()])
    receiver.set_receiver_endpoint(endpoint)
    out.start()
    into.start()
    assert streamer.wait_for_receiver_count() == 1
    readout = samna.ui.Readout()
    readout.feature = 4
    source.write([readout])
    assert sink.get_events_blocking(5000)[0].feature == 4
    out.stop()
    into.stop()
    streamer.close()
    with pytest.raises(BackendError, match="tcp://HOST:PORT"):
        streamer.set_streamer_endpoint("40000")


def test_forgotten_graphs_around_one_source_do_not_pile_up(samna, spike):
    """What sinabs does at every deployment: new graphs on the same node, the old ones dropped."""
    source = samna.BasicSourceNode_specksim_events_spike()
    for _ in range(200):
        graph = samna.graph.EventFilterGraph()
        _, sink = graph.sequential([source, samna.BasicSinkNode_specksim_events_spike()])
        graph.owner = graph  # a cycle: only the garbage collector can take it
        graph.start()
    deadline = time.monotonic() + 5
    # A collection that another thread has begun makes this one return before all are gone.
    while gc.collect() + len(source.targets()) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    targets = len(source.targets())
    source.write([spike(0, 0, 0, 1)])
    found = len(sink.get_events())
    graph.stop()
    assert (targets, found) == (1, 1)
