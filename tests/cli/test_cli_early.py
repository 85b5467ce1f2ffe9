"""What is wrong with files and options is said before PyTorch is loaded; long work says how far it
has come."""

import json
import re
import subprocess
import sys
import time

import pytest

from speck_adacal import AdaptSettings, FrontSettings, adapt, deploy, front, report, save, simulate
from speck_adacal import load_demo_digits as digits
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.cli import main, waiting
from speck_adacal.resources import resource_path

DIGITS = str(resource_path("datasets", "mnist_digits.npz"))
CHECKPOINT = str(resource_path("datasets", "digits_cnn.safetensors"))
MODEL = ["--model", CHECKPOINT]
# Every verb that computes, with one thing wrong: what it says, and its exit code.
WRONG = [
    (["adapt", "--model", "no.pt", "--calibration", DIGITS, "-o", "out"], "no.pt", 1),
    (["adapt", *MODEL, "--calibration", "no.npz", "-o", "out"], "no.npz", 1),
    (["adapt", *MODEL, "--calibration", DIGITS, "-o", "out", "--phi", "0"], "phi", 1),
    (["adapt", *MODEL, "--calibration", DIGITS, "-o", "out", "--correction", "?"], "correction", 1),
    (
        ["adapt", *MODEL, "--calibration", DIGITS, "-o", "out", "--samples", "9:8"],
        "none of them",
        1,
    ),
    (["convert", *MODEL, "--calibration", DIGITS, "--test", "no.npz", "-o", "o"], "no.npz", 1),
    (["convert", *MODEL, "--calibration", DIGITS, "-o", "o", "--chip", "speck9"], "speck9", 1),
    (["check", "--arch", "digits_cnn", "--input-shape", "28x28"], "1,28,28", 1),
    (["check", "--arch", "digits_cnn"], "--input-shape", 1),
    (["import", "no.nir", "-o", "out"], "no.nir", 1),
    (["front", "no.adapted", "--calibration", DIGITS], "no.adapted", 1),
    (["front", "ADAPTED", "--calibration", "no.npz"], "no.npz", 1),
    (["front", "ADAPTED", "--calibration", DIGITS, "--time-steps", "few"], "--time-steps", 1),
    (["deploy", "no.adapted", "-o", "out"], "no.adapted", 1),
    (["deploy", "ADAPTED", "-o", "out", "--bias", "what"], "bias", 1),
    (["deploy", "ADAPTED", "-o", "out", "--readout", "board"], "--readout", 1),
    (["deploy", "ADAPTED", "-o", "out", "--lower-clip", "low"], "--lower-clip", 1),
    (["simulate", "no.bundle", "--events", DIGITS], "no.bundle", 1),
    (["simulate", "ADAPTED", "--events", DIGITS], "run `deploy`", 1),
    (["simulate", "BUNDLE", "--events", "no.npz"], "no.npz", 1),
    (["exits", "BUNDLE", "--samples-from", "no.npz", "-o", "out"], "no.npz", 1),
    (["exits", "BUNDLE", "--samples-from", DIGITS, "-o", "out", "--metric", "hope"], "metric", 1),
    (["stream", "no.npz", "--bundle", "BUNDLE"], "no.npz", 1),
    (["stream", "digits:1", "--bundle", "BUNDLE", "--readout", "guess"], "--readout", 1),
    (["stream", "digits:1", "--bundle", "BUNDLE", "--backend", "gpu"], "--backend", 1),
    (["autopsy", "BUNDLE", "--samples-from", "no.npz"], "no.npz", 1),
    (["verify", "no.bundle"], "no.bundle", 1),
    (["verify", "BUNDLE", "--device", "speck9"], "speck9", 1),
    (["export", "BUNDLE", "--format", "onnx", "-o", "out"], "--format", 1),
    (["flash", "BUNDLE", "--device", "speck9", "--dry-run"], "speck9", 1),
    (["report", "BUNDLE", "--samples-from", "no.npz", "-o", "out.html"], "no.npz", 1),
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("early")
    settings = AdaptSettings(hold_out=False, chip_correction=False)
    adapted = adapt(
        load_network(CHECKPOINT),
        digits().calibration_images[:24],
        input_shape=(1, 28, 28),
        settings=settings,
    )
    save(adapted, folder / "a")
    deployment = deploy(adapted)
    save(deployment, folder / "b")
    return {"ADAPTED": str(folder / "a"), "BUNDLE": str(folder / "b"), "deployment": deployment}


def test_wrong_files_and_options_are_answered_without_torch(paths, tmp_path):
    """One process for them all: torch once loaded would show."""
    program = (
        "import contextlib, io, json, sys\nfrom speck_adacal.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    said = io.StringIO()\n"
        "    try:\n"
        "        with contextlib.redirect_stderr(said): main(arguments)\n"
        "    except SystemExit as end: code = end.code\n"
        "    print(json.dumps([said.getvalue(), code, 'torch' in sys.modules]))\n"
    )
    wrong = [[paths.get(word, word) for word in arguments] for arguments, _, _ in WRONG]
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(wrong)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(WRONG), done.stderr
    for (said, code, torch), (arguments, words, expected) in zip(answers, WRONG, strict=True):
        assert words in said, (arguments, said)
        assert said.startswith("speck-adacal: "), said
        assert said.count("\n") == 1, said
        assert code == expected, arguments
        assert not torch, arguments
    assert list(tmp_path.iterdir()) == []


def test_simulate_report_and_front_say_how_far_they_have_come(paths, tmp_path):
    deployment, data = paths["deployment"], digits()
    told = []

    def progress(done, total, what):
        told.append((done, total, what))

    simulate(deployment, data.images[:5], progress=progress)
    assert told == [(n, 5, "one by one") for n in range(1, 6)]
    told.clear()
    simulate(deployment, data.images[:5], continuous=True, progress=progress)
    assert told == [(n, 5, "on end") for n in range(1, 6)]
    told.clear()
    report(
        paths["BUNDLE"],
        tmp_path / "page.html",
        samples=data.images[:6],
        labels=data.labels[:6],
        progress=progress,
    )
    levels = {what: (done, total) for done, total, what in told if total == 6}
    assert levels == dict.fromkeys(("ann", "snn", "quantized", "event"), (6, 6))
    assert "early exits" in {what for _, total, what in told if total == 5}
    told.clear()
    settings = FrontSettings(prices=(0.1, 0.3), rounds=1, time_steps=(4,), input_bursts=())
    front(
        deployment.adapted,
        data.calibration_images[:24],
        data.calibration_labels[:24],
        settings=settings,
        progress=progress,
    )
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {total for _, total, _ in told} == {1 + 2 * 2}
    assert "adapting it for 4 time steps" in told[0][2]


@pytest.mark.parametrize("verb", ["simulate", "report"])
def test_a_pipe_hears_of_the_work(paths, tmp_path, monkeypatch, capsys, verb):
    """Every few seconds, here of less, a line on stderr: what, n of N, time; nothing on stdout."""
    monkeypatch.setattr(waiting, "EVERY_S", 0.02)
    options = {
        "simulate": ["--events", DIGITS, "--samples", "150"],
        "report": ["--samples-from", DIGITS, "--samples", "8", "-o", str(tmp_path / "page.html")],
    }
    with pytest.raises(SystemExit):
        main([verb, paths["BUNDLE"], *options[verb], "--seed", "0"])
    lines = capsys.readouterr().err.splitlines()
    assert any(re.search(r"\d+ of \d+ \(\d+ s", line) for line in lines), lines


def test_what_is_said_first_is_the_wait_for_torch(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "EVERY_S", 0.02)
    with waiting.counting("Simulating", quiet=False) as count:
        count(0, 0, waiting.LOADING)
        time.sleep(0.1)
    assert capsys.readouterr().err.startswith("Simulating: loading PyTorch (0 s)")
