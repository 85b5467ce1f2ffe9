"""`speck-adacal exits`: bars calibrated on samples, kept in the bundle, used by `stream`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from speck_adacal import AdaptSettings, adapt, deploy, save
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import read_bundle
from speck_adacal.cli import main
from speck_adacal.datasets.demo import demo_checkpoint_path, load_demo_digits
from speck_adacal.host import EarlyExit
from speck_adacal.readout.readout_files import readout_of_bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a bundle and 120 labelled digits."""
    folder, digits = tmp_path_factory.mktemp("exits"), load_demo_digits()
    settings = AdaptSettings(time_steps=4, chip_correction=False)
    images = digits.calibration_images[:64]
    deployment = deploy(
        adapt(
            load_network(demo_checkpoint_path()), images, input_shape=(1, 28, 28), settings=settings
        )
    )
    save(deployment, folder / "net.bundle", extra={"note.txt": b"kept"})
    np.savez(folder / "digits.npz", images=digits.images[:120], labels=digits.labels[:120])
    np.savez(folder / "bare.npz", images=digits.images[:120])
    return folder


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def call(place, capsys, samples, out, *more):
    return run(
        capsys, "exits", place / "net.bundle", "--samples-from", place / samples, "--out",
        place / out, "--window-ms", "1", *more,
    )  # fmt: skip


def test_bars_are_calibrated_checked_and_kept(place, capsys):
    code, shown, _ = call(place, capsys, "digits.npz", "early.bundle", "--max-loss", "5", "--json")
    assert code == 0
    found = json.loads(shown)
    stored = read_bundle(place / "early.bundle")
    readout = readout_of_bundle(stored)
    assert isinstance(readout, EarlyExit)
    assert list(readout.rule.bars) == found["bars"]
    assert readout.window_us == 1000
    assert stored.files["note.txt"] == b"kept"
    check = found["held_out"]
    assert check["samples"] == 120
    assert check["accuracy_full"] > 0.95
    assert check["accuracy"] > check["accuracy_full"] - 0.1
    assert check["windows"] < 1
    code, shown, _ = run(capsys, "stream", "digits:3", "--bundle", place / "early.bundle", "--json")
    assert code == 0
    assert json.loads(shown)["decision"]["early"]


def test_few_samples_are_said_to_be_few(place, capsys):
    code, shown, _ = call(place, capsys, "digits.npz", "few.bundle", "--samples", "60")
    assert code == 0
    assert "Too few samples to set a half aside" in shown


@pytest.mark.parametrize(
    ("samples", "more", "message"),
    [
        ("bare.npz", (), "holds no 'labels'"),
        ("digits.npz", ("--samples", "20"), "at least 50 recordings"),
        ("digits.npz", ("--metric", "luck"), "margin"),
        ("absent.npz", (), "absent.npz"),
    ],
)
def test_what_cannot_be_calibrated_is_said_and_nothing_written(
    place, capsys, samples, more, message
):
    code, _, error = call(place, capsys, samples, "bad.bundle", *more)
    assert code == 1
    assert message in error
    assert not (place / "bad.bundle").exists()
