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
from speck_adacal.ann.trace import trace_whole
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
        return nn.functional.gelu(self.pool(torch.cat([self.left(x), self.right(x)], 1)))


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
        {"stride"},
        "use stride 2",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_network_that_cannot_fit_is_explained(name):
    modules, shape, rules, fix = MISFITS[name]
    torch.manual_seed(0)
    violations = check_network(trace(nn.Sequential(*modules), shape)).violations
    assert rules <= {violation.rule for violation in violations}
    assert any(fix in violation.fix for violation in violations if violation.rule in rules)


def test_what_can_be_rewritten_is_no_violation():
    violations = check_network(trace_whole(Concatenation(), (1, 8, 8))[0]).violations
    said = [(v.rule, v.layer) for v in violations]
    assert said == [("operation", "gelu")]  # what is concatenated is one convolution's input


def test_pooling_that_leaves_a_row_over_is_merged_or_named():
    merged = [*conv(1, 4), nn.AvgPool2d(2), *head(4 * 36)]
    result = check_network(trace(nn.Sequential(*merged), (1, 15, 15)))
    assert result.violations == ()
    assert len(result.rewritings) == 1
    kept = [*conv(1, 4, padding=1), nn.AvgPool2d(2), *conv(4, 4, padding=1), *head(4 * 49)]
    (violation,) = check_network(trace(nn.Sequential(*kept), (1, 15, 15))).violations
    assert violation.rule == "pool-tiles"
    assert "change the padding" in violation.fix


def test_two_outputs_are_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            return self.a(x), self.b(x)

    (violation,) = check_network(trace(Two(), (4,))).violations
    assert violation.rule == "structure"
    assert "2 outputs" in violation.found
    assert "wrap the model" in violation.fix


class Crowded(nn.Module):
    """Wrong in many ways at once: what PyTorch has and we do not, what cores do not do, too large
    a kernel behind them, and values that go on without having become spikes."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.LocalResponseNorm(2)
        self.second = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.third = nn.Conv2d(4, 8, 17, padding=8)
        self.down, self.last = nn.Conv2d(8, 8, 3, stride=3), nn.Linear(8 * 25, 300)

    def forward(self, x):
        x = torch.erf(self.norm(self.first(x)))
        x = nn.functional.avg_pool2d(self.second(x), 2)
        x = torch.relu(self.third(x))
        x = nn.functional.celu(self.down(torch.cat([x], 1)))
        return self.last(x.flatten(1))


def test_everything_is_said_at_once_whatever_stands_before_it():
    graph, refusals = trace_whole(Crowded(), (1, 32, 32))
    assert [refusal.label for refusal in refusals] == ["LocalResponseNorm", "erf", "celu"]
    result = check_network(graph)
    assert [layer.shape.name for layer in result.layers] == [
        "first",
        "second",
        "third",
        "down",
        "last",
    ]
    said = [(violation.rule, violation.layer) for violation in result.violations]
    assert {
        ("operation", "norm"),
        ("operation", "erf"),
        ("operation", "celu"),
        ("structure", "second"),
        ("kernel", "third"),
        ("stride", "down"),
    } <= set(said)
    with pytest.raises(ModelError, match="3 operations are not supported") as refused:
        trace(Crowded(), (1, 32, 32))
    assert all(name in str(refused.value) for name in ("LocalResponseNorm", "erf", "celu"))


class Residual(nn.Module):
    """As people write them: batch norm, max pooling, a shortcut added before the ReLU."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.last = nn.MaxPool2d(2), nn.Linear(8 * 16, 5)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.first(x))))
        x = torch.relu(x + self.second(x))
        return self.last(x.flatten(1))


def test_what_will_be_rewritten_is_said_with_its_cost(capsys):
    torch.manual_seed(0)
    result = check_network(trace(Residual(), (1, 8, 8)))
    assert result.violations == ()
    said = [(planned.where, planned.exact) for planned in result.rewritings]
    assert said[0] == (("second", "add"), True) or "add" in said[0][0]
    assert (("pool",), False) in said
    assert any(planned.events_a_step for planned in result.rewritings)
    assert all(planned.kernel_words[1] > 0 for planned in result.rewritings)
    assert "not exact" in "".join(map(str, result.rewritings))
    assert [layer.shape.name for layer in result.layers][-1] == "last"


def test_what_gives_no_tensor_is_named_once():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.last = nn.LSTM(8, 4, batch_first=True), nn.Linear(20, 2)

        def forward(self, x):
            states, _ = self.cell(x)
            return self.last(states.flatten(1))

    graph, refusals = trace_whole(Recurrent(), (5, 8))
    assert [refusal.label for refusal in refusals] == ["LSTM"]
    assert [layer.shape.name for layer in check_network(graph).layers] == ["last"]


def test_an_unsupported_layer_that_cannot_run_is_named_all_the_same():
    with pytest.raises(ModelError, match="Operation LSTM"):
        trace(nn.Sequential(nn.Conv2d(1, 2, 3), nn.LSTM(8, 4)), (1, 8, 8))


def test_a_crowded_network_exits_with_3(capsys, tmp_path, monkeypatch):
    (tmp_path / "crowded.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 17), nn.GELU(), nn.Conv2d(2, 2, 3, stride=3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["check", "--arch", "crowded:make", "--input-shape", "1,32,32", "--json"])
    assert end.value.code == 3
    found = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in found["layers"]] == ["0", "2"]
    rules = {(violation["rule"], violation["layer"]) for violation in found["violations"]}
    assert rules == {("operation", "1"), ("kernel", "0"), ("stride", "2")}


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


def test_upper_bounds_of_activations_are_warned_of():
    layers = [nn.Conv2d(1, 2, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(32, 4), nn.ReLU(),
              nn.Linear(4, 2)]  # fmt: skip
    graph = trace(nn.Sequential(*layers), (1, 6, 6))
    (clipped,) = graph.clipped_activations()
    assert (clipped.node, clipped.upper) == ("1", 6.0)
    (found,) = [v for v in check_network(graph).violations if v.rule == "bound"]
    assert found.severity == "warning"
    assert "6" in str(found)
