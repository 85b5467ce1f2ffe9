"""Help, versions, completion, one name for samples and for layers, and terminals of any width."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from speck_adacal import AdaptSettings, Events, adapt, deploy, save
from speck_adacal import load_demo_digits as digits
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.cli import main
from speck_adacal.cli.app import app
from speck_adacal.cli.command_groups import GROUPS
from speck_adacal.events.overview import overview
from speck_adacal.reporting.narrowing import NarrowingTable
from speck_adacal.resources import resource_path

DIGITS = str(resource_path("datasets", "mnist_digits.npz"))
CHECKPOINT = str(resource_path("datasets", "digits_cnn.safetensors"))


def run(capsys, *arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert int(ended.value.code or 0) == code, (out, err)
    return err if code else out


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("look")
    settings = AdaptSettings(hold_out=False, chip_correction=False)
    images = digits().calibration_images[:24]
    adapted = adapt(load_network(CHECKPOINT), images, input_shape=(1, 28, 28), settings=settings)
    save(adapted, folder / "a", command="made by a test")
    save(deploy(adapted), folder / "b", command="made by a test")
    return folder


def test_help_lists_every_command_once_under_a_heading_and_cuts_nothing(capsys):
    said = run(capsys, "--help")
    listed = [name for names in GROUPS.values() for name in names]
    there = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    assert sorted(listed) == sorted(there)
    assert all(f"\n{heading}:\n" in said for heading in GROUPS)
    assert "..." not in said.replace("[ARGS]...", "")
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_version(capsys):
    assert re.fullmatch(r"speck-adacal \d+\.\d+\.\d+\n", run(capsys, "--version"))


def test_a_shell_completes_verbs_and_options():
    def completed(words, index):
        program = (
            "import sys; sys.argv[0] = 'speck-adacal'; from speck_adacal.cli import main; main()"
        )
        environment = {
            **os.environ,
            "_SPECK_ADACAL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(index),
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split()

    assert completed("speck-adacal sim", 1) == ["simulate"]
    assert "--samples-from" in completed("speck-adacal simulate --sa", 2)


@pytest.mark.parametrize("verb", ["adapt", "convert", "front", "simulate", "deploy"])
def test_samples_have_one_name_and_keep_their_old_one(capsys, verb):
    old = {"simulate": "--events", "deploy": "--recordings"}.get(verb, "--calibration")
    said = run(capsys, verb, "--help")
    assert "--samples-from" in said
    assert old in said


def test_every_output_has_its_short_name(capsys):
    for registered in app.registered_commands:
        said = run(capsys, registered.name, "--help")
        assert ("--out" in said) == ("-o, --out" in said or "--out, -o" in said), registered.name


@pytest.mark.parametrize("name", ["speck2fdevkit", "speck2fmodule", "Speck2fDevKit:0", "speck2f"])
def test_a_board_is_understood_where_a_chip_is_asked_for(capsys, name):
    arguments = ["check", "--arch", "digits_cnn", "--input-shape", "1,28,28", "--chip", name]
    assert json.loads(run(capsys, *arguments, "--json"))["chip"] == "speck2f"


NETWORK = (
    "from torch import nn\ndef net():\n    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())\n"
)


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        ("my_net.py", "my_net.py:make_net"),
        ("other/my_net.py:net", "run from"),
        ("missing.py:net", "no file missing.py"),
        ("my_net.py:nothing", "no callable 'nothing'"),
    ],
)
def test_architectures_by_file_are_answered(capsys, tmp_path, monkeypatch, arch, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    for place in (tmp_path, tmp_path / "other"):
        (place / "my_net.py").write_text(NETWORK)
    arguments = ["check", "--input-shape", "1,8,8", "--arch"]
    assert said in run(capsys, *arguments, arch, code=1)


def test_an_architecture_by_its_file_works(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net_of_a_file.py").write_text(NETWORK)
    arguments = ["check", "--input-shape", "1,8,8", "--arch", "net_of_a_file.py:net"]
    assert "It fits" in run(capsys, *arguments)


def test_a_layer_has_one_name_in_every_verb(capsys, bundles, tmp_path):
    """By its weights, also where its neurons are called otherwise and behind an addition."""
    expected = ["conv1", "conv2", "conv3", "linear"]
    arguments = ["check", "--arch", "digits_cnn", "--input-shape", "1,28,28", "--json"]
    found = {"check": json.loads(run(capsys, *arguments))}
    found["show adapted"] = json.loads(run(capsys, "show", bundles / "a", "--json"))
    found["show deployed"] = json.loads(run(capsys, "show", bundles / "b", "--json"))
    found["autopsy"] = json.loads(run(capsys, "autopsy", bundles / "b", "--json"))
    for verb, results in found.items():
        assert [layer["name"] for layer in results["layers"]] == expected, verb
    shown = run(capsys, "show", bundles / "a")
    assert "relu" not in shown
    assert found["show adapted"]["layers"][0]["neurons"] == "relu1"


def test_show_says_what_a_bundle_is_and_what_it_was_made_with(capsys, bundles):
    shown = run(capsys, "show", bundles / "b")
    assert "made by a test" in shown
    assert "input 1 × 28 × 28, T = 8" in " ".join(shown.split())
    told = json.loads(run(capsys, "show", bundles / "b", "--json"))
    verdict = told["verdict"]
    assert f"on the chip {verdict['chip']:.1%}" in " ".join(shown.split())
    assert [layer["core"] for layer in told["layers"]] == [0, 1, 2, 3]
    assert told["layers"][1]["kernel_used"] == 6144  # 24 × 16 × 4 × 4, as the chip counts


def test_an_overview_of_a_recording_counts_what_is_there():
    t_us = np.array([100, 200, 300, 5_000, 20_099])
    x, y = np.array([1, 1, 1, 2, 5]), np.array([3, 3, 3, 4, 0])
    found = overview(Events(t_us, x, y, np.array([0, 1, 1, 1, 0]), (2, 8, 10), 20_099, 100))
    assert (found.events, found.duration_us, found.start_us) == (5, 20_000, 100)
    assert found.rate_per_s == pytest.approx(250)
    assert found.peak_per_s == pytest.approx(400)  # four events in 10 ms
    assert found.on_share == pytest.approx(0.6)
    assert found.used == (1, 0, 5, 4)
    assert found.busiest == (1, 3, 3)
    assert sum(found.histogram) == 5
    assert len(found.histogram) == 40


@pytest.mark.parametrize("text", ["r.npz", "r.npz:1"])
def test_events_info_of_files(capsys, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    columns = {name: np.array([0, 3, 4, 1]) for name in ("t", "x", "y", "p")}
    columns["p"] = np.array([0, 1, 1, 0])
    np.savez("r.npz", **columns, offsets=np.array([0, 2, 2]) + np.array([0, 1, 2]))
    told = json.loads(run(capsys, "events", "info", text, "--json"))
    assert told["recordings"] == 2
    assert told["events"] == (3 if text == "r.npz" else 1)
    assert "of the file" not in run(capsys, "events", "info", text)


@pytest.mark.parametrize("wrong", ["none.npz", "r.npz:7", "i.npz"])
def test_events_info_of_what_is_none(capsys, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    np.savez("i.npz", images=np.zeros((2, 4, 4), np.float32))
    np.savez("r.npz", **{name: np.zeros(1, np.int64) for name in ("t", "x", "y", "p")})
    assert wrong.partition(":")[0] in run(capsys, "events", "info", wrong, code=1)


NUMBERS = [["conv1", "1,234,567", "0.5/16"], ["a_layer_with_a_long_name", "89", "12345.6/64"]]


@pytest.mark.parametrize("width", [200, 80, 44, 30, 12])
def test_no_number_vanishes_at_any_width(width):
    table = NarrowingTable(title="a title", caption="a caption of several words")
    for header in ("layer", "SynOps", "kernel Ki"):
        table.add_column(header, no_wrap=True)
    for row in NUMBERS:
        table.add_row(*row)
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    shown = captured.get()
    assert "…" not in shown
    whole = "".join(shown.split()) if width < 30 else shown
    for cell in (cell for row in NUMBERS for cell in row):
        assert cell in whole, shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("columns", ["60", "80", "140"])
def test_columns_is_honoured_in_a_pipe(capsys, bundles, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    shown = run(capsys, "show", bundles / "b")
    assert "0.00977/32" in shown
    assert max(map(len, shown.splitlines())) <= int(columns)


def test_without_columns_a_pipe_is_wide(capsys, bundles, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert max(map(len, run(capsys, "show", bundles / "b").splitlines())) > 80


def test_sums_of_branches_are_named_by_all_of_them():
    from torch import nn

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)
            self.relu = nn.ReLU()
            self.last = nn.Linear(72, 3)

        def forward(self, x):
            return self.last(self.relu(self.one(x) + self.other(x)).flatten(1))

    from speck_adacal.snn.layer_names import layer_names

    settings = AdaptSettings(hold_out=False, chip_correction=False, input_coding="analog")
    images = np.random.default_rng(0).random((8, 1, 8, 8), dtype=np.float32)
    adapted = adapt(Sum().eval(), images, input_shape=(1, 8, 8), settings=settings)
    assert layer_names(adapted.graph, adapted.recipe)["relu"] == "one + other"
