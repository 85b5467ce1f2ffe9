"""How inputs come in: `--normalize` and `--input-coding` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from speck_adacal.cli import main
from speck_adacal.resources import resource_path

DIGITS = str(resource_path("datasets", "mnist_digits.npz"))
CHECKPOINT = str(resource_path("datasets", "digits_cnn.safetensors"))


def adapt(capsys, out: Path, *options: str, model: str = CHECKPOINT, code: int = 0) -> str:
    """Run `adapt` in this process; stdout, or stderr where it should fail."""
    arguments = ["--model", model, "--arch", "digits_cnn", "--calibration", DIGITS]
    arguments += ["--samples", "24", "--no-chip-correction", "--json", "--out", str(out), *options]
    try:
        main(["adapt", *arguments])
        ended = 0
    except SystemExit as stop:
        ended = int(stop.code or 0)
    found = capsys.readouterr()
    assert ended == code, found.err
    return found.err if code else found.out


def test_a_network_of_normalised_inputs_takes_plain_images(capsys, tmp_path):
    """Weights for inputs twice as large, told so, give the thresholds of the plain network."""
    weights = load_file(CHECKPOINT)
    first = next(name for name in weights if name.endswith("weight"))
    weights[first] = weights[first] / 2
    save_file(weights, tmp_path / "half.safetensors")
    plain = json.loads(adapt(capsys, tmp_path / "a"))
    options = ("--normalize", "0", "0.5")
    told = json.loads(
        adapt(capsys, tmp_path / "b", *options, model=str(tmp_path / "half.safetensors"))
    )
    for one, other in zip(plain["layers"], told["layers"], strict=True):
        np.testing.assert_allclose(one["threshold"], other["threshold"], rtol=1e-5)


@pytest.mark.parametrize("options", [("zero", "1"), ("0.1", "0"), ("0.1,0.2", "1"), ("nan", "1")])
def test_a_normalisation_that_is_none_is_one_sentence(capsys, tmp_path, options):
    said = adapt(capsys, tmp_path / "a", "--normalize", *options, code=1)
    assert said.startswith("speck-adacal: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_analog_inputs_are_an_option(capsys, tmp_path):
    found = json.loads(adapt(capsys, tmp_path / "a", "--input-coding", "analog"))
    assert found["settings"]["input_coding"] == "analog"
