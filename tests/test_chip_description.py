"""Chip descriptions: the shipped numbers, the memory formulas, and damaged files."""

from __future__ import annotations

import pytest

from speck_adacal.chip_description import (
    core_memory_use,
    kernel_memory_words,
    known_chips,
    load_chip_description,
    neuron_memory_words,
    read_chip_description,
)
from speck_adacal.errors import ConfigurationError
from speck_adacal.resources import resource_path


def test_both_chips_load_with_a_source_for_every_number():
    assert known_chips() == ("speck2f", "speck2e")
    for name in known_chips():
        chip = load_chip_description(name)
        assert chip.name == name
        assert len(chip.cores) == 9
        assert sum(core.neuron for core in chip.cores) == 320 * 1024  # "0.32 million neurons"
        assert all(q.unit and q.source and q.grade in "HML" for q in chip.quantities.values())
        assert chip.limits.decimator_intervals == (2, 4, 8, 16, 32, 128, 256, 512)


def test_memory_formulas_give_the_documented_example():
    # sinabs docs, speck/overview: 16 input features, 32 output features, 3x3 kernel: 8 Ki words
    assert kernel_memory_words(16, 32, (3, 3)) == 8 * 1024
    assert neuron_memory_words(10, 33, 5) == 10 * 64 * 8
    use = core_memory_use(2, (20, 1, 1), (1, 1), has_bias=True)
    assert (use.kernel, use.neuron, use.bias) == (2 * 32, 20, 20)


def test_memory_agrees_with_sinabs():
    nn = pytest.importorskip("torch").nn
    from sinabs import layers as sl

    layer = nn.Conv2d(3, 7, 5, padding=1)
    spiking = sl.IAFSqueeze(batch_size=1)
    from speck_adacal.virtual_samna import ensure_samna

    ensure_samna()
    from sinabs.backend.dynapcnn.dynapcnn_layer import DynapcnnLayer

    summary = DynapcnnLayer(
        conv=layer, spk=spiking, in_shape=(3, 20, 12), pool=[(1, 1)], discretize=False
    ).memory_summary()
    use = core_memory_use(3, (7, 18, 10), (5, 5), has_bias=True)
    assert (use.kernel, use.neuron, use.bias) == tuple(
        summary[kind] for kind in ("kernel", "neuron", "bias")
    )


def test_sizes_below_one_are_refused():
    with pytest.raises(ConfigurationError, match="height is 0"):
        neuron_memory_words(4, 0, 4)


def test_unknown_chip_is_named():
    with pytest.raises(ConfigurationError, match=r"'speck9'.*speck2f, speck2e"):
        load_chip_description("speck9")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[bits]", "[bits", "cannot be read"),
        ("value = 8, unit", 'value = "8", unit', "bits.weight"),
        ("value = 3.36", "value = -3.36", "latency.all_cores_us"),
        ('grade = "M"', 'grade = "X"', "grade"),
        ("padding = ", "paddings = ", "limits.padding"),
        ("[1, 16, 32]", "[]", "routing.readout_windows"),
        ("[1024, 1024,", "[1024,", "memories.bias"),
        ('name = "speck2f"', "name = 1", "chip.name"),
    ],
)
def test_damaged_files_are_refused_by_field(tmp_path, old, new, message):
    text = resource_path("chip_configs", "speck2f.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "damaged.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        read_chip_description(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_chip_description(tmp_path / "none.toml")
