"""Weights saved from wrapped networks: a prefix that all names share is taken off."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from speck_adacal.ann.checkpoint import _load_state, save_checkpoint
from speck_adacal.ann.state_names import without_prefix
from speck_adacal.ann.weight_files import read_state
from speck_adacal.errors import CheckpointError

OWN = ("0.weight", "0.bias", "1.weight")


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_a_common_prefix_is_taken_off(prefix):
    state = {prefix + name: i for i, name in enumerate(OWN)}
    assert without_prefix(state, OWN) == {name: i for i, name in enumerate(OWN)}


@pytest.mark.parametrize(
    "names", [("module.0.weight", "epoch"), ("a.0.weight", "b.0.bias"), ("0.weight", "x"), ()]
)
def test_other_names_stay_as_they_are(names):
    state = dict.fromkeys(names, 0)
    assert without_prefix(state, OWN) == state


def test_a_network_with_that_prefix_of_its_own_keeps_it():
    own = ("model.0.weight",)
    assert without_prefix({"model.0.weight": 1}, own) == {"model.0.weight": 1}


def test_a_parallel_networks_file_fits_the_network(tmp_path):
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    path = save_checkpoint(nn.DataParallel(network), tmp_path / "parallel.safetensors")
    other = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    _load_state(other, read_state(path), path, "test")
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(CheckpointError, match="missing"):
        _load_state(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), read_state(path), path, "x")
