"""Design rules: each fires at its limit and not before; the whole agrees with sinabs' mapping."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal.chip_description import load_chip_description
from speck_adacal.rules.competition import find_competition
from speck_adacal.rules.rules import check_layers
from speck_adacal.rules.shapes import LayerShape
from speck_adacal.virtual_samna import ensure_samna

CHIP = load_chip_description("speck2f")


def shape(name="conv", channels=4, size=16, features=8, kernel=3, stride=1, padding=1, pool=1):
    edge = (size + 2 * padding - kernel) // stride + 1
    return LayerShape(
        name,
        (channels, size, size),
        (features, edge, edge),
        (kernel, kernel),
        (stride, stride),
        (padding, padding),
        pool,
    )


def test_a_small_layer_breaks_no_rule():
    assert check_layers([shape()], CHIP) == ()


@pytest.mark.parametrize(
    ("layer", "rules"),
    [
        (shape(size=129, channels=1, features=1, stride=8), {"input-size"}),
        (shape(size=66, channels=1, features=1), {"map-size"}),
        (shape(features=1025, size=4, channels=1), {"features"}),
        (shape(kernel=17, padding=7, channels=1, features=1), {"kernel"}),
        (replace(shape(), kernel=(3, 5)), {"kernel"}),
        (shape(stride=3), {"stride"}),
        (shape(kernel=16, padding=8, channels=1, features=1), {"padding"}),
        (shape(pool=8), {"pool"}),
        (shape(size=15, pool=2), {"pool-tiles"}),
        (shape(channels=129, features=512, size=1, kernel=1, padding=0), {"kernel-memory"}),
        (shape(channels=1, features=65, size=32), {"neuron-memory"}),
        (shape(channels=128, features=32, size=32), {"core"}),
    ],
)
def test_each_rule_fires_just_beyond_its_limit(layer, rules):
    violations = check_layers([layer], CHIP)
    assert {violation.rule for violation in violations} == rules
    for violation in violations:
        text = str(violation)
        assert violation.layer in text
        assert violation.fix
        assert violation.found in text


@pytest.mark.parametrize(
    "layer",
    [
        shape(size=128, channels=1, features=1, stride=2),
        shape(size=64, channels=1, features=1),
        shape(features=1024, size=4, channels=1),
        shape(kernel=16, padding=7, channels=1, features=1),
        shape(channels=128, features=512, size=1, kernel=1, padding=0),
        shape(channels=1, features=64, size=32),
    ],
)
def test_no_rule_fires_at_its_limit(layer):
    assert check_layers([layer], CHIP) == ()


def test_all_violations_come_at_once():
    found = check_layers([shape("a", stride=3), shape("b", pool=8), shape("c", size=200)], CHIP)
    assert [(v.rule, v.layer) for v in found] == [
        ("stride", "a"),
        ("pool", "b"),
        ("input-size", "c"),
        ("map-size", "c"),
        ("neuron-memory", "c"),
    ]


def test_layers_that_compete_for_the_same_cores_are_named():
    big = [shape(name, channels=32, features=100, size=2) for name in ("x", "y", "z")]
    (violation,) = check_layers([shape("small"), *big], CHIP)
    assert violation.rule == "mapping"
    assert violation.layer == "x, y, z"
    assert "same 2 cores" in violation.found


def test_ten_layers_are_one_too_many():
    (violation,) = check_layers([shape(str(i)) for i in range(10)], CHIP)
    assert violation.rule == "mapping"
    assert "9 cores" in violation.found


layer_shapes = st.builds(
    shape,
    channels=st.sampled_from([1, 8, 33, 64, 128]),
    size=st.sampled_from([1, 2, 8, 16, 32]),
    features=st.sampled_from([1, 16, 40, 64, 200, 512]),
    kernel=st.sampled_from([1, 3]),
).map(
    lambda s: replace(
        s, padding=(s.kernel[0] // 2,) * 2, out_shape=(s.out_shape[0], *s.in_shape[1:])
    )
)


@settings(max_examples=60, deadline=None)
@given(st.lists(layer_shapes, min_size=1, max_size=10))
def test_agrees_with_sinabs_on_what_can_be_mapped(layers):
    ensure_samna()
    from sinabs.backend.dynapcnn.mapping import (
        LayerConstraints,
        edmonds,
        make_flow_graph,
        recover_mapping,
    )

    constraints = [LayerConstraints(c.kernel, c.neuron, c.bias) for c in CHIP.cores]
    options = [
        [
            i
            for i, c in enumerate(constraints)
            if layer.kernel_words <= c.kernel_memory and layer.neuron_words <= c.neuron_memory
        ]
        for layer in layers
    ]
    flow = make_flow_graph(options, len(constraints))
    try:
        recover_mapping(edmonds(flow, 0, len(flow) - 1), len(layers))
        mappable = True
    except ValueError:
        mappable = False
    assert (check_layers(layers, CHIP) == ()) == mappable


def test_the_competing_layers_fit_fewer_cores_than_they_are():
    layers = [shape(str(i), channels=32, features=100, size=2) for i in range(5)]
    (violation,) = find_competition(layers, CHIP)
    named = violation.layer.split(", ")
    assert len(named) > int(violation.found.split("same ")[1].split()[0])
