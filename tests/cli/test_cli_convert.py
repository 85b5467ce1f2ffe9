"""`convert`: one command to bundle and page; what is wrong is said before anything is loaded."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from speck_adacal import load_deployment, verify
from speck_adacal.cli import main, waiting
from speck_adacal.resources import resource_path

DIGITS = str(resource_path("datasets", "mnist_digits.npz"))
CHECKPOINT = str(resource_path("datasets", "digits_cnn.safetensors"))


def run(capsys, *arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert int(ended.value.code or 0) == code, (out, err)
    return err if code else out


def options(out, **changes):
    given = {"model": CHECKPOINT, "calibration": DIGITS, "samples": "24", "out": out, **changes}
    return ["convert", *(x for k, v in given.items() for x in (f"--{k.replace('_', '-')}", v))]


def test_one_command_writes_a_bundle_that_verifies_and_its_page(capsys, tmp_path):
    out = tmp_path / "digits.bundle"
    told = json.loads(run(capsys, *options(out, test=DIGITS, test_samples="300:330"), "--json"))
    assert [level["level"] for level in told["levels"]] == ["ann", "snn", "quantized", "event"]
    assert {level["samples"] for level in told["levels"]} == {30}
    assert told["levels"][-1]["accuracy"] > 0.9
    assert told["verdict"] is not None
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"{100 * told['levels'][-1]['accuracy']:.2f} %" in page
    assert verify(out).same
    assert load_deployment(out).chip == "speck2f"


def test_what_does_not_fit_is_refused_before_it_is_adapted(capsys, tmp_path, monkeypatch):
    (tmp_path / "too_wide.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2048, 3, bias=False), nn.ReLU(),\n"
        "                         nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2048 * 169, 2))\n"
    )
    from torch import nn

    from speck_adacal.ann.checkpoint import save_checkpoint

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("speck_adacal.adapt", None)
    network = nn.Sequential(
        *(nn.Conv2d(1, 2048, 3, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        nn.Linear(2048 * 169, 2),
    )
    weights = save_checkpoint(network, tmp_path / "w.safetensors")
    said = run(capsys, *options("out", model=weights, arch="too_wide:net"), code=3)
    assert "design rule" in said
    assert "channels" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "missing.safetensors"}, "--model"),
        ({"calibration": "missing.npz"}, "--samples-from"),
        ({"test": "missing.npz"}, "--test"),
        ({"samples": "many"}, "--samples 'many'"),
        ({"test_samples": "1:2:3"}, "--test-samples '1:2:3'"),
        ({"input_shape": "wide"}, "--input-shape 'wide'"),
        ({"chip": "speck9"}, "speck2f"),
    ],
)
def test_wrong_options_are_answered_by_their_cause(capsys, tmp_path, changes, said):
    assert said in run(capsys, *options(tmp_path / "out", **changes), code=1)
    assert not (tmp_path / "out").exists()


def test_wrong_options_are_answered_before_torch_is_loaded(tmp_path):
    program = (
        "import sys\nfrom speck_adacal.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    print('torch' in sys.modules)\n"
    )
    arguments = options(tmp_path / "out", model="missing.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.stdout == "False\n"
    assert "missing.safetensors" in done.stderr


def test_samples_of_two_shapes_are_refused(capsys, tmp_path):
    np.savez(tmp_path / "t.npz", images=np.zeros((4, 1, 20, 20), np.float32), labels=np.arange(4))
    said = run(capsys, *options(tmp_path / "out", test=tmp_path / "t.npz"), code=1)
    assert "(1, 20, 20)" in said
    assert "(1, 28, 28)" in said


def test_a_pipe_gets_a_line_every_few_seconds(capsys, monkeypatch):
    monkeypatch.setattr(waiting, "EVERY_S", 0.05)
    with waiting.counting("Simulating", quiet=False) as count:
        count(1, 4, "samples")
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("Simulating: samples, 1 of 4 (") for line in lines)
    assert "left" in lines[-1]


def test_quiet_says_nothing(capsys, monkeypatch):
    monkeypatch.setattr(waiting, "EVERY_S", 0.01)
    with waiting.status("Simulating", quiet=True):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
