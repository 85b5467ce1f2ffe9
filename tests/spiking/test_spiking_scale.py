"""The traps of sinabs' joint scale: named where a network falls into one, mended on request."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import sinabs.layers as sl
import torch
from torch import nn

from speck_adacal import deploy, from_sinabs, load, save
from speck_adacal.cli import main
from speck_adacal.snn.stock import UNBOUNDED

SHAPE = (2, 10, 10)


def chain(*, bias: bool = False, lowest: float | None = -1.0) -> nn.Module:
    torch.manual_seed(0)
    first, second = (sl.IAFSqueeze(batch_size=1, min_v_mem=lowest) for _ in range(2))
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, 1, 1, bias=bias), first, sl.SumPool2d(2), nn.Flatten(),
        nn.Linear(100, 5, bias=False), second,
    )  # fmt: skip


def with_outlier(name: str) -> nn.Module:
    network = chain(bias=name == "bias")
    with torch.no_grad():
        if name == "bias":
            network[0].bias[1] = 50.0
        else:
            network[0].weight[1, 0, 0, 0] = 50.0
    return network


def warnings_of(deployment) -> list:
    return [v for v in deployment.violations if v.rule == "joint-scale"]


def weight_errors(layer) -> np.ndarray:
    """Relative error of each channel's weights."""
    found = layer.weight.astype(float) / layer.threshold - layer.folded.weight
    rows, wanted = (w.reshape(len(w), -1) for w in (found, layer.folded.weight))
    return np.linalg.norm(rows, axis=1) / np.linalg.norm(wanted, axis=1)


@pytest.mark.parametrize(("name", "clipped"), [("bias", 0), ("weights", 1)])
def test_an_outlier_is_named_and_mended_on_request(name, clipped):
    network = with_outlier(name)
    as_it_is, mended = (
        deploy(from_sinabs(network, SHAPE, mend_scale=mend)) for mend in (False, True)
    )
    (warning,) = warnings_of(as_it_is)
    assert warning.layer == "0"
    assert f"set by its {name}" in warning.found
    assert "--mend-scale" in warning.fix
    (said,) = warnings_of(mended)
    assert f"{clipped} of 72 weights clipped" in said.found
    untouched = [c for c in range(4) if c != 1]
    assert weight_errors(as_it_is.layers[0])[untouched].min() > 0.5
    assert weight_errors(mended.layers[0])[untouched].max() < 0.05
    assert mended.layers[0].threshold_low == -mended.layers[0].threshold
    np.testing.assert_array_equal(mended.layers[1].weight, as_it_is.layers[1].weight)


def test_a_sound_layer_keeps_the_integers_of_sinabs():
    as_it_is, asked = (
        deploy(from_sinabs(chain(bias=True), SHAPE, mend_scale=mend)) for mend in (False, True)
    )
    assert not warnings_of(as_it_is)
    assert not warnings_of(asked)
    for one, other in zip(as_it_is.layers, asked.layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        assert (one.threshold, one.threshold_low) == (other.threshold, other.threshold_low)


def test_a_bundle_keeps_that_a_layer_was_mended(tmp_path):
    adapted = from_sinabs(with_outlier("bias"), SHAPE, mend_scale=True)
    read = load(save(adapted, tmp_path / "snn.adapted"))
    assert all(layer.mended for layer in read.recipe.layers)
    expected = deploy(adapted)
    again = load(save(expected, tmp_path / "snn.bundle"))
    np.testing.assert_array_equal(again.layers[0].weight, expected.layers[0].weight)


CODE = """
import sinabs.layers as sl
from torch import nn

def net():
    spiking = sl.IAFSqueeze(batch_size=1)
    return nn.Sequential(nn.Conv2d(2, 3, 3), spiking, nn.Flatten(), nn.Linear(192, 2))
"""


def test_an_open_lower_bound_is_named(tmp_path, capsys, monkeypatch):
    records = {r.step: r.values for r in from_sinabs(chain(lowest=None), SHAPE).recipe.trace}
    assert list(records[UNBOUNDED]) == ["1", "4"]
    assert UNBOUNDED not in {r.step for r in from_sinabs(chain(), SHAPE).recipe.trace}
    (tmp_path / "open_bound.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save(importlib.import_module("open_bound").net().state_dict(), "weights.pt")
    shape = ("--input-shape", "2,10,10")
    with pytest.raises(SystemExit, match="0"):
        main(["import", "weights.pt", "--arch", "open_bound:net", *shape, "--out", "a.adapted"])
    said = " ".join(capsys.readouterr().out.split())
    assert "'1' has min_v_mem=None" in said
    assert "stays open" in said


def test_thresholds_of_channels_with_one_bound_are_refused_with_the_way_out():
    network = chain()
    network[1].spike_threshold = nn.Parameter(torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None, None])
    with pytest.raises(Exception, match=r"thresholds of 1 to 8.*min_v_mem=-spike_threshold"):
        from_sinabs(network, SHAPE)
    network[1].min_v_mem = nn.Parameter(-network[1].spike_threshold.data)
    first = deploy(from_sinabs(network, SHAPE)).layers[0]
    expected = chain()[0].weight.detach().numpy() / np.array([1, 2, 4, 8])[:, None, None, None]
    np.testing.assert_allclose(first.folded.weight, expected, rtol=1e-6)
