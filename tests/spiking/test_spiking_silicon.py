"""The NIR paper's network as its authors had it on a real speck2f, through `from_sinabs`."""

from __future__ import annotations

import numpy as np
import pytest
import sinabs.layers as sl
import torch
from torch import nn

from speck_adacal import Events, Twin, deploy, from_sinabs, simulate

SHAPE = (2, 34, 34)


def iaf() -> nn.Module:
    return sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0)


@pytest.fixture(scope="module")
def deployed(shared_data):
    network = nn.Sequential(
        nn.Conv2d(2, 16, 5, 2, 1, bias=False), iaf(), nn.Conv2d(16, 16, 3, 1, 1, bias=False), iaf(),
        sl.SumPool2d(2), nn.Conv2d(16, 8, 3, 1, 1, bias=False), iaf(), sl.SumPool2d(2),
        nn.Flatten(), nn.Linear(128, 256, bias=False), iaf(), nn.Linear(256, 10, bias=False), iaf(),
    )  # fmt: skip
    data = np.load(shared_data / "nmnist_cnn_nir_paper.npz", allow_pickle=False)
    for layer, name in ((0, "0"), (2, "2"), (5, "5"), (9, "9"), (11, "11")):
        network[layer].weight.data = torch.from_numpy(data[f"{name}.weight"]).float()
    return deploy(from_sinabs(network, SHAPE))


def recordings(data, count: int) -> list[Events]:
    chosen = []
    for start, stop in zip(data["offsets"][:count], data["offsets"][1 : count + 1], strict=True):
        part = slice(start, stop)
        t_us, polarity = data["t"][part].astype(np.int64), data["p"][part].astype(np.int16)
        chosen.append(Events(t_us, data["x"][part], data["y"][part], polarity, SHAPE))
    return chosen


def test_layer_0_counts_match_the_silicon(deployed, shared_data):
    silicon = np.load(shared_data / "speck2f_layer0_recording.npz", allow_pickle=False)
    core = deployed.cores[0]
    twin = Twin.from_configuration(
        deployed.mapped.configuration, chip=deployed.chip, observe=(core,)
    )
    equal, totals = [], []
    measured_counts = silicon["spike_counts"]
    for events, measured in zip(recordings(silicon, 5), measured_counts, strict=True):
        counts = twin.run(events).spikes[core].counts()
        equal.append(np.mean(counts == measured))
        totals.append(int(counts.sum()))
    assert np.mean(equal) >= 0.97
    assert max(equal) == 1.0
    np.testing.assert_allclose(totals, [int(m.sum()) for m in measured_counts], rtol=0.003)


@pytest.mark.slow
def test_as_it_is_1000_recordings_give_the_known_figures(deployed, shared_data):
    data = np.load(shared_data / "nmnist_train1000.npz", allow_pickle=False)
    found = simulate(deployed, recordings(data, 1000))
    assert found.accuracy(data["labels"]) == pytest.approx(0.955, abs=5e-4)
    assert found.synops.mean() / 1e6 == pytest.approx(10.87, abs=0.005)
