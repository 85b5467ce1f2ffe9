"""What public programs expect: old names, waiting for the window, scenes, sinabs 2."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from speck_adacal.errors import BackendError, SettingsError
from speck_adacal.virtual_samna import gui, parse_boards

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    full = {k: v for k, v in os.environ.items() if not k.startswith("SPECK_ADACAL")}
    full["PYTHONPATH"] = os.pathsep.join(p for p in (ROOT, full.get("PYTHONPATH", "")) if p)
    full.update(env)
    code = "import sys; from speck_adacal.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "virtual", "run", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=full, check=False, timeout=120
    )


@pytest.fixture
def board(samna, boards):
    boards("speck2fdevkit:1")
    handle = samna.device.open_device("Speck2fDevKit:0")
    yield handle
    samna.device.close_device(handle)


def test_names_of_boards_modules_that_public_programs_call(board):
    io = board.get_io_module()
    io.set_slow_clock(True)
    io.set_dual_channel_output_enable(True)
    board.get_power_module().set_vdd_io(3.3)
    with pytest.raises(SettingsError, match=r"3300 V, allowed is 1\.2 to 3\.6 V"):
        board.get_power_module().set_vdd_io(3300)
    with pytest.raises(TypeError):
        io.set_dual_channel_output_enable("yes")


def test_names_of_old_releases_work_or_name_the_new_call(samna):
    node = samna.init_samna()
    streamer = samna.graph.EventFilterGraph().sequential(
        [samna.BasicSourceNode_ui_event(), "VizEventStreamer"]
    )[1]
    assert streamer.set_streamer_destination(node.get_sender_endpoint())
    assert node.get_receiver_endpoint() == node.get_sender_endpoint()
    streamer.close()
    with pytest.raises(BackendError, match=r"samna\.device\.open_device"):
        samna.open_remote_node(3, "visualizer")
    with pytest.raises(BackendError, match=r"samna\.device_node\.DeviceController is gone"):
        _ = samna.device_node.DeviceController
    with pytest.raises(BackendError, match="run_visualizer"):
        gui.public()["runVisualizer"](0.7, 0.7)


def test_the_old_visualizer_call_finds_its_endpoint(monkeypatch):
    called = []
    monkeypatch.setattr(gui, "run_visualizer", called.append)
    gui.run_visualizer_of_old(0.75, 0.75, "tcp://0.0.0.0:41000", "tcp://0.0.0.0:41000", 3)
    assert called == ["tcp://0.0.0.0:41000"]


def test_a_view_ends_after_its_seconds_and_says_so_on_a_plain_terminal(monkeypatch, caplog):
    monkeypatch.setenv(gui.VIEW_VARIABLE, "0.3")
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        gui.run_visualizer("tcp://127.0.0.1:41234", headless=True)
    assert time.monotonic() - started < gui.PATIENCE_S
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "no terminal" in lines[0]
    assert "events shown: none" in lines[1]


@pytest.mark.parametrize("text", ["0", "-3", "soon", "nan"])
def test_seconds_of_a_view_that_make_no_sense_are_refused(monkeypatch, text):
    monkeypatch.setenv(gui.VIEW_VARIABLE, text)
    with pytest.raises(SettingsError, match="seconds above 0"):
        gui.view_seconds()


def scene_file(path, side=32):
    t = np.arange(0, 50_000, 500)
    np.savez(path, t=t, x=t % side, y=t % side, p=t % 2, sensor_size=[side, side, 2])
    return str(path)


def test_a_scene_is_checked_before_the_program_starts(tmp_path):
    script = tmp_path / "program.py"
    script.write_text("print('started')")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK nothing")
    wide = scene_file(tmp_path / "wide.npz", side=300)
    for scene, words in ((str(damaged), "damaged.npz"), (wide, "300 x 300 pixels")):
        result = run("--boards", "speck2fdevkit", "--scene", scene, str(script))
        assert result.returncode != 0
        assert words in result.stderr.replace("\n", " ")
        assert "Traceback" not in result.stderr
        assert "started" not in result.stdout


def test_a_scene_can_be_shown_once(samna, tmp_path):
    from speck_adacal.virtual_samna.board import registry

    scene = scene_file(tmp_path / "scene.npz")
    registry._BOARDS.declare(parse_boards("speck2fdevkit", scene=scene, scene_once=True))
    board = samna.device.open_device("Speck2fDevKit:0")
    config = samna.speck2f.configuration.SpeckConfiguration()
    config.dvs_layer.raw_monitor_enable = True
    sink = samna.graph.sink_from(board.get_model_source_node())
    board.get_model().apply_configuration(config)
    seen: list[object] = []
    deadline = time.monotonic() + 20
    while len(seen) < 100 and time.monotonic() < deadline:
        seen += sink.get_events()
        time.sleep(0.02)
    time.sleep(0.3)  # a second showing would have begun
    assert len(seen + sink.get_events()) == 100
    registry.declare_boards("none")


def test_interval_nodes_have_their_turn_while_the_queue_is_never_empty(samna):
    graph = samna.graph.EventFilterGraph()
    spike = samna.speck2f.event.Spike
    source, collection, custom = graph.sequential(
        [
            samna.graph.JitSource(samna.speck2f.event.OutputEvent),
            "Speck2fSpikeCollectionNode",
            "Speck2fCustomFilterNode",
        ]
    )
    _, slow = graph.sequential([source, "Speck2fCustomFilterNode"])
    order: list[str] = []
    collection.set_interval_milli_sec(50)
    custom.set_filter_function(lambda spikes: order.append("collection"))
    slow.set_filter_function(lambda spikes: (time.sleep(0.01), order.append("slow"))[1])
    for stamp in range(60):
        source.write([spike(layer=1, feature=0, x=0, y=0, timestamp=stamp)])
    graph.start()
    deadline = time.monotonic() + 30
    while order.count("slow") < 60 and time.monotonic() < deadline:
        time.sleep(0.01)
    graph.stop()
    first = order.index("collection")
    assert order[:first].count("slow") < 60  # not only once the queue had run empty


@pytest.mark.parametrize(("owner", "said"), [("__main__", True), ("sinabs.backend.x", False)])
def test_only_the_owner_of_a_graph_is_told_that_it_was_destroyed(samna, caplog, owner, said):
    names = {"__name__": owner, "samna": samna}
    exec(  # the graph is made by code of this module's name
        "graph = samna.graph.EventFilterGraph()\n"
        "graph.sequential([samna.BasicSourceNode_ui_event(), samna.BasicSinkNode_ui_event()])\n"
        "graph.start()",
        names,
    )
    with caplog.at_level(logging.WARNING):
        del names["graph"]
    assert any("destroyed while running" in r.getMessage() for r in caplog.records) is said


PROGRAM_FOR_SINABS_2 = """
import warnings; warnings.simplefilter("ignore")
import torch
from torch import nn
import sinabs.layers as sl
import sinabs.nir
from sinabs.backend.dynapcnn import DynapcnnNetwork

