"""`check` on networks of odd build, untrained: everything at once, exit code 3, no traceback."""

import sys

import pytest
import torch
from torch import nn

from speck_adacal import check
from speck_adacal.cli import main


class _Attention(nn.Module):
    """A product of two branches in the middle, and softmax at the end."""

    def __init__(self):
        super().__init__()
        self.first, self.gate = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.second, self.fc = nn.Conv2d(8, 8, 20), nn.LazyLinear(4)

    def forward(self, x):
        x = self.first(x).relu()
        x = self.second(x * torch.sigmoid(self.gate(x))).relu()
        return torch.softmax(self.fc(x.flatten(1)), 1)


class _Dense(nn.Module):
    """Every layer is read by all behind it: a core sends to two."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4 * i or 1, 4, 3, padding=1) for i in range(4))
        self.fc = nn.LazyLinear(4)

    def forward(self, x):
        found = []
        for layer in self.layers:
            found.append(layer(torch.cat(found, 1) if found else x).relu())
        return self.fc(torch.cat(found, 1).flatten(1))


def _swish():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.SiLU(), nn.GroupNorm(2, 8), nn.Conv2d(8, 2000, 3), nn.GELU(),
        nn.Flatten(), nn.LazyLinear(4),
    )  # fmt: skip


def _wide():
    return nn.Sequential(
        nn.Conv2d(1, 1500, 17, padding=8), nn.ReLU(), nn.Conv2d(1500, 8, 3, 3), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(4),
    )  # fmt: skip


def _upsampling():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, 2), nn.Tanh(),
        nn.Upsample(scale_factor=2), nn.Conv2d(8, 300, 3), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(4),
    )  # fmt: skip


def _deep():
    parts = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()]
    for _ in range(12):
        parts += [nn.Conv2d(8, 8, 3, padding=1), nn.LeakyReLU()]
    return nn.Sequential(*parts, nn.Flatten(), nn.LazyLinear(4))


# What must be named: parts of the text, each from another fault of the network.
ODD = {
    "attention": (_Attention, ("gate", "second", "kernel")),
    "dense": (_Dense, ("layers.0", "fan-out")),
    "swish": (_swish, ("SiLU", "GroupNorm", "GELU", "2000")),
    "wide": (_wide, ("1501 features", "17×17", "(3, 3)")),
    "upsampling": (
        _upsampling,
        (*(f"[operation] {i}" for i in (2, 3, 4)), "[neuron-memory] 5", "54×54"),
    ),
    "deep": (_deep, ("LeakyReLU", "cores")),
}


def untrained(name):
    """An architecture for `--arch`, shapes settled."""
    network = ODD[name][0]()
    network(torch.zeros(1, 1, 28, 28))
    return network


for _name in ODD:
    globals()[f"build_{_name}"] = lambda name=_name: untrained(name)


@pytest.mark.parametrize("name", ODD)
def test_everything_is_named_at_once(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", "--arch", f"{__name__}:build_{name}", "--input-shape", "1,28,28"])
    out, err = capsys.readouterr()
    assert ended.value.code == 3, err
    assert "Traceback" not in out + err
    said = " ".join((out + err).replace("_", "").lower().split())
    missing = [word for word in ODD[name][1] if word.lower() not in said]
    assert not missing, out + err
    assert "conversion.py" not in out  # places are the user's own, or none
    result = check(untrained(name), input_shape=(1, 28, 28))
    assert result.errors
    assert all(violation.fix for violation in result.violations)
    assert __name__ in sys.modules
