"""Reference networks: shapes, sizes, and the published weights fit them."""

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal.ann.architectures import ARCHITECTURES, architecture, digits_cnn
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.errors import CheckpointError


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_maps_its_input_to_ten_logits(name):
    entry = architecture(name)
    with torch.no_grad():
        assert entry.build().eval()(torch.rand(2, *entry.input_shape)).shape == (2, 10)


def test_digits_cnn_has_no_biases_and_few_weights():
    network = digits_cnn()
    assert sum(p.numel() for p in network.parameters()) == 14_924
    assert all(getattr(m, "bias", None) is None for m in network.modules())


def test_unknown_name_lists_the_known():
    with pytest.raises(CheckpointError, match=r"digits_cnn, .*module:callable"):
        architecture("nope")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist_cnn_sinabs", "mnist_cnn_sinabs.npz"),
        ("nmnist_cnn_nir_paper", "nmnist_cnn_nir_paper.npz"),
        ("cifar10_resnet20", "cifar10_resnet20_akamaster.npz"),
    ],
)
def test_published_weights_fit(name, file, shared_data):
    path = shared_data / file
    network = load_network(path, name)
    state = network.state_dict()
    with np.load(path, allow_pickle=False) as arrays:
        needed = {k for k in state if not k.endswith("num_batches_tracked")}
        assert needed == set(arrays.files)
        for key in arrays.files:
            np.testing.assert_array_equal(state[key].numpy(), arrays[key])
    assert not network.training


def test_option_a_shortcut_is_subsampling_and_zero_channels():
    block = architecture("cifar10_resnet20").build().layer2[0]
    assert isinstance(block, nn.Module)
    x = torch.rand(1, 16, 32, 32)
    y = block.shortcut(x)
    assert y.shape == (1, 32, 16, 16)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()