def model(*first):
    return nn.Sequential(
        *first,
        nn.Conv2d(2, 4, 3, bias=False), sl.IAFSqueeze(batch_size=1), sl.SumPool2d(2),
        nn.Flatten(), nn.Linear(4 * 7 * 7, 3, bias=False), sl.IAFSqueeze(batch_size=1),
    )

net = DynapcnnNetwork(model(sl.SumPool2d(1)), input_shape=(2, 16, 16))
net.make_config([3, 5], "speck2fdevkit:0")
print(net.chip_layers_ordering, net.chip_layers_ordering[-1], len(net.sequence))
net.reset_states()
print(net.sequence[0].conv_layer.out_channels, net.sequence[0].pool_layer.kernel_size)
graph = sinabs.nir.to_nir(model(), torch.zeros(1, 2, 16, 16))
print(type(sinabs.nir.from_nir(graph, batch_size=1)(torch.zeros(1, 2, 16, 16))).__name__)
net.to("speck2fdevkit:0", [1, 2], [-1])
print(net.chip_layers_ordering)
"""


def test_a_program_for_sinabs_2_runs_with_the_bridge_only(tmp_path):
    script = tmp_path / "old.py"
    script.write_text(PROGRAM_FOR_SINABS_2)
    plain = run("--boards", "speck2fdevkit", str(script))
    assert plain.returncode != 0
    bridged = run("--compat", "sinabs2", "--boards", "speck2fdevkit", str(script))
    assert bridged.returncode == 0, bridged.stderr
    said = [line for line in bridged.stdout.splitlines() if line != "Network is valid"]
    assert said == ["[3, 5] 5 2", "4 (2, 2)", "Tensor", "[1, 2]"]


def test_an_unknown_bridge_is_refused(tmp_path):
    script = tmp_path / "old.py"
    script.write_text("print('started')")
    result = run("--compat", "sinabs1", str(script))
    assert result.returncode != 0
    assert "allowed is sinabs2" in result.stderr


def test_a_file_that_the_program_misses_is_its_own_failure(tmp_path):
    script = tmp_path / "program.py"
    script.write_text("open('weights_that_are_not_there.pt')")
    result = run("--boards", "speck2fdevkit", str(script))
    assert result.returncode == 1
    assert "FileNotFoundError" in result.stderr
    assert "program.py" in result.stderr
