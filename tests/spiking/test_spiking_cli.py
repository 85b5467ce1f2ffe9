"""Everything after an import works on the command line, with no flags to remember."""

from __future__ import annotations

import json
from itertools import pairwise

import nir
import numpy as np
import pytest

from speck_adacal import load, load_deployment
from speck_adacal.cli import main

SAMPLES, EVENTS = 60, 200


def called(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def network() -> nir.NIRGraph:
    """A convolution, a pool and a linear layer, which tell the upper half from the lower."""
    rng = np.random.default_rng(0)
    weight = np.abs(rng.normal(size=(4, 2, 3, 3))).astype("f4")
    halves = np.zeros((2, 4, 5, 5), dtype="f4")
    halves[0, :, :2], halves[1, :, 3:] = 0.2, 0.2
    two, one = np.array([2, 2]), (1, 1)
    nodes = {
        "input": nir.Input({"input": np.array([2, 10, 10])}),
        "conv": nir.Conv2d((10, 10), weight, one, one, one, 1, np.zeros(4, dtype="f4")),
        "first": nir.IF(np.ones((4, 10, 10), dtype="f4"), np.full((4, 10, 10), 1.5, dtype="f4")),
        "pool": nir.SumPool2d(two, two, np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, 5, 5])}, 0, -1),
        "fc": nir.Affine(halves.reshape(2, 100), np.zeros(2, dtype="f4")),
        "last": nir.IF(np.ones(2, dtype="f4"), np.ones(2, dtype="f4")),
        "output": nir.Output({"output": np.array([2])}),
    }
    return nir.NIRGraph(nodes, list(pairwise(nodes)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A NIR file, recordings with labels, and what `import` and `deploy` make of them."""
    place = tmp_path_factory.mktemp("spiking")
    nir.write(str(place / "snn.nir"), network())
    rng = np.random.default_rng(7)
    rows = np.sort(rng.integers(0, 50_000, (SAMPLES, EVENTS)), axis=1)
    labels = np.arange(SAMPLES) % 2
    y = rng.integers(0, 8, (SAMPLES, EVENTS)) + 2 * labels[:, None]
    np.savez(
        place / "recordings.npz",
        t=rows.ravel(), y=y.ravel(), x=rng.integers(0, 10, rows.size),
        p=rng.integers(0, 2, rows.size), offsets=np.arange(SAMPLES + 1) * EVENTS,
        labels=labels, sensor_size=np.array([10, 10, 2]),
    )  # fmt: skip
    assert called("import", place / "snn.nir", "--out", place / "snn.adapted") == 0
    assert called("deploy", place / "snn.adapted", "--out", place / "snn.bundle") == 0
    return place


def shown(capsys, *arguments: object) -> dict:
    assert called(*arguments, "--json") == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_check_takes_the_shape_from_the_file(folder, capsys):
    found = shown(capsys, "check", "--model", folder / "snn.nir")
    assert found["fits"]
    assert [layer["name"] for layer in found["layers"]] == ["conv", "fc"]
    assert not found["rewritings"]


def test_simulate(folder, capsys):
    found = shown(capsys, "simulate", folder / "snn.bundle", "--events", folder / "recordings.npz")
    assert found["accuracy"] > 0.9


def test_front_begins_with_the_network_as_it_came(folder, capsys):
    recordings, out = folder / "recordings.npz", folder / "cheap.bundle"
    arguments = ("front", folder / "snn.adapted", "--calibration", recordings, "--out", out)
    assert called(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("│")]
    notes = [row.split("│")[-2].strip() for row in rows]  # broken between words where narrow
    assert " ".join(notes).startswith("as it came")
    assert notes.count("chosen") == 1
    said = " ".join(" ".join(lines).split())
    assert "searched on 42 recordings, chosen by log loss on 9 others" in said
    assert "measured on 9 more" in said
    for words in ("Before -> after", f"Written: {out}", f"Next: speck-adacal simulate {out}"):
        assert words in said
    kept, cheaper = load(folder / "snn.adapted"), load_deployment(out)
    assert cheaper.adapted.recipe.came_spiking
    assert cheaper.adapted.recipe.verdict is None  # no trained network to keep anything of
    assert [x.as_is for x in cheaper.adapted.recipe.layers] == [x.as_is for x in kept.recipe.layers]
    found = shown(capsys, "simulate", out, "--events", recordings)
    assert found["accuracy"] > 0.9


def test_exits_and_stream(folder, capsys):
    recordings, out = folder / "recordings.npz", folder / "early.bundle"
    shown(capsys, "exits", folder / "snn.bundle", "--samples-from", recordings, "--out", out)
    found = shown(capsys, "stream", f"{recordings}:1", "--bundle", out)
    assert found["decision"]["label"] == 1


@pytest.mark.parametrize("device", ["twin", "virtual"])
def test_verify(folder, capsys, device):
    assert called("verify", folder / "snn.bundle", "--device", device) == 0
    assert "as recorded" in capsys.readouterr().out


def test_report_says_that_nothing_was_trained_as_rates(folder, capsys):
    arguments = ("report", folder / "snn.bundle", "--samples-from", folder / "recordings.npz")
    found = shown(capsys, *arguments)
    levels = {level["level"]: level for level in found["levels"]}
    assert levels["event"]["accuracy"] > 0.9
    assert levels["ann"]["meaning"] == "as rates, which it was not trained as"


def test_flash_and_what_makes_it_stand_alone(folder, capsys):
    assert called("flash", folder / "snn.bundle", "--dry-run") == 1
    assert "deploy" in capsys.readouterr().err
    assert called("flash", folder / "snn.bundle", "--dry-run", "--host-fed") == 0
    stream, alone = folder / "stream.adapted", folder / "alone.bundle"
    wired = ("--input", "sensor", "--readout", "chip")
    assert called("deploy", folder / "snn.adapted", *wired, "--out", folder / "reset.bundle") == 0
    assert "import it with --never-reset" in " ".join(capsys.readouterr().out.split())
    assert called("flash", folder / "reset.bundle", "--dry-run") == 1
    assert "import it with --never-reset" in " ".join(capsys.readouterr().err.split())
    assert called("import", folder / "snn.nir", "--never-reset", "--out", stream) == 0
    assert called("deploy", stream, *wired, "--out", alone) == 0
    assert "never-reset" not in " ".join(capsys.readouterr().out.split())
    assert called("flash", alone, "--dry-run") == 0


def test_an_export_to_nir_comes_back_as_it_was(folder, capsys):
    out, again = folder / "out.nir", folder / "again.adapted"
    assert called("export", folder / "snn.bundle", "--format", "nir", "--out", out) == 0
    assert called("import", out, "--out", again) == 0
    assert called("deploy", again, "--out", folder / "again.bundle") == 0
    first, second = (load_deployment(folder / f"{name}.bundle") for name in ("snn", "again"))
    for one, other in zip(first.layers, second.layers, strict=True):
        ratio = other.threshold / one.threshold
        assert other.threshold_low == round(one.threshold_low * ratio)
        np.testing.assert_allclose(other.weight, one.weight * ratio, atol=0.51)
