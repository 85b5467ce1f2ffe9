"""`speck-adacal stream`, its sources and what it writes."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from speck_adacal import AdaptSettings, Events, adapt, deploy, save
from speck_adacal.cli import main
from speck_adacal.errors import DataError, SettingsError
from speck_adacal.events.fit_to_input import fit_events
from speck_adacal.events.recordings import read_recording
from speck_adacal.host import ArgmaxSpikeCount, EarlyExit, ExitRule, Session
from speck_adacal.host.sources import open_source
from speck_adacal.readout.decision import Answer
from speck_adacal.readout.readout_files import READOUT, readout_to_bytes

NAMES = tuple(f"<class {k}>" for k in range(10))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A network of random weights on 28 x 28 pixels, with an exit after the second window."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=4, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 10, bias=False),
    )
    images = torch.rand(8, 1, 28, 28)
    deployment = deploy(
        adapt(network, images, input_shape=(1, 28, 28), settings=AdaptSettings(time_steps=4))
    )
    readout = EarlyExit(NAMES, ExitRule((2.0, 1e-9, 2.0), "top"), 1000)
    path = tmp_path_factory.mktemp("stream") / "net.bundle"
    return save(deployment, path, extra={READOUT: readout_to_bytes(readout)})


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return end.value.code or 0


def streamed(capsys, *arguments):
    assert run("stream", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_it_stops_early_and_says_what_was_spared(bundle, capsys):
    found = streamed(capsys, "digits:3", "--bundle", bundle)
    assert found["decision"]["early"]
    assert found["decision"]["t_us"] == 2000
    assert found["events_spared"] == found["events"] - found["decision"]["events"] > 0
    assert found["synops_spared_estimated"] > 0
    assert found["grade"] == "simulated"
    assert found["names"] == list(NAMES)
    assert found["made_for"] == "a reset before each sample"
    assert [m["t_us"] for m in found["moments"]] == [1000, 2000]


def test_the_virtual_dev_kit_decides_the_same(bundle, capsys):
    for readout in ("bundle", "argmax_spike_count", "argmax_membrane", "first_to_threshold=3"):
        both = [
            streamed(capsys, "digits:4", "--bundle", bundle, "--backend", b, "--readout", readout)
            for b in ("twin", "virtual")
        ]
        assert both[0]["decision"]["label"] == both[1]["decision"]["label"]
        assert both[0]["decision"]["counts"] == both[1]["decision"]["counts"]


def test_plain_lines_record_video_and_page(bundle, capsys, tmp_path):
    out = {name: tmp_path / name for name in ("r.npz", "v.gif", "p.html")}
    flags = ("--record", out["r.npz"], "--save-video", out["v.gif"], "--save-html", out["p.html"])
    assert run("stream", "digits:3", "--bundle", bundle, *flags) == 0
    printed = capsys.readouterr().out
    assert "of no exit here" in printed
    assert "spared" in printed
    recorded = read_recording(out["r.npz"])
    assert recorded.shape == (1, 28, 28)
    with np.load(out["r.npz"], allow_pickle=False) as file:
        session = json.loads(str(file["session"]))
        assert len(file["spike_t"]) == sum(session["decision"]["counts"])
    with Image.open(out["v.gif"]) as film:
        assert film.n_frames >= 2
    page = out["p.html"].read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "<class" not in page.split("<script", 1)[1].replace("\\u003c", "")
    again = streamed(capsys, out["r.npz"], "--bundle", bundle)
    assert again["decision"]["counts"] == session["decision"]["counts"]
    assert run("stream", "digits:3", "--bundle", bundle, *flags) == 1
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("digits:400",), "400 shipped digits"),
        (("digits:x",), "number at its end"),
        (("no/such/file.npz",), "a recording needs a file"),
        (("nowhere:test",), "no source"),
        (("nowhere:test:0",), "nowhere"),
        (("digits:0", "--backend", "moon"), "--backend"),
        (("digits:0", "--backend", "devkit"), "dev kit"),
        (("digits:0", "--readout", "first_to_threshold"), "--readout"),
    ],
)
def test_bad_requests_are_told(arguments, what, bundle, capsys):
    assert run("stream", *arguments, "--bundle", bundle) in (1, 4)
    assert what in capsys.readouterr().err


def test_sources_of_every_kind(tmp_path):
    shape = (2, 34, 34)
    assert open_source("camera:3", shape).label is not None
    images = np.random.default_rng(0).random((2, 20, 20)).astype(np.float32)
    np.savez(tmp_path / "i.npz", images=images, labels=[4, 5])
    assert open_source(f"camera:{tmp_path / 'i.npz'}:1", shape).label == 5
    with pytest.raises(DataError, match="camera:"):
        open_source(f"{tmp_path / 'i.npz'}:1", shape)
    record = bytes([3, 4, 0x80, 0, 9, 5, 6, 0, 0, 10])
    (tmp_path / "a.bin").write_bytes(record)
    found = open_source(str(tmp_path / "a.bin"), shape)
    assert found.events.shape == shape
    assert found.events.channel.tolist() == [1, 0]
    with pytest.raises(DataError, match="channels"):
        open_source(str(tmp_path / "a.bin"), (3, 34, 34))


def test_fitting_pools_centres_and_merges():
    big = Events([0, 1, 2], [0, 64, 127], [0, 64, 127], [0, 1, 1], (2, 128, 128))
    small, done = fit_events(big, (1, 34, 34))
    assert small.shape == (1, 34, 34)
    assert (small.t_us.tolist(), small.x.tolist(), small.y.tolist()) == ([1], [17], [17])
    assert (done.pool, done.left, done.top, done.merged, done.kept) == (3, 12, 12, True, 1)
    assert (
        "pooled by 3, cropped to 102 × 102 pixels from (12, 12), polarities merged" in done.line()
    )
    assert "2 of 3 events (67%) lie outside" in done.line()
    one, done = fit_events(Events([0], [3], [3], [1], (2, 10, 10)), (2, 34, 34))
    assert (one.x.tolist(), one.y.tolist()) == ([15], [15])
    assert "put in the middle" in done.line()
    same, done = fit_events(one, (2, 34, 34))
    assert (same.x.tolist(), done.changed) == ([15], False)


def test_a_region_and_a_pooling_of_ones_own():
    big = Events([0, 1, 2], [0, 64, 127], [0, 64, 127], [0, 1, 1], (2, 128, 128))
    corner, done = fit_events(big, (2, 34, 34), crop=(94, 94), pool=1)
    assert (corner.x.tolist(), corner.channel.tolist(), done.kept) == ([33], [1], 1)
    middle, _ = fit_events(big, (2, 34, 34), crop=(3, 59), pool=2)
    assert (middle.x.tolist(), middle.y.tolist()) == ([30], [2])
    for crop, pool, said in (((95, 0), 1, "at most 94,94"), ((0, 0), 4, "a smaller --pool")):
        with pytest.raises(SettingsError, match=said):
            fit_events(big, (2, 34, 34), crop=crop, pool=pool)


def test_stream_says_what_it_did_to_a_recording_of_another_sensor(bundle, tmp_path, capsys):
    rng = np.random.default_rng(0)
    columns = {"t": np.sort(rng.integers(0, 20_000, 900)), "p": rng.integers(0, 2, 900)}
    columns |= {"x": rng.integers(0, 128, 900), "y": rng.integers(0, 128, 900)}
    np.savez(tmp_path / "big.npz", **columns, sensor_size=[128, 128, 2])
    arguments = ("stream", tmp_path / "big.npz", "--bundle", bundle, "--speed", "0")
    assert run(*arguments) == 0
    assert "128 × 128 pixels, the network takes 28 × 28: pooled by 4" in capsys.readouterr().out
    assert run(*arguments, "--crop", "100,0", "--pool", "1", "--json") == 0
    done = json.loads(capsys.readouterr().out)["fitting"]
    inside = (columns["x"] >= 100) & (columns["y"] < 28)
    assert (done["left"], done["pool"], done["kept"]) == (100, 1, int(inside.sum()))
    for wrong in (("--crop", "12"), ("--crop", "101,0", "--pool", "1"), ("--crop", "a,b")):
        assert run(*arguments, *wrong) == 1
        assert "--crop" in capsys.readouterr().err


class Cold:
    """A back end whose first piece is slow, as that of a program that has to load its kernels."""

    name, grade, shape, outputs = "cold", "simulated", (1, 1, 1), 2

    def __init__(self):
        self.fed, self.resets = 0, 0

    def reset(self):
        self.resets += 1

    def feed(self, events):
        time.sleep(0 if self.fed else 0.3)
        self.fed += 1
        nothing = np.zeros(0, np.int64)
        return Answer(nothing, nothing, events.duration_us, len(events), 0)

    def close(self):
        pass


def test_latency_is_that_of_a_warm_program():
    pieces = [Events([t], [0], [0], [0], (1, 1, 1), t) for t in range(1, 5)]
    with Session(Cold(), ArgmaxSpikeCount(2)) as session:
        session.warm_up(pieces[0])
        moments = list(session.watch(pieces))
        assert session.backend.resets == 3
        assert max(moment.latency_s for moment in moments) < 0.2
        assert session.latency.largest_s < 0.2
        assert moments[-1].decision.events == 4


@pytest.mark.slow
def test_the_page_runs_in_a_browser_without_errors(bundle, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    page = tmp_path / "p.html"
    assert run("stream", "digits:3", "--bundle", bundle, "--save-html", page, "--quiet") == 0
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert "before the end." in done.stdout
    assert "of 4 ms" in done.stdout


@pytest.mark.parametrize(
    ("flag", "name", "where"),
    [
        ("--record", "r.npz", "numpy.savez_compressed"),
        ("--save-video", "v.gif", "PIL.Image.Image.save"),
        ("--save-html", "p.html", "pathlib.Path.write_text"),
    ],
)
def test_no_space_leaves_nothing_half_written(
    flag, name, where, bundle, tmp_path, capsys, monkeypatch
):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    out = tmp_path / "out"
    out.mkdir()
    assert run("stream", "digits:3", "--bundle", bundle, flag, out / name, "--quiet") == 1
    assert "No space left" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_a_damaged_recording_is_refused_before_anything_is_written(bundle, tmp_path, capsys):
    bad = tmp_path / "a.bin"
    bad.write_bytes(b"\0" * 7)
    out = tmp_path / "r.npz"
    assert run("stream", bad, "--bundle", bundle, "--record", out) == 1
    assert "a.bin" in capsys.readouterr().err
    assert not out.exists()


def test_the_sensor_of_a_virtual_dev_kit(bundle, capsys, tmp_path):
    rng = np.random.default_rng(0)
    scene = {
        "t": np.sort(rng.integers(0, 20_000, 500)), "x": rng.integers(0, 128, 500),
        "y": rng.integers(0, 128, 500), "p": rng.integers(0, 2, 500),
        "sensor_size": [128, 128, 2],
    }  # fmt: skip
    np.savez(tmp_path / "scene.npz", **scene)
    found = streamed(
        capsys, "devkit", "--bundle", bundle, "--scene", tmp_path / "scene.npz", "--seconds", 0.05,
        "--readout", "argmax_spike_count", "--record", tmp_path / "r.npz",
    )  # fmt: skip
    assert found["source"] == "devkit"
    assert found["events"] == found["decision"]["events"] > 0
    assert read_recording(tmp_path / "r.npz").shape == (1, 28, 28)
    silent = streamed(capsys, "devkit", "--bundle", bundle, "--seconds", 0.02)
    assert silent["decision"]["name"] == "no decision"
    assert silent["events"] == 0
    assert run("stream", "devkit", "--bundle", bundle, "--seconds", 0.02) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "made for a reset before each sample; here nobody resets the sensor" in said
