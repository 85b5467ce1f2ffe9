"""The virtual samna, installed for tests that run programs against it, and boards for them."""

from __future__ import annotations

import gc
import threading
import time

import pytest


@pytest.fixture(scope="session")
def samna():
    """The virtual samna as a module (a real library would be left alone: then skip)."""
    from speck_adacal.virtual_samna import ensure_samna

    if ensure_samna().kind != "virtual":
        pytest.skip("the vendor's samna library is installed")
    import samna

    return samna


@pytest.fixture
def boards(samna):
    """Declare virtual boards: `boards("speck2fmodule:2")`; as fast as possible unless told."""
    from speck_adacal.virtual_samna import declare_boards

    def declare(text: str, *, real_time: bool = False):
        return declare_boards(text, real_time=real_time)

    yield declare
    declare_boards("none")


@pytest.fixture
def no_leaked_threads():
    """Fails if the test leaves a thread of the virtual samna running."""
    before = set(threading.enumerate())
    yield
    gc.collect()  # sinks made by sink_from hold their own graph
    deadline = time.monotonic() + 5
    while (left := _ours(set(threading.enumerate()) - before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


def _ours(threads):
    return [t for t in threads if t.name.startswith("virtual-")]


@pytest.fixture
def one_core(samna):
    """A configuration: core 3, one feature, weight 5, threshold 10, `size` x `size`, monitored."""

    def make(size: int = 4, weight: int = 5, threshold: int = 10, core: int = 3, **fields):
        config = samna.speck2f.configuration.SpeckConfiguration()
        layer = config.cnn_layers[core]
        shape = {"size": {"x": size, "y": size}, "feature_count": 1}
        layer.dimensions = {"input_shape": shape, "output_shape": shape, "kernel_size": 1}
        layer.weights = [[[[weight]]]]
        layer.threshold_high, layer.threshold_low = threshold, -threshold
        layer.monitor_enable = True
        config.dvs_layer.pass_sensor_events = False
        for name, value in fields.items():
            setattr(layer, name, value)
        return config

    return make


@pytest.fixture
def wired(samna):
    """Connect a board: (board, source, sink, graph), the graph running."""
    graphs = []

    def connect(board):
        graph = samna.graph.EventFilterGraph()
        source, _ = graph.sequential(
            [samna.BasicSourceNode_speck2f_event_input_event(), board.get_model_sink_node()]
        )
        _, sink = graph.sequential(
            [board.get_model_source_node(), samna.BasicSinkNode_speck2f_event_output_event()]
        )
        graph.start()
        graphs.append(graph)
        return source, sink, graph

    yield connect
    for graph in graphs:
        graph.stop()


@pytest.fixture
def drain():
    """Everything that a board and its running graph have to give: `drain(board, graph, sink)`."""

    def drain_all(board, graph, sink):
        graph.stop()  # carries the input to the board
        assert board.virtual.wait_idle()
        graph.start()
        graph.stop()  # carries the output to the sink
        graph.start()
        return sink.get_events()

    return drain_all
