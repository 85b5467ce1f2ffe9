"""The README says what was recorded, and its code runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import update_readme
from safetensors.numpy import load_file

from speck_adacal.datasets.demo import demo_checkpoint_path

ROOT = Path(__file__).resolve().parents[2]


def test_the_readme_shows_the_recorded_results():
    text = (ROOT / "README.md").read_text()
    assert update_readme.render(text) == text, "run: python scripts/update_readme.py"


def test_the_demos_network_is_what_the_readme_says():
    weights = sum(tensor.size for tensor in load_file(demo_checkpoint_path()).values())
    levels = json.loads((ROOT / "benchmarks" / "results" / "levels_digits_cnn.json").read_text())
    assert levels["levels"][0]["level"] == "ann"
    said = f"({weights:,} weights, {100 * levels['levels'][0]['accuracy']:.2f} % on"
    assert said in (ROOT / "README.md").read_text()


def test_the_demo_still_gives_what_is_recorded(tmp_path):
    """Within what another processor's float arithmetic may change."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from speck_adacal.cli import main; main()",
            "demo",
            "--json",
            "--out",
            str(tmp_path / "demo"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    recorded = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text())
    for now, then in zip(found["levels"], recorded["levels"], strict=True):
        assert now["level"] == then["level"]
        assert now["accuracy"] == pytest.approx(then["accuracy"], abs=0.005)
    assert found["synops_per_sample"]["value"] == pytest.approx(
        recorded["synops_per_sample"]["value"], rel=0.01
    )
    assert [layer["core"] for layer in found["layers"]] == [
        layer["core"] for layer in recorded["layers"]
    ]


def test_the_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (ROOT / target).is_file(), target
