"""The virtual dev kit: events through the twin, clocks, monitors, memories, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.errors import DeviceError, EventError

pytestmark = pytest.mark.usefixtures("no_leaked_threads")


@pytest.fixture
def board(samna, boards):
    boards("speck2fmodule")
    handle = samna.device.open_device("Speck2fModuleDevKit")
    yield handle
    if not handle.closed:
        samna.device.close_device(handle)


@pytest.fixture
def spikes(samna):
    def make(times, **fields):
        return [samna.speck2f.event.Spike(layer=3, timestamp=t, **fields) for t in times]

    return make


def test_listing_opening_and_names(samna, boards):
    infos = boards("speck2fdevkit:2,speck2e")
    assert [i.device_type_name for i in infos] == ["Speck2fDevKit"] * 2 + ["Speck2eTestBoard"]
    assert "device_type_name=Speck2fDevKit)" in repr(infos[0])
    first = samna.device.open_device("Speck2fDevKit")
    assert samna.device.open_device("Speck2fDevKit:0") is first
    assert samna.device.open_device(infos[0]) is first
    second = samna.device.open_device("Speck2fDevKit")
    assert second is not first
    assert len(samna.device.get_unopened_devices()) == 1
    with pytest.raises(RuntimeError, match="all of that type are open"):
        samna.device.open_device("Speck2fDevKit")
    with pytest.raises(RuntimeError, match="there is: Speck2fDevKit:0"):
        samna.device.open_device("Davis 346")
    samna.device.close_device(first)
    assert samna.device.open_device("Speck2fDevKit") is not first
    assert samna.device.get_all_devices() == infos
    assert [i.device_type_name for i in samna.device.get_opened_devices()] == [
        "Speck2fDevKit",
        "Speck2fDevKit",
    ]


def test_events_in_events_out(samna, board, one_core, wired, drain, spikes):
    board.get_model().apply_configuration(one_core())
    source, sink, graph = wired(board)
    board.get_stop_watch().start()
    source.write(spikes([10, 20, 30, 40], x=1, y=2))
    out = drain(board, graph, sink)
    assert [(e.layer, e.feature, e.y, e.x, e.timestamp) for e in out] == [
        (3, 0, 2, 1, 20),
        (3, 0, 2, 1, 40),
    ]


def test_one_spike_per_event_and_residue(samna, board, one_core, wired, drain, spikes):
    board.get_model().apply_configuration(one_core(weight=25))
    source, sink, graph = wired(board)
    source.write(spikes([0, 0, 0]))
    assert len(drain(board, graph, sink)) == 3
    read = samna.speck2f.event.ReadNeuronValue(layer=3, address=0)
    source.write([read])
    (value,) = drain(board, graph, sink)
    assert value == samna.speck2f.event.NeuronValue(layer=3, address=0, neuron_state=45)


def test_numpy_and_torch_events_of_a_whole_recording(samna, board, one_core, wired, drain):
    import torch

    board.get_model().apply_configuration(one_core(size=8, weight=10))
    source, sink, graph = wired(board)
    board.get_stop_watch().set_enable_value(True)
    rng = np.random.default_rng(0)
    table = torch.tensor(rng.integers(0, 8, (20000, 2)))
    events = []
    for t, row in enumerate(table[:200]):
        event = samna.speck2f.event.Spike()
        event.layer, event.x, event.y, event.timestamp = 3, row[0], row[1], t
        events.append(event)
    source.write(events)
    out = drain(board, graph, sink)
    assert [(e.x, e.y, e.timestamp) for e in out] == [
        (int(x), int(y), t) for t, (x, y) in enumerate(table[:200])
    ]


def test_neuron_weight_and_bias_writes(samna, board, one_core, wired, drain):
    event = samna.speck2f.event
    board.get_model().apply_configuration(one_core(biases=[-2]))
    source, sink, graph = wired(board)
    address = 2 << 2 | 1  # y = 2, x = 1, one feature
    source.write(
        [
            event.WriteNeuronValue(layer=3, address=address, neuron_state=9),
            event.ReadNeuronValue(layer=3, address=address),
            event.Spike(layer=3, y=2, x=1),
            event.ReadNeuronValue(layer=3, address=address),
            event.WriteWeightValue(layer=3, address=0, weight=-7),
            event.ReadWeightValue(layer=3, address=0),
            event.Spike(layer=3, y=2, x=1),
            event.ReadNeuronValue(layer=3, address=address),
            event.ReadBiasValue(layer=3, address=0),
            event.WriteBiasValue(layer=3, address=0, bias=4),
            event.ReadBiasValue(layer=3, address=0),
        ]
    )
    out = drain(board, graph, sink)
    assert [type(e).__name__ for e in out] == [
        "NeuronValue",
        "Spike",
        "NeuronValue",
        "WeightValue",
        "NeuronValue",
        "BiasValue",
        "BiasValue",
    ]
    assert [out[i].neuron_state for i in (0, 2, 4)] == [9, 4, -3]
    assert (out[3].weight, out[5].bias, out[6].bias) == (-7, -2, 4)


def test_every_weight_address_reads_back(samna, board, wired, drain):
    config = samna.speck2f.configuration.SpeckConfiguration()
    layer = config.cnn_layers[5]
    weights = np.random.default_rng(1).integers(-128, 128, (3, 2, 5, 5))
    layer.dimensions = {
        "input_shape": {"size": {"x": 9, "y": 9}, "feature_count": 2},
        "output_shape": {"size": {"x": 3, "y": 5}, "feature_count": 3},
        "kernel_size": 5,
        "stride": {"x": 2, "y": 1},
    }
    layer.weights = weights
    board.get_model().apply_configuration(config)
    source, sink, graph = wired(board)
    read = samna.speck2f.event.ReadWeightValue
    places = [(o, i, y, x) for o in range(3) for i in range(2) for y in range(5) for x in range(5)]
    source.write([read(layer=5, address=i << 7 | (y * 5 + x) << 2 | o) for o, i, y, x in places])
    out = drain(board, graph, sink)
    assert [e.weight for e in out] == [int(weights[o, i, x, y]) for o, i, y, x in places]


def test_leak_on_the_slow_clock(samna, board, one_core, wired, drain):
    config = one_core(leak_enable=True, biases=[-3], neurons_initial_value=np.full((1, 4, 4), 8))
    board.get_model().apply_configuration(config)
    source, sink, graph = wired(board)
    io = board.get_io_module()
    io.set_slow_clk_rate(10)
    io.set_slow_clk(True)
    states = []
    for _ in range(8):
        source.write([samna.speck2f.event.ReadNeuronValue(layer=3, address=5)])
        states += [e.neuron_state for e in drain(board, graph, sink)]
        board.virtual.advance(100_000)
    assert states == [8, 5, 2, -1, -4, -7, -10, -10]
    io.set_slow_clk(False)
    board.virtual.advance(1_000_000)
    with pytest.raises(TypeError, match="slow clock's rate"):
        io.set_slow_clk_rate(0)


def test_ticks_come_between_events_by_time(samna, board, one_core, wired, drain, spikes):
    board.get_model().apply_configuration(one_core(leak_enable=True, biases=[-1]))
    source, sink, graph = wired(board)
    board.get_io_module().set_slow_clk_rate(1000)
    board.get_io_module().set_slow_clk(True)
    board.get_stop_watch().start(True)
    source.write([*spikes([500, 1500, 2500]), samna.speck2f.event.ReadNeuronValue(layer=3)])
    out = drain(board, graph, sink)
    assert [e.timestamp for e in out[:-1]] == [2500]  # 5 - 1 + 5 - 1 + 5 = 13
    assert out[-1].neuron_state == 3


def test_dvs_stage_and_monitor(samna, board, one_core, wired, drain):
    config = one_core(weight=10)
    dvs = config.dvs_layer
    dvs.destinations[0].enable, dvs.destinations[0].layer = True, 3
    dvs.merge = dvs.monitor_enable = True
    dvs.origin, dvs.cut, dvs.pooling = {"x": 2, "y": 1}, {"x": 5, "y": 4}, {"x": 2, "y": 4}
    dvs.mirror.x = True
    board.get_model().apply_configuration(config)
    source, sink, graph = wired(board)
    make = samna.speck2f.event.DvsEvent
    source.write([make(p=1, y=7, x=5), make(p=0, y=127, x=5), make(p=0, y=4, x=4)])
    out = drain(board, graph, sink)
    # The monitor shows the region from its corner (x 4, y 4) on, before pooling and mirroring.
    assert [(e.y, e.x) for e in out if e.layer == 13] == [(3, 1), (0, 0)]
    assert {e.feature for e in out} == {0}
    assert [(e.y, e.x) for e in out if e.layer == 3] == [(0, 3), (0, 3)]


def test_sensor_events_are_shown_to_the_board(samna, board, one_core, wired, drain):
    from speck_adacal import Events

    config = one_core()
    config.dvs_layer.raw_monitor_enable = True
    board.get_model().apply_configuration(config)
    source, sink, graph = wired(board)
    source.write([samna.speck2f.event.KillSensorPixel(y=1, x=2)])
    drain(board, graph, sink)
    recording = Events(
        t_us=np.array([5, 6, 7]),
        x=np.array([2, 3, 2]),
        y=np.array([1, 1, 2]),
        channel=np.array([1, 0, 1]),
        shape=(2, 128, 128),
    )
    board.virtual.show(recording)
    assert [(e.p, e.y, e.x) for e in drain(board, graph, sink)] == [(False, 1, 3), (True, 2, 2)]


def test_readout_layer_with_erratum_and_pins(samna, board, wired, drain):
    config = samna.speck2f.configuration.SpeckConfiguration()
    layer = config.cnn_layers[0]
    layer.dimensions = {
        "input_shape": {"size": {"x": 1, "y": 1}, "feature_count": 2},
        "output_shape": {"size": {"x": 1, "y": 1}, "feature_count": 5},
        "kernel_size": 1,
    }
    weights = np.zeros((5, 2, 1, 1), int)
    weights[0, 0] = weights[4, 1] = weights[1, :] = 1
    layer.weights = weights
    layer.threshold_high = 1
    layer.destinations[0].enable, layer.destinations[0].layer = True, 12
    readout = config.readout
    readout.enable = readout.low_pass_filter_disable = readout.readout_pin_monitor_enable = True
    readout.readout_configuration_sel, readout.output_mode_sel, readout.threshold = 3, 1, 1
    board.get_model().apply_configuration(config)
    source, sink, graph = wired(board)
    board.get_io_module().set_slow_clk_rate(20)
    board.get_io_module().set_slow_clk(True)
    board.get_stop_watch().start(True)
    make = samna.speck2f.event.Spike
    source.write([make(feature=0, timestamp=t) for t in range(0, 100_000, 10_000)])
    source.write([make(feature=1, timestamp=t) for t in range(100_000, 150_000, 10_000)])
    out = drain(board, graph, sink)
    board.virtual.advance(60_000)
    out += drain(board, graph, sink)
    pins = [(e.index, e.timestamp) for e in out if type(e).__name__ == "ReadoutPinValue"]
    assert pins == [(1, 50_000), (1, 100_000), (2, 150_000)]
    config.readout.monitor_enable = True
    board.get_model().apply_configuration(config)
    source.write([make(feature=1, timestamp=300_000)] * 2)
    drain(board, graph, sink)
    board.virtual.advance(50_000)
    out = drain(board, graph, sink)
    assert {type(e).__name__ for e in out} == {"ReadoutValue", "ReadoutPinValue"}
    values = [e.value for e in out if type(e).__name__ == "ReadoutValue"]
    assert (values[0] >> 16) & 0xF == 2
    assert values[0] >> 20 == 1


def test_configuration_is_kept_by_value_and_invalid_ones_are_refused(samna, board, one_core):
    model = board.get_model()
    config = one_core()
    model.apply_configuration(config)
    config.cnn_layers[3].threshold_high = 99
    assert model.get_configuration().cnn_layers[3].threshold_high == 10
    config.cnn_layers[3].dimensions.stride.x = 3
    for error in (RuntimeError, ValueError):
        with pytest.raises(error, match=r"stride\.x is 3, allowed is one of 1, 2, 4, 8"):
            model.apply_configuration(config)
    with pytest.raises(TypeError, match="speck2f::configuration::SpeckConfiguration"):
        model.apply_configuration(samna.speck2e.configuration.SpeckConfiguration())
    assert model.get_configuration().cnn_layers[3].dimensions.stride.x == 1


def test_applying_again_resets_the_states(samna, board, one_core, wired, drain, spikes):
    board.get_model().apply_configuration(one_core())
    source, sink, graph = wired(board)
    source.write(spikes([0]))
    assert drain(board, graph, sink) == []
    board.get_model().apply_configuration(board.get_model().get_configuration())
    source.write(spikes([0]))
    assert drain(board, graph, sink) == []
    source.write(spikes([0]))
    assert len(drain(board, graph, sink)) == 1


def test_events_to_a_missing_core_are_refused_at_the_write(samna, board, one_core, wired):
    source, _, _ = wired(board)
    spike = samna.speck2f.event.Spike
    with pytest.raises(EventError, match="core 4, but no core is configured"):
        source.write([spike(layer=4)])
    board.get_model().apply_configuration(one_core())
    with pytest.raises(EventError, match=r"Event 1 is addressed to core 4, .* \[3\]"):
        source.write([spike(layer=3), spike(layer=4)])


def test_events_outside_a_core_are_dropped_and_counted(
    samna, board, one_core, wired, drain, caplog
):
    board.get_model().apply_configuration(one_core(weight=10))
    source, sink, graph = wired(board)
    spike = samna.speck2f.event.Spike
    source.write([spike(layer=3, x=4), spike(layer=3, x=3), spike(layer=3, feature=1)])
    assert [e.x for e in drain(board, graph, sink)] == [3]
    assert board.virtual.lost_events == 2
    assert "dropped" in caplog.text


def test_closed_boards_refuse_everything(samna, board, one_core, wired):
    board.get_model().apply_configuration(one_core())
    model, (source, sink, _) = board.get_model(), wired(board)
    samna.device.close_device(board)
    calls = [
        board.get_model,
        board.get_stop_watch,
        board.get_io_module,
        board.get_power_monitor,
        board.get_model_source_node,
        board.reset_board_soft,
        model.get_configuration,
        lambda: model.apply_configuration(one_core()),
        lambda: source.write([samna.speck2f.event.Spike(layer=3)]),
    ]
    for call in calls:
        with pytest.raises(DeviceError, match="closed"):
            call()
    assert sink.get_events() == []
    with pytest.raises(DeviceError, match="handle of an open board"):
        samna.device.close_device(board)


def test_soft_reset_goes_back_to_the_default(samna, boards, one_core):
    boards("speck2fdevkit")
    board = samna.device.open_device("Speck2fDevKit:0", one_core(threshold=7))
    assert board.get_model().get_configuration().cnn_layers[3].threshold_high == 7
    board.get_model().apply_configuration(one_core(threshold=8))
    board.get_stop_watch().start()
    board.reset_board_soft(True)
    assert board.get_model().get_configuration().cnn_layers[3].threshold_high == 7
    assert not board.get_stop_watch().enabled
    samna.device.close_device(board)


def test_flash_binary_is_refused_honestly(samna, one_core):
    from speck_adacal.errors import BackendError

    with pytest.raises(BackendError, match="not public"):
        samna.speck2f.configuration_to_flash_binary(one_core())


def test_power_of_activity_follows_the_model(samna, board, one_core, wired, drain, spikes):
    from speck_adacal.chip_description import load_chip_description
    from speck_adacal.twin.power import PowerModel

    model = PowerModel.published(load_chip_description("speck2f"))
    board.virtual.set_power_model(model.with_energy("logic", "synop", 1e-9, "made up"))
    board.get_model().apply_configuration(one_core(weight=10))
    source, sink, graph = wired(board)
    source.write(spikes(range(1000)))
    drain(board, graph, sink)
    chip = board._engine.chip
    rest = [model.idle[rail].value for rail in model.idle]
    assert chip.power_w(1000)[2] == pytest.approx(rest[2] + 1000 * 1e-9 / 1e-3)
    assert chip.power_w(1000) == pytest.approx(rest)


def test_flasher_finds_nothing_and_refuses(samna):
    from speck_adacal.errors import HardwareMissingError

    assert samna.flasher.get_empty_devices() == samna.flasher.get_programmable_devices() == []
    with pytest.raises(HardwareMissingError, match="real board"):
        samna.flasher.program_fpga_flash("file")


def test_time_stamps_wrap_at_32_bits(samna, board, one_core, wired, drain, spikes):
    board.get_model().apply_configuration(one_core(weight=10))
    source, sink, graph = wired(board)
    board.get_stop_watch().start(True)
    source.write(spikes([2**32 - 1]))
    assert drain(board, graph, sink)[0].timestamp == 2**32 - 1
    board.virtual.advance(3)
    source.write(spikes([0]))
    assert drain(board, graph, sink)[0].timestamp == 2
