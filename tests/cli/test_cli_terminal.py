"""The terminal: brackets in paths, streams that cannot take what is written, Ctrl-C."""

import io
import sys

import pytest

from speck_adacal.cli import app as module
from speck_adacal.cli import common, early, main


def exit_code(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_paths_are_shown_as_they_are(capsys):
    text = "Written: out[/red]/a[bold]b[1].bundle :warning: [link=x]"
    common.show({}, text, as_json=False, quiet=False)
    assert capsys.readouterr().out == text + "\n"


def test_cells_of_tables_are_shown_as_they_are(capsys):
    from rich.table import Table

    table = Table(title="[red]a[/x]")
    table.add_column("b[/]")
    table.add_row("[blink]c")
    common.show({}, table, as_json=False, quiet=False)
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("[red]a[/x]", "b[/]", "[blink]c"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_stream_without_unicode_shows_what_it_can(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert exit_code(["adapt", "--help"]) == 0
    assert b"most spikes of a neuron a step" in raw.getvalue()


class Full(io.RawIOBase):
    def writable(self):
        return True

    def write(self, data):
        raise OSError(28, "No space left on device")


def test_a_full_stream_is_said_in_one_sentence(monkeypatch, capsys):
    full = io.TextIOWrapper(io.BufferedWriter(Full()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", full)
    assert exit_code(["--help"]) == 1
    said = capsys.readouterr().err
    assert said == "speck-adacal: the output cannot be written (No space left on device).\n"
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space"):  # not left to the end of the interpreter
        full.close()


def test_ctrl_c_says_what_was_kept(monkeypatch, capsys, tmp_path):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(early, "refuse_early", stop)
    arguments = ["adapt", "--model", "a.safetensors", "--calibration", "a.npz", "--out", "b"]
    assert exit_code(arguments) == 130
    assert capsys.readouterr().err == (
        "speck-adacal: stopped; outputs are written whole or not at all, so none is half-written.\n"
    )
    assert exit_code([*arguments, "--work", str(tmp_path)]) == 130
    assert f"Finished work is in {tmp_path}: the same command" in capsys.readouterr().err


def test_memory_that_is_not_there_is_no_traceback(monkeypatch, capsys):
    def greedy(*args, **options):
        raise MemoryError

    monkeypatch.setattr(early, "refuse_early", greedy)
    assert exit_code(["env", "--out", "x.json"]) == 1
    assert "not enough memory" in capsys.readouterr().err


def test_exit_codes_of_the_parser_stay(capsys):
    assert exit_code(["no-such-verb"]) == 2
    assert exit_code(["adapt"]) == 2
    assert "Missing option" in capsys.readouterr().err
    assert module.app.registered_commands


@pytest.mark.parametrize(
    "command",
    [
        ["adapt", "--model", "none.npz", "--arch", "digits-cnn", "--calibration", "none.npz"],
        ["front", "none.adapted", "--calibration", "none.npz"],
        ["deploy", "none.adapted"],
        ["import", "none.nir"],
        ["exits", "none.bundle", "--samples-from", "none.npz"],
    ],
)
def test_a_folder_of_others_is_refused_before_any_work(tmp_path, capsys, command):
    (tmp_path / "thesis.txt").write_text("three years")
    assert exit_code([*command, "--out", str(tmp_path), "--force"]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "none." not in said  # nothing was looked for yet
    assert "so it is not overwritten; choose another path" in said
    assert (tmp_path / "thesis.txt").read_text() == "three years"
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.txt"]
