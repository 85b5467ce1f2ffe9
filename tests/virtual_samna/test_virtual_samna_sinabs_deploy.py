"""Unmodified sinabs deploys to the virtual dev kit, and what comes back is the twin's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

pytestmark = pytest.mark.usefixtures("no_leaked_threads")


@pytest.fixture
def no_sleep(monkeypatch):
    """sinabs waits a second after each configuration, for a real board's sake: not needed here."""
    import time

    from sinabs.backend.dynapcnn import dynapcnn_network as network

    class Clock:
        sleep = staticmethod(lambda seconds: time.sleep(min(seconds, 0.15)))

    monkeypatch.setattr(network, "time", Clock)


@pytest.fixture
def deployed(samna, boards, no_sleep):
    """A network on a board as fast as possible, removed cleanly afterwards."""
    import sinabs.layers as sl
    from sinabs.backend.dynapcnn import DynapcnnNetwork, io

    boards("speck2fmodule:1,speck2edevkit:1")
    torch.manual_seed(1)
    layers = nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False),
        sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
        sl.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 5, bias=False),
        sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
    )
    layers[0].weight.data *= 4  # so that both layers fire
    layers[4].weight.data.abs_().mul_(4)
    networks = []

    def deploy(device="speck2fmodule:0", **options):
        network = DynapcnnNetwork(layers, input_shape=(2, 16, 16), dvs_input=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Layer . has pooling")
            network.to(device, **options)
        networks.append(network)
        return network

    yield deploy
    for network in networks:
        network.device_input_graph.stop()
        network.device_output_graph.stop()
        io.get_device_map()


def recording(count=400, seed=0):
    rng = np.random.default_rng(seed)
    table = np.zeros(count, dtype=[("x", "u2"), ("y", "u2"), ("t", "u8"), ("p", "u1")])
    table["x"], table["y"] = rng.integers(0, 16, (2, count))
    table["p"] = rng.integers(0, 2, count)
    table["t"] = np.sort(rng.integers(1000, 90_000, count))
    return table


@pytest.mark.parametrize("device", ["speck2fmodule", "speck2edevkit:0"])
def test_forward_equals_the_twin(deployed, device):
    from sinabs.backend.dynapcnn.chip_factory import ChipFactory

    from speck_adacal import Events
    from speck_adacal.twin import Twin

    network = deployed(device, monitor_layers="all")
    assert network.is_deployed_on_dynapcnn_device
    table = recording()
    entry = network.layer2core_map[0]
    events = ChipFactory(device).xytp_to_events(table, entry, reset_timestamps=False)
    out = network(events)
    run = Twin.from_configuration(network.samna_config).run(
        Events(table["t"], table["x"], table["y"], table["p"], (2, 16, 16)), entry=entry
    )
    stream = run.monitored
    columns = (stream.layer, stream.channel, stream.y, stream.x, stream.t_us)
    wanted = list(zip(*(column.tolist() for column in columns), strict=True))
    assert [(e.layer, e.feature, e.y, e.x, e.timestamp) for e in out] == wanted
    assert {e.layer for e in out} == set(network.layer2core_map.values())
    again = network(events)
    assert len(again) >= len(out) // 2  # states were kept
    network.reset_states()
    assert [e.timestamp for e in network(events)] == [e.timestamp for e in out]


def test_io_helpers(deployed, samna):
    from sinabs.backend.dynapcnn import io

    network = deployed()
    assert set(io.get_device_map()) == {"speck2fmodule:0", "speck2edevkit:0"}
    assert io.is_device_type(io.discover_device("speck2fmodule"), "speck2fmodule")
    assert io.open_device("speck2fmodule") is network.samna_device
    io.enable_timestamps("speck2fmodule")
    assert network.samna_device.get_stop_watch().enabled
    io.reset_timestamps("speck2fmodule")
    io.disable_timestamps("speck2fmodule")
    assert not network.samna_device.get_stop_watch().enabled
    spike = samna.speck2f.event.Spike(layer=2, x=1, y=2, feature=3, timestamp=4)
    assert io.events_to_xytp([spike], 2).tolist() == [(1, 2, 4, 3)]
    io.close_device("speck2fmodule")
    assert network.samna_device.closed
    with pytest.raises(OSError, match="has not been found"):
        io.open_device("speck2fdevkit:3")


def test_neuron_reads_and_slow_clock(deployed, samna, drain):
    from sinabs.backend.dynapcnn.io import calculate_neuron_address, neuron_address_to_cxy

    network = deployed(slow_clk_frequency=25)
    core = network.layer2core_map[0]
    shape = (6, 8, 8)
    assert network.samna_device.get_io_module()._slow_clock.enabled
    assert network.samna_device.get_io_module()._slow_clock.rate_hz == 25
    event = samna.speck2f.event
    places = [(c, x, y) for c in (0, 5) for x in (0, 3, 7) for y in (0, 6)]
    requests = []
    for number, (c, x, y) in enumerate(places):
        address = calculate_neuron_address(x, y, c, shape)
        requests.append(event.WriteNeuronValue(layer=core, address=address, neuron_state=number))
        requests.append(event.ReadNeuronValue(layer=core, address=address))
    network.samna_input_buffer.write(requests)
    network.device_input_graph.stop()
    network.samna_device.virtual.wait_idle()
    network.device_output_graph.stop()
    out = network.samna_output_buffer.get_events()
    assert [e.neuron_state for e in out] == list(range(len(places)))
    assert [neuron_address_to_cxy(e.address, shape) for e in out] == places


def test_visualizer_connects(deployed, samna, monkeypatch):
    from sinabs.backend.dynapcnn.dynapcnn_visualizer import DynapcnnVisualizer

    network = deployed(monitor_layers=["dvs", -1])
    visualizer = DynapcnnVisualizer(
        add_power_monitor_plot=True,
        add_readout_plot=True,
        readout_images=[f"{i}_class{i}.png" for i in range(5)],
        spike_collection_interval=20,
    )
    monkeypatch.setattr(visualizer, "create_visualizer_process", lambda **kwargs: None)
    visualizer.connect(network)
    streamer = visualizer.streamer_graph._rows[0][-1]
    sink = samna.graph.sink_from(network.samna_device.get_model_source_node())
    network.samna_input_buffer.write(
        [samna.speck2f.event.DvsEvent(x=3, y=4, p=1, timestamp=5) for _ in range(10)]
    )
    assert {e.layer for e in sink.get_events_blocking(5000)} == {13}
    visualizer.stop()
    network.samna_device.get_power_monitor().stop_auto_power_measurement()
    assert streamer.sent_events > 0
    streamer.close()


def test_visualizer_needs_the_dvs_monitor(deployed):
    from sinabs.backend.dynapcnn.dynapcnn_visualizer import DynapcnnVisualizer

    with pytest.raises(ValueError, match="DVS layer is not monitored"):
        DynapcnnVisualizer().connect(deployed())


def test_specksim_network_counts_and_resets(samna):
    import sinabs.layers as sl
    from sinabs.backend.dynapcnn.specksim import from_sequential

    conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
    conv.weight.data.fill_(1.0)
    layers = nn.Sequential(conv, sl.IAF(min_v_mem=-1.0), nn.AvgPool2d(2))
    network = from_sequential(layers, input_shape=(1, 4, 4))
    network.initial_sleep_duration = 0.1
    network.add_monitor(0)
    events = np.array([(1, 1, 7, 0)], dtype=network.output_dtype)
    out = network(events)
    assert len(out) == 18
    assert set(out["t"].tolist()) == {7}
    assert len(network.read_monitor(0)) == 18
    assert np.sum(network.read_spiking_layer_states(0)) == 0
    network.reset_states()
