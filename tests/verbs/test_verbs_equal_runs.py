"""Two equal runs give equal bundles, byte for byte."""

import numpy as np
import torch
from torch import nn

import speck_adacal as sa
from speck_adacal.reporting.page import render_page
from speck_adacal.reporting.summary import summarise


def test_equal_runs_give_equal_bundles(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3, bias=False)
    )
    images = np.random.default_rng(0).random((24, 1, 8, 8), dtype=np.float32)
    labels = np.arange(24) % 3

    def run(path):
        adapted = sa.adapt(network, images, input_shape=(1, 8, 8), labels=labels)
        deployment = sa.deploy(adapted)
        page = render_page(summarise(deployment, images, labels, command="test")).encode()
        sa.save(deployment, path, extra={"report.html": page})
        return {entry.name: entry.read_bytes() for entry in path.iterdir()}

    one, other = run(tmp_path / "a"), run(tmp_path / "b")
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
