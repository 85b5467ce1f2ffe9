"""The command line: verbs in sequence, JSON on stdout, exit codes, nothing half-written."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from speck_adacal.cli import main
from speck_adacal.resources import resource_path

DIGITS = str(resource_path("datasets", "mnist_digits.npz"))
CHECKPOINT = str(resource_path("datasets", "digits_cnn.safetensors"))


def run(capsys, *arguments: str, code: int = 0) -> str:
    """Run the command line in this process; returns stdout, or stderr where it should fail."""
    try:
        main([str(argument) for argument in arguments])
        found = 0
    except SystemExit as stop:
        found = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert found == code, (out, err)
    return err if code else out


def adapt_arguments(out: Path, **changes: str) -> list[str]:
    options = {"--model": CHECKPOINT, "--calibration": DIGITS, "--samples": "32", **changes}
    return ["adapt", *(part for pair in options.items() for part in pair), "--out", str(out)]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "digits.adapted"
    try:
        main(adapt_arguments(out))
    except SystemExit as stop:
        assert not stop.code  # noqa: PT017
    return out


@pytest.fixture(scope="module")
def bundle(adapted):
    out = adapted.parent / "digits.bundle"
    try:
        main(["deploy", str(adapted), "--out", str(out)])
    except SystemExit as stop:
        assert not stop.code  # noqa: PT017
    return out


def test_the_verbs_in_sequence_with_json(capsys, adapted, bundle, tmp_path):
    text = run(capsys, *adapt_arguments(tmp_path / "a"), "--json")
    assert [layer["phi"] for layer in json.loads(text)["layers"]] == [1, 1, 1, 1]
    deployed = json.loads(run(capsys, "deploy", adapted, "--out", tmp_path / "d", "--json"))
    assert len(deployed["layers"]) == 4
    out = tmp_path / "simulated.npz"
    simulated = json.loads(
        run(
            capsys,
            "simulate",
            bundle,
            "--events",
            DIGITS,
            "--samples",
            "0:40",
            "--out",
            out,
            "--json",
        )
    )
    assert simulated["kind"] == "simulated"
    assert simulated["accuracy"] >= 0.9
    with np.load(out) as arrays:
        assert arrays["decisions"].tolist() == simulated["decisions"]
    report = json.loads(
        run(
            capsys,
            "report",
            bundle,
            "--samples-from",
            DIGITS,
            "--samples",
            "20",
            "--out",
            tmp_path / "page.html",
            "--json",
        )
    )
    assert report["levels"][3]["level"] == "event"
    page = (tmp_path / "page.html").read_text()
    assert page.count("<figure") >= 2  # accuracy by level, SynOps by layer
    assert page.count("<svg") == page.count("<figure") + 9  # and a tile for every core
    assert "http" not in re.sub("http-equiv|http://www.w3.org|http://purl.org", "", page)


def test_tables_for_people_name_the_next_command(capsys, adapted, bundle, tmp_path):
    assert "Next: speck-adacal deploy" in run(capsys, *adapt_arguments(tmp_path / "a"))
    assert "Next: speck-adacal simulate" in run(capsys, "deploy", adapted, "--out", tmp_path / "d")
    shown = run(capsys, "simulate", bundle, "--events", DIGITS, "--samples", "5")
    assert "SynOps a sample" in shown
    assert "…" not in shown
    assert run(capsys, "simulate", bundle, "--events", DIGITS, "--samples", "5", "--quiet") == ""


def test_every_verb_behind_adapt_repeats_its_verdict(capsys, adapted, bundle, tmp_path):
    """In the tables for people, in the results for programs, and on the page."""
    from speck_adacal import load

    verdict = load(adapted).recipe.verdict
    line = verdict.line()
    page = tmp_path / "report.html"
    verbs = (
        ("deploy", adapted, "--out", tmp_path / "d", "--force"),
        ("simulate", bundle, "--events", DIGITS, "--samples", "5"),
        ("report", bundle, "--samples-from", DIGITS, "--samples", "5", "--out", page, "--force"),
    )
    for verb in verbs:
        assert line in " ".join(run(capsys, *verb).split()), verb[0]
        assert json.loads(run(capsys, *verb, "--json"))["verdict"]["chip"] == verdict.chip
    assert line in page.read_text(encoding="utf-8")


def test_env_says_which_samna_is_used(capsys):
    found = json.loads(run(capsys, "env", "--json"))
    assert found["samna"]["kind"] in ("real", "virtual")
    assert found["versions"]["torch"].startswith("2.")


@pytest.mark.parametrize(
    "verb", ["demo", "adapt", "deploy", "simulate", "report", "devices", "env"]
)
def test_every_verb_has_help_with_an_example(capsys, verb):
    said = " ".join(run(capsys, verb, "--help").split())
    assert re.search(r"Examples?: speck-adacal", said)


class TestWrongUse:
    """Each gets one sentence on stderr, its exit code, and leaves nothing behind."""

    def test_usage(self, capsys):
        run(capsys, "adapt", code=2)
        run(capsys, "dance", code=2)

    def test_an_existing_output(self, capsys, adapted):
        before = sorted(p.name for p in adapted.iterdir())
        assert "--force" in run(capsys, *adapt_arguments(adapted), code=1)
        assert sorted(p.name for p in adapted.iterdir()) == before

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"--model": "no.safetensors"}, "no.safetensors"),
            ({"--calibration": "no.npz"}, "no.npz"),
            ({"--calibration": CHECKPOINT}, "cannot be read as NumPy"),
            ({"--samples": "5000:6000"}, "none of them"),
            ({"--samples": "-3"}, "no range"),
            ({"--arch": "no_such_net"}, "no_such_net"),
            ({"--arch": "mnist_cnn_sinabs"}, "mnist_cnn_sinabs"),
            ({"--input-shape": "1,2"}, "(1, 2)"),
            ({"--input-shape": "large"}, "no shape"),
            ({"--time-steps": "0"}, "time_steps"),
            ({"--correction": "magic"}, "correction"),
        ],
    )
    def test_bad_arguments(self, capsys, tmp_path, changes, words):
        error = run(capsys, *adapt_arguments(tmp_path / "out", **changes), code=1)
        assert words in error
        assert list(tmp_path.iterdir()) == []

    def test_an_output_that_cannot_be_written(self, capsys):
        arguments = adapt_arguments(Path("/dev/null/out"), **{"--samples": "4"})
        assert "cannot be written" in run(capsys, *arguments, code=1)

    def test_a_pickled_model(self, capsys, tmp_path):
        model = tmp_path / "model.pt"
        torch.save(nn.Linear(2, 2), model)
        error = run(capsys, *adapt_arguments(tmp_path / "out", **{"--model": str(model)}), code=1)
        assert "safetensors" in error
        plain = tmp_path / "model.pkl"
        plain.write_bytes(pickle.dumps({"x": 1}))
        error = run(capsys, *adapt_arguments(tmp_path / "out", **{"--model": str(plain)}), code=1)
        assert not (tmp_path / "out").exists()

    def test_a_corrupt_safetensors_file(self, capsys, tmp_path):
        model = tmp_path / "model.safetensors"
        model.write_bytes(Path(CHECKPOINT).read_bytes()[:1000])
        arguments = adapt_arguments(tmp_path / "out", **{"--model": str(model)})
        assert "model.safetensors" in run(capsys, *arguments, code=1)

    def test_nan_weights(self, capsys, tmp_path):
        from safetensors.torch import load_file

        state = load_file(CHECKPOINT)
        state["conv2.weight"][0] = torch.nan
        model = tmp_path / "model.safetensors"
        save_file(state, model)
        arguments = adapt_arguments(
            tmp_path / "out", **{"--model": str(model), "--arch": "digits_cnn"}
        )
        assert "conv2.weight" in run(capsys, *arguments, code=1)

    def test_a_network_beyond_the_chip(self, capsys, tmp_path, monkeypatch):
        (tmp_path / "wide.py").write_text(
            "from torch import nn\n"
            "def net():\n"
            "    return nn.Sequential(nn.Conv2d(1, 200, 9), nn.ReLU(), nn.Flatten(),\n"
            "                         nn.Linear(200 * 400, 10))\n"
        )
        monkeypatch.chdir(tmp_path)
        sys.modules.pop("wide", None)
        import importlib.util

        spec = importlib.util.spec_from_file_location("wide", tmp_path / "wide.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        save_file(module.net().state_dict(), tmp_path / "wide.safetensors")
        run(
            capsys,
            *adapt_arguments(
                tmp_path / "a",
                **{"--model": "wide.safetensors", "--arch": "wide:net", "--samples": "4"},
            ),
        )
        error = run(capsys, "deploy", tmp_path / "a", "--out", tmp_path / "d", code=3)
        assert "[kernel]" in error
        assert "[neuron-memory]" in error
        assert not (tmp_path / "d").exists()

    def test_simulating_what_was_not_deployed(self, capsys, adapted):
        assert "deploy" in run(capsys, "simulate", adapted, "--events", DIGITS, code=1)

    def test_a_damaged_bundle(self, capsys, bundle, tmp_path):
        import shutil

        copy = tmp_path / "copy"
        shutil.copytree(bundle, copy)
        (copy / "network.safetensors").write_bytes(b"")
        error = run(capsys, "simulate", copy, "--events", DIGITS, code=1)
        assert "network.safetensors" in error


def test_a_killed_run_leaves_no_half_bundle(tmp_path):
    """Stopped by SIGKILL at any time, the output is whole or absent."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from speck_adacal.cli import main; main()",
            *adapt_arguments(out, **{"--samples": "256"}),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(timeout=6)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if out.exists():
        from speck_adacal import load

        assert load(out).recipe.layers


def test_import_and_help_load_nothing_heavy():
    """`import speck_adacal` and `--help` stay light."""
    code = (
        "import sys, speck_adacal\n"
        "from speck_adacal.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'tonic', 'matplotlib', 'sinabs', 'numba', 'samna'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_jobs_change_no_figure_and_wrong_ones_are_answered(bundle, capsys):
    asked = ("simulate", bundle, "--samples-from", DIGITS, "--samples", "12", "--json")
    alone, spread = (json.loads(run(capsys, *asked, "--jobs", n)) for n in ("1", "2"))
    assert alone == spread
    assert "at least 1, found 0" in " ".join(run(capsys, *asked, "--jobs", "0", code=1).split())
    said = run(capsys, *asked, "--jobs", "2", "--dask", "tcp://127.0.0.1:1", code=1)
    assert "leave one of the two out" in " ".join(said.split())
