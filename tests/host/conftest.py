"""A small deployment, recordings for it, and the backends that run it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import AdaptSettings, Events, adapt, deploy
from speck_adacal.host import BoardBackend, TwinBackend, open_board


@pytest.fixture(scope="session")
def deployment():
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 16, 3, bias=False),
    )
    images = torch.rand(16, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    return deploy(adapt(network, images, input_shape=(2, 8, 8), settings=AdaptSettings()))


def make_recording(seed=0, count=600, duration_us=80_000, shape=(2, 8, 8)):
    rng = np.random.default_rng(seed)
    return Events(
        t_us=np.sort(rng.integers(0, duration_us, count)),
        x=rng.integers(0, shape[2], count),
        y=rng.integers(0, shape[1], count),
        channel=rng.integers(0, shape[0], count),
        shape=shape,
        duration_us=duration_us,
    )


@pytest.fixture(scope="session")
def recording():
    return make_recording


@pytest.fixture
def virtual_board():
    """Open a virtual board, as fast as possible; no board is left afterwards."""
    from speck_adacal.virtual_samna import declare_boards, ensure_samna

    if ensure_samna().kind != "virtual":
        pytest.skip("the vendor's samna library is installed")

    def open_one(chip="speck2f", *, real_time=False):
        declare_boards(
            {"speck2f": "speck2fmodule", "speck2e": "speck2e"}[chip], real_time=real_time
        )
        return open_board(chip)

    yield open_one
    declare_boards("none")


@pytest.fixture(params=["twin", "board"])
def backend(request, deployment, virtual_board):
    made = TwinBackend(deployment) if request.param == "twin" else None
    made = made or BoardBackend(deployment, virtual_board())
    yield made
    made.close()
