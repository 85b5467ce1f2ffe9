"""Networks that cannot fit, each with the explanation its owner needs; and the rules in words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import speck_adacal
from speck_adacal.ann import trace
from speck_adacal.chip.check import check_network
from speck_adacal.cli import main
from speck_adacal.errors import ModelError, SettingsError
from speck_adacal.rules.rule_book import explain, rule_ids


def conv(inputs, outputs, kernel=3, **more):
    return [nn.Conv2d(inputs, outputs, kernel, bias=False, **more), nn.ReLU()]


def head(inputs, outputs=10):
    return [nn.Flatten(), nn.Linear(inputs, outputs, bias=False)]


class Concatenation(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(*conv(1, 4))
        self.left, self.right = nn.Sequential(*conv(4, 4)), nn.Sequential(*conv(4, 4))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.stem(x)
        return self.pool(torch.cat([self.left(x), self.right(x)], 1))


MISFITS = {
    "a large image": (
        [*conv(1, 8, stride=2), *head(8 * 127 * 127)],
        (1, 256, 256),
        {"input-size", "map-size", "neuron-memory", "kernel-memory"},
        "crop or pool the input",
    ),
    "a map of 126 neurons a side": (
        [*conv(2, 1), nn.AvgPool2d(2), *head(63 * 63)],
        (2, 128, 128),
        {"map-size", "kernel"},  # the linear layer becomes a kernel of 63 × 63
        "use stride 2",
    ),
    "stride 3": (
        [*conv(1, 4, stride=3), *head(4 * 100)],
        (1, 32, 32),
        {"stride"},
        "use stride 2",
    ),
    "kernel 17": ([*conv(1, 4, 17), *head(4 * 256)], (1, 32, 32), {"kernel"}, "kernel of 16"),
    "kernel 3 × 5": (
        [*conv(1, 4, (3, 5)), *head(4 * 30 * 28)],
        (1, 32, 32),
        {"kernel"},
        "square kernel",
    ),
    "padding 8": ([*conv(1, 2, padding=8), *head(2 * 900)], (1, 16, 16), {"padding"}, "at most 7"),
    "pooling by 3": (
        [*conv(1, 4), nn.AvgPool2d(3), *head(4 * 100)],
        (1, 32, 32),
        {"pool"},
        "pool by",
    ),
    "pooling that leaves a row over": (
        [*conv(1, 4), nn.AvgPool2d(2), *head(4 * 36)],
        (1, 15, 15),
        {"pool-tiles"},
        "change the padding",
    ),
    "1,100 channels": (
        [*conv(1, 1100, 1), *head(1100)],
        (1, 1, 1),
        {"features"},
        "at most 1024",
    ),
    "a linear layer on a large map": (
        [*conv(2, 32, padding=1), *head(32 * 32 * 32, 11)],
        (2, 32, 32),
        {"kernel-memory"},
        "fewer output channels",
    ),
    "many neurons": (
        [*conv(1, 128, padding=1), nn.AvgPool2d(4), *head(128 * 64)],
        (1, 32, 32),
        {"neuron-memory", "kernel-memory"},
        "larger stride",
    ),
    "ten layers": (
        [m for _ in range(9) for m in conv(2, 2, padding=1)] + head(2 * 64),
        (2, 8, 8),
        {"mapping"},
        "leave one out",
    ),
    "three layers for two cores": (
        [
            *conv(1, 32, padding=1),
            *(m for _ in range(3) for m in conv(32, 32, 7, padding=3)),
            *conv(32, 2, 2, stride=2),
            *head(2 * 16),
        ],
        (1, 8, 8),
        {"mapping"},
        "shrink one of them",
    ),
    "max pooling": (
        [*conv(1, 4, padding=1), nn.MaxPool2d(2), *conv(4, 4, stride=3), *head(4 * 4)],
        (1, 16, 16),
        {"operation", "stride"},
        "average pooling",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_network_that_cannot_fit_is_explained(name):
    modules, shape, rules, fix = MISFITS[name]
    torch.manual_seed(0)
    violations = check_network(trace(nn.Sequential(*modules), shape)).violations
    assert rules <= {violation.rule for violation in violations}
    assert any(fix in violation.fix for violation in violations if violation.rule in rules)


def test_all_unsupported_operations_come_at_once():
    violations = check_network(trace(Concatenation(), (1, 8, 8))).violations
    assert [v.rule for v in violations] == ["operation", "operation"]
    assert "concat" in violations[0].found
    assert "max_pool" in violations[1].found


def test_two_outputs_are_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            return self.a(x), self.b(x)

    with pytest.raises(ModelError, match="2 outputs"):
        check_network(trace(Two(), (4,)))


def test_every_rule_is_explained():
    sources = [p.read_text() for p in Path(speck_adacal.__file__).parent.rglob("*.py")]
    used = {i for text in sources for i in re.findall(r'Violation\(\s*"([a-z-]+)"', text)}
    assert used == set(rule_ids())
    for rule in rule_ids():
        found = explain(rule)
        assert found.why
        assert found.source
        assert found.grade in "HML"
    assert (explain("fan-out").limit, explain("fan-out").unit) == ("2", "destinations a core")
    with pytest.raises(SettingsError, match="no design rule 'luck'"):
        explain("luck")


def test_explain_on_the_command_line(capsys):
    with pytest.raises(SystemExit) as end:
        main(["check", "--explain", "all", "--json"])
    assert not end.value.code
    assert [r["rule"] for r in json.loads(capsys.readouterr().out)["rules"]] == list(rule_ids())
    for arguments, message in (
        (["--explain", "luck"], "no design rule 'luck'"),
        (["--arch", "digits_cnn"], "--input-shape"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["check", *arguments])
        assert end.value.code == 1
        assert message in capsys.readouterr().err
