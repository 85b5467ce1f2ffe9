"""Whatever a network ends in: one map from spikes to classes, the same decisions all over."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal import AdaptSettings, adapt, deploy, load, save, simulate
from speck_adacal.ann import trace
from speck_adacal.bundle import read_bundle
from speck_adacal.bundles.verify import verify_bundle
from speck_adacal.errors import ModelError
from speck_adacal.host import (
    ArgmaxSpikeCount,
    BoardBackend,
    Session,
    TwinBackend,
    open_board,
)
from speck_adacal.host.board_replay import BoardPlayer
from speck_adacal.inspection.levels import measure_levels
from speck_adacal.readout.class_map import class_map_of
from speck_adacal.samples.batches import encode_samples
from speck_adacal.virtual_samna import declare_boards, ensure_samna

BODY = 4  # channels before the head, on a map of 4 × 4

HEADS = {
    "linear": lambda n: [nn.Flatten(), nn.Linear(BODY * 16, n, bias=False)],
    "convolution": lambda n: [nn.Conv2d(BODY, n, 3, bias=False), nn.ReLU(), nn.Flatten()],
    "map": lambda n: [nn.Conv2d(BODY, n, 3, bias=False), nn.ReLU()],
    "average pooling": lambda n: [
        nn.Conv2d(BODY, n, 1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
    ],
    "pooling to one": lambda n: [
        nn.Conv2d(BODY, n, 3, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ],
    "single pixel": lambda n: [nn.Conv2d(BODY, n, 4, bias=False)],
}


def network_with(head: str, classes: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    body = [nn.Conv2d(1, BODY, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(2)]
    network = nn.Sequential(*body, *HEADS[head](classes)).eval()
    for weights in network.parameters():  # more up than down, so that no layer is silent
        nn.init.uniform_(weights, -0.3, 0.5)
    return network


@pytest.fixture
def board():
    if ensure_samna().kind != "virtual":
        pytest.skip("the vendor's samna library is installed")
    declare_boards("speck2fmodule", real_time=False)
    yield open_board
    declare_boards("none")


@pytest.mark.parametrize("head", HEADS)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(classes=2, seed=224, per_channel=False)  # nothing is decided
@given(classes=st.integers(2, 5), seed=st.integers(0, 1000), per_channel=st.booleans())
def test_one_decision_wherever_it_is_read(
    head, classes, seed, per_channel, board, tmp_path_factory
):
    network = network_with(head, classes, seed)
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        outputs = network(images).flatten(1)
    chosen = AdaptSettings(time_steps=4, phi=2, per_channel=per_channel, seed=seed)
    deployment = deploy(adapt(network, images, input_shape=(1, 8, 8), settings=chosen))
    assert deployment.classes == outputs.shape[1]

    simulation = simulate(deployment, images)
    assert simulation.class_counts.shape == outputs.shape
    recordings = encode_samples(images, (1, 8, 8), chosen).recordings()
    charges = []
    for backend in (TwinBackend(deployment), BoardBackend(deployment, board())):
        readout = ArgmaxSpikeCount(deployment.classes)
        with Session(backend, readout) as session:
            decisions = [session.decide([recording]) for recording in recordings]
            charges.append(backend.charge())
        assert [d.label for d in decisions] == simulation.decisions.tolist()
        np.testing.assert_array_equal([d.counts for d in decisions], simulation.class_counts)
    np.testing.assert_array_equal(*charges)
    labels = np.maximum(simulation.decisions, 0)  # no class is right where none was decided
    levels, _ = measure_levels(deployment, images.numpy(), labels)
    made = float(np.mean(simulation.decisions >= 0))
    assert next(x for x in levels if x.level == "event").accuracy == made

    folder = save(deployment, tmp_path_factory.mktemp("heads") / "net")
    again = load(folder)
    np.testing.assert_array_equal(again.class_map.class_of, deployment.class_map.class_of)
    bundle = read_bundle(folder)
    assert verify_bundle(bundle).same
    opened = board()
    found = verify_bundle(bundle, play=BoardPlayer(opened))
    assert found.same, found.difference
    import samna

    samna.device.close_device(opened)


@pytest.mark.parametrize("head", HEADS)
def test_every_level_knows_a_network_of_clear_classes(head):
    """A head that gets what it needs agrees with the network at every level."""
    network = network_with(head, 4, 3)
    images = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        outputs = network(images).flatten(1)
    labels = outputs.argmax(1).numpy()
    top = outputs.topk(2, dim=1).values
    clear = ((top[:, 0] - top[:, 1]) > (top[:, 0] - top[:, 1]).median()).numpy()
    chosen = AdaptSettings(time_steps=32, phi=4)
    deployment = deploy(adapt(network, images, input_shape=(1, 8, 8), settings=chosen))
    levels, _ = measure_levels(deployment, images[clear].numpy(), labels[clear])
    assert {level.level: level.accuracy > 0.7 for level in levels} == {
        "ann": True,
        "snn": True,
        "quantized": True,
        "event": True,
    }


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 4),
    size=st.integers(1, 6),
    pools=st.lists(st.integers(1, 3), max_size=2),
    seed=st.integers(0, 1000),
)
def test_the_map_sums_as_the_network_does(channels, size, pools, seed):
    """The reference: the network's own last operations on every neuron's count."""
    left = size
    for pool in pools:
        left //= pool
    if left == 0:
        return
    tail = nn.Sequential(*(nn.AvgPool2d(pool) for pool in pools), nn.Flatten())
    network = nn.Sequential(nn.Conv2d(1, channels, 1), nn.ReLU(), *tail)
    found = class_map_of(trace(network, (1, size, size)))
    counts = np.random.default_rng(seed).integers(0, 9, (channels, size, size))
    window = float(np.prod([pool * pool for pool in pools]))
    wanted = tail(torch.from_numpy(counts).double()[None])[0].numpy() * window
    assert found.class_of.shape == counts.shape
    np.testing.assert_array_equal(found.total(counts), np.rint(wanted))


def test_what_no_spike_can_stand_for_is_refused():
    overlapping = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AvgPool2d(3, 1), nn.Flatten())
    with pytest.raises(ModelError, match="several outputs"):
        class_map_of(trace(overlapping, (1, 6, 6)))
    uneven = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True))
    with pytest.raises(ModelError, match="weigh differently"):
        class_map_of(trace(uneven, (1, 5, 5)))

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(n, 2, 1, bias=False) for n in (1, 2, 2))

        def forward(self, x):
            x = self.a(x).relu()
            return self.b(x).relu() + self.c(x).relu()

    with pytest.raises(ModelError, match="one core is read out"):
        deploy(adapt(Sum().eval(), torch.rand(8, 1, 4, 4), input_shape=(1, 4, 4)))
