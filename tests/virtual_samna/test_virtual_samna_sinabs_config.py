"""Unmodified sinabs makes configurations on the virtual samna."""

from __future__ import annotations

import pytest
import torch
from torch import nn

DEVICES = ["speck2fmodule", "speck2fdevkit", "speck2edevkit", "speck2e"]


@pytest.fixture
def network(samna):
    import sinabs.layers as sl
    from sinabs.backend.dynapcnn import DynapcnnNetwork

    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(2, 8, 3, stride=2, padding=1, bias=False),
        sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
        sl.SumPool2d(2),
        nn.Conv2d(8, 4, 3, padding=1, bias=True),
        sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 10, bias=False),
        sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
    )
    return DynapcnnNetwork(layers, input_shape=(2, 32, 32), dvs_input=False, discretize=True)


@pytest.mark.parametrize("device", DEVICES)
def test_make_config(network, samna, device):
    config = network.make_config(device=device, monitor_layers=[-1])
    chip = "speck2e" if device.startswith("speck2e") else "speck2f"
    assert isinstance(config, getattr(samna, chip).configuration.SpeckConfiguration)
    assert network.is_compatible_with(device)
    for index, layer in network.dynapcnn_layers.items():
        core = config.cnn_layers[network.layer2core_map[index]]
        weights = layer.conv_layer.weight.detach().int()
        assert torch.equal(torch.tensor(core.weights), weights.transpose(2, 3))
        assert core.threshold_high == int(layer.spk_layer.spike_threshold)
        assert core.leak_enable is (index == 1)
    assert [c.monitor_enable for c in config.cnn_layers].count(True) == 1


def test_dvs_input_and_config_modifier(samna):
    import sinabs.layers as sl
    from sinabs.backend.dynapcnn import DynapcnnNetwork

    layers = nn.Sequential(
        sl.SumPool2d(2), nn.Conv2d(2, 4, 3, bias=False), sl.IAFSqueeze(batch_size=1)
    )
    network = DynapcnnNetwork(layers, input_shape=(2, 128, 128), dvs_input=True)

    def modify(config):
        config.dvs_layer.raw_monitor_enable = True
        return config

    with pytest.warns(UserWarning, match="pooling"):
        config = network.make_config(
            device="speck2fmodule", monitor_layers=["dvs"], config_modifier=modify
        )
    assert config.dvs_layer.pass_sensor_events is True
    assert config.dvs_layer.raw_monitor_enable is True
    assert (config.dvs_layer.pooling.x, config.dvs_layer.cut.x) == (2, 63)


def test_a_layer_too_large_for_its_core_is_refused(samna, capsys):
    import sinabs.layers as sl
    from sinabs.backend.dynapcnn import DynapcnnNetwork

    layers = nn.Sequential(nn.Conv2d(2, 32, 3, padding=1, bias=False), sl.IAFSqueeze(batch_size=1))
    network = DynapcnnNetwork(layers, input_shape=(2, 32, 32), dvs_input=False)
    network.make_config(layer2core_map={0: 0}, device="speck2fmodule")
    with pytest.raises(ValueError, match="Generated config is not valid"):
        network.make_config(layer2core_map={0: 8}, device="speck2fmodule")
    assert "needs 32768 words of neuron memory, core 8 has 16384" in capsys.readouterr().out
