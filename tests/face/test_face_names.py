"""The public face: flat, lazy, typed, and all that README, docs and examples need."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import speck_adacal

ROOT = Path(__file__).resolve().parents[2]
STUB = ast.parse((ROOT / "speck_adacal" / "__init__.pyi").read_text())
HEAVY = ("torch", "numpy", "pydantic", "tonic", "matplotlib", "numba", "sinabs", "rich")
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*.py")),
]
IMPORT = re.compile(
    r"^ *(?:from (speck_adacal\S*) import|import (speck_adacal\.\S+))", re.MULTILINE
)
USERS = """
from speck_adacal import AdaptSettings, Deployment, adapt, deploy, exits, load_deployment, simulate
from torch import nn

def run(network: nn.Module, images: object, labels: list[int]) -> float:
    settings = AdaptSettings(time_steps="eight")
    adapted = adapt(network, images, input_shape=(1, 28, 28), settings=settings)
    deployment: Deployment = deploy(adapted)
    reveal_type(exits)
    return simulate(load_deployment("x.bundle"), images).decisions
"""


def modules_of_names():
    return {
        alias.asname: (f"speck_adacal.{node.module}", alias.name)
        for node in STUB.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_what_is_lazy_is_what_is_typed():
    names = modules_of_names()
    assert set(speck_adacal.__all__) == set(names)
    for name, (module, original) in names.items():
        assert name == original
        thing = getattr(speck_adacal, name)
        assert thing is getattr(importlib.import_module(module), name)
        if hasattr(thing, "__module__"):
            assert thing.__module__ == module, f"{name} is imported from where it is not defined"


@pytest.mark.parametrize(
    "arguments", [("-c", "import speck_adacal"), ("-m", "speck_adacal", "--help")]
)
def test_importing_and_help_stay_light(arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    allowed = {"rich"} if "--help" in arguments else set()
    assert not loaded & (set(HEAVY) - allowed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_import_from_the_face_alone(page):
    found = {a or b for a, b in IMPORT.findall(page.read_text())}
    assert found <= {"speck_adacal"}


def test_a_type_checker_sees_real_types(tmp_path):
    (tmp_path / "user.py").write_text(USERS)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports",
         "--config-file=", "--python-executable", sys.executable, str(tmp_path / "user.py")],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert 'Argument "time_steps" to "AdaptSettings" has incompatible type "str"' in done.stdout
    assert "tuple[speck_adacal.readout.readouts.EarlyExit" in done.stdout
    assert 'Incompatible return value type (got "ndarray' in done.stdout
    assert len(re.findall("error:", done.stdout)) == 2, done.stdout
