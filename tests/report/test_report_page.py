from __future__ import annotations

import base64
import html
import importlib.util
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from speck_adacal import AdaptSettings, Events, adapt, deploy, save, simulate
from speck_adacal.adaptation.energy import ConversionEnergy
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import read_bundle
from speck_adacal.bundle.format import write_bundle
from speck_adacal.chip.simulation import Simulation
from speck_adacal.chip_description import load_chip_description
from speck_adacal.cli.app import app
from speck_adacal.datasets.demo import demo_checkpoint_path, load_demo_digits
from speck_adacal.errors import BundleError, OutputExistsError
from speck_adacal.inspection.levels import LevelResult
from speck_adacal.reporting.core_map import core_map
from speck_adacal.reporting.decisions import decisions_of
from speck_adacal.reporting.detail_figures import detail_figures
from speck_adacal.reporting.figures import write_figures
from speck_adacal.reporting.front_files import FRONT, FrontRow, front_of_bundle
from speck_adacal.reporting.next_steps import next_steps_of
from speck_adacal.reporting.page import render_page
from speck_adacal.reporting.summary import LayerRow, Summary, summarise

FRONT_ROWS = (FrontRow(5e5, 0.9, 0.02, False), FrontRow(9e5, 0.953, 0.01, True))


def a_summary(name: str = "conv1") -> Summary:
    levels = tuple(
        LevelResult(level, f"what {level} runs", share, 0.011, 123, 0.5)
        for level, share in zip(
            ("ann", "snn", "quantized", "event"), (0.9911, 0.9822, 0.9733, 0.9644), strict=True
        )
    )
    rows = (
        LayerRow(
            name,
            3,
            2,
            1.25,
            0.321,
            77,
            201,
            "weights",
            1152,
            32768,
            9216,
            32768,
            16,
            1024,
            431.0,
            98765.0,
        ),
        LayerRow(
            "fc", 0, 1, 1.0, 0.5, 60, 99, "weights", 8000, 16384, 10, 65536, 0, 1024, 12.0, 4321.0
        ),
    )
    energy = ConversionEnergy(34567, 103086.0, 159.0, 92.8, "45 nm CMOS")
    return Summary(
        "speck2f", 8, levels, rows, 103086.0, 777.0, energy, 4, ("a <warning>",), 3.2,
        "speck-adacal report x",
    )  # fmt: skip


class Cells(HTMLParser):
    """Rows of all tables as lists of texts, and every start tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag in ("td", "th") or (self.inside and tag == "button")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_tables_show_the_numbers_of_the_summary():
    summary = a_summary()
    rows = Cells(render_page(summary, front=FRONT_ROWS)).rows
    for level in summary.levels:
        assert [level.level, level.meaning, f"{100 * level.accuracy:.2f} %", "1.10 %"] in rows
    assert [
        "conv1", "3", "98,765", "431", "2", "1.25", "0.321", "201", "1152 of 32768",
        "9216 of 32768", "16 of 1024",
    ] in rows  # fmt: skip
    assert ["900,000", "95.30 %", "1.00 %", "chosen"] in rows
    assert ["500,000", "90.00 %", "2.00 %", ""] in rows


@pytest.fixture(scope="module")
def measured():
    """A real deployment of the shipped network, and all that its page shows."""
    digits = load_demo_digits()
    settings = AdaptSettings(time_steps=4, correction="none", chip_correction=False)
    adapted = adapt(
        load_network(demo_checkpoint_path()),
        digits.calibration_images[:40],
        input_shape=(1, 28, 28),
        settings=settings,
    )
    deployment = deploy(adapted)
    part = slice(0, 100)
    return deployment, summarise(
        deployment, digits.images[part], digits.labels[part], command="c", details=True
    )


def test_every_measured_number_is_on_the_page(measured):
    _, summary = measured
    details = summary.details
    cheap = tuple(replace(point, synops=min(point.synops, 0.9)) for point in details.exits)
    details = replace(details, exits=cheap)  # their table is shown where one saves
    rows = Cells(render_page(replace(summary, details=details), front=FRONT_ROWS)).rows
    percent = "{:.2f} %".format
    assert len(details.exits) == 6
    for point in details.exits:
        shown = (point.allowed_loss, point.accuracy, point.accuracy_full, point.time, point.synops)
        assert [percent(100 * v) for v in shown] in rows
    for core, rate in details.load.worst_per_s.items():
        assert [str(core), f"{rate:,.0f}"] in rows
    assert [(p.bias, p.lower_clip) for p in details.policies] == [
        ("none", "open"),
        ("none", "1 threshold"),
    ]
    for policy in details.policies:
        shown = [policy.lower_clip, percent(100 * policy.accuracy), f"{policy.synops:,.0f}"]
        assert ["none in this network", *shown] in rows
    for layer in details.autopsy.layers:
        row = next(r for r in rows if r[0] == layer.name and f"{layer.scale:.4g} (" in r[1])
        assert percent(100 * layer.activity.layer_error) in row


def test_details_agree_with_the_twin(measured):
    deployment, summary = measured
    details, digits = summary.details, load_demo_digits()
    run = simulate(deployment, digits.images[:100])
    assert details.samples == 100
    assert details.policies[0].accuracy == run.accuracy(digits.labels[:100])
    assert details.policies[0].synops == run.synops.mean()
    assert details.load.recording == run.synops.argmax()
    width = details.load.window_us / 1e6
    for core, rates in details.load.synops_per_s.items():
        spent = run.synops_per_core[details.load.recording, core]
        assert sum(rates) * width == pytest.approx(spent)
        assert max(rates) <= details.load.worst_per_s[core] * (1 + 1e-9)
    for point in details.exits:
        assert point.accuracy_full == run.accuracy(digits.labels[:100])
        assert 0 < point.time <= 1
        assert 0 < point.synops <= 1
    assert [heat.knob for heat in details.heat_maps] == ["φ", "ρ"]
    for heat in details.heat_maps:
        assert heat.layers == ("conv1", "conv2", "conv3")
        assert min(min(row) for row in heat.harm) >= 0
    rho = details.heat_maps[1]
    assert max(row[0] for row in rho.harm) < 1e-6  # the network's own ρ
    json.dumps(summary.to_dict(), allow_nan=False)


def test_decisions_by_class_are_counted_on_the_page(measured):
    deployment, summary = measured
    digits = load_demo_digits()
    run, labels = simulate(deployment, digits.images[:100]), digits.labels[:100]
    rows = Cells(render_page(summary)).rows
    for label in range(10):
        counts = [int(((labels == label) & (run.decisions == d)).sum()) for d in (*range(10), -1)]
        share = counts[label] / max(sum(counts), 1)
        cells = [str(count) if count else "" for count in counts]
        assert [str(label), *cells, f"{100 * share:.2f} %"] in rows
    assert summary.decisions.to_dict()["accuracy_by_class"] == list(summary.decisions.by_class)
    wrong = int((run.decisions != labels).sum())
    assert sum(count for _, _, count in summary.decisions.mistakes(100)) == wrong
    assert sum(not picture.right for picture in summary.decisions.pictures) == min(wrong, 12)


def made_up(decisions, labels, samples, classes):
    zeros = np.zeros((len(labels), 9), np.int64)
    decided = np.asarray(decisions)
    run = Simulation(decided, zeros, (), (), zeros[:, 0], zeros, zeros)
    return decisions_of(run, samples, np.asarray(labels), classes)


def test_wrong_samples_are_shown_first_and_as_they_look():
    images = np.zeros((4, 1, 3, 5), np.float32)
    images[2, 0, 1, 4] = 1
    found = made_up([0, 1, 0, -1], [0, 1, 1, 1], images, 2)
    assert [(p.index, p.label, p.decided) for p in found.pictures] == [
        (2, 1, 0), (3, 1, -1), (0, 0, 0), (1, 1, 1),
    ]  # fmt: skip
    assert found.confusion == ((1, 0, 0), (1, 1, 1))
    assert found.mistakes() == ((1, 0, 1), (1, -1, 1))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.pictures[0].png))))
    assert shown.tolist() == (255 * images[2, 0]).astype(int).tolist()


def test_events_are_shown_by_polarity():
    events = Events([0, 1, 2, 3], [0, 1, 2, 2], [0, 0, 0, 0], [0, 1, 0, 1], (2, 1, 4))
    found = made_up([0], [0], [events], 1)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.pictures[0].png))))[0]
    off, on, both, none = (tuple(pixel) for pixel in shown.tolist())
    assert len({off, on, both, none}) == 4
    assert off[2] > off[0]
    assert on[0] > on[2]
    assert none == (255, 255, 255)


def test_what_to_do_next_follows_from_what_was_found():
    plain = a_summary()  # loses 2.67 points, has no front, no details
    steps = next_steps_of(plain, has_front=False)
    assert "2.7 points" in steps[0].why
    assert steps[1].command.startswith("speck-adacal front")
    assert not any(" front " in step.command for step in next_steps_of(plain, has_front=True))
    bare = replace(plain, levels=())
    assert [step.command.split()[1] for step in next_steps_of(bare, has_front=False)] == ["report"]
    for step in steps:
        assert step.command in html.unescape(render_page(plain))


@pytest.mark.parametrize("synops", [0.5, 0.97])
def test_the_table_of_exits_is_shown_where_one_saves(measured, synops):
    summary = measured[1]
    points = tuple(replace(point, synops=synops) for point in summary.details.exits)
    page = render_page(replace(summary, details=replace(summary.details, exits=points)))
    assert ("allowed loss" in page) == (synops < 0.95)
    assert ("no early exit saves" in page) == (synops >= 0.95)
    assert ("speck-adacal exits" in page) == (synops < 0.95)


def test_contents_lead_to_every_part(measured):
    page = render_page(measured[1], front=FRONT_ROWS)
    places = re.findall(r'<h2 id="(\w+)"', page)
    assert re.findall(r'<a href="#(\w+)"', page) == places
    assert page.count("<h2") == len(places)


def test_both_heat_maps_have_one_scale(measured):
    """The same sensitivity has the same colour in both."""
    details = measured[1].details
    phi, rho = (replace(heat, harm=((0.1, 0.2),)) for heat in details.heat_maps)
    drawings = []
    for others in ((phi, rho), (rho, replace(phi, harm=((0.1, 0.8),)))):
        figures = detail_figures(replace(details, heat_maps=others))
        axes = Figure().subplots()
        figures["sensitivity_phi" if others[0] is phi else "sensitivity_rho"][1](axes)
        image = axes.get_images()[0]
        drawings.append(image.get_array()[0, 1] / image.norm.vmax)
    assert drawings[0] == pytest.approx(2 * drawings[1])  # 0.2 of 0.2, and 0.2 of 0.8 (a root)


def test_figures_take_the_pages_colours(measured):
    page = render_page(measured[1], front=FRONT_ROWS)
    drawings = page[page.index("<main>") :]
    assert drawings.count("<svg role") == 7
    assert '<g id="patch_1">' not in drawings  # the white ground
    assert "#000000" not in drawings
    assert "var(--kernel)" in drawings


def test_a_bundle_alone_makes_a_page(measured, tmp_path):
    bundle = save(measured[0], tmp_path / "net.bundle")
    done = CliRunner().invoke(app, ["report", str(bundle), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["report"] == str(tmp_path / "net.html")
    page = (tmp_path / "net.html").read_text(encoding="utf-8")
    assert "Nothing was simulated" in page
    assert "512 of 16384" in page
    assert page.count("--samples-from LABELLED.npz") >= 6
    again = CliRunner().invoke(app, ["report", str(bundle)])
    assert again.exit_code == 1


def test_hostile_names_stay_text():
    page = render_page(a_summary('<img src=x onerror="alert(1)">'))
    assert "img" not in Cells(page).tags
    assert "a &lt;warning&gt;" in page


def test_what_a_bundle_does_not_hold_is_said_with_the_command():
    page = render_page(a_summary())
    assert "speck-adacal front ADAPTED" in page
    assert "no front" not in render_page(a_summary(), front=FRONT_ROWS)


def test_areas_go_as_bytes_and_fill_by_use():
    tiles = core_map("speck2f", a_summary().layers)
    assert len(tiles) == 9
    for tile, memory in zip(tiles, load_chip_description("speck2f").cores, strict=True):
        kernel, neuron = tile.memories
        assert neuron.width * memory.kernel == pytest.approx(2 * kernel.width * memory.neuron)
    assert tiles[3].layer == "conv1"
    assert tiles[3].memories[0].share == 1152 / 32768
    assert tiles[8].layer is None
    assert tiles[8].memories[1].share == 0


def test_figures_are_the_same_twice_and_never_overwritten(tmp_path):
    for name in ("a", "b"):
        write_figures(a_summary(), FRONT_ROWS, tmp_path / name)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == sorted(
        f"{n}.{s}" for n in ("levels", "synops", "memory", "front") for s in ("svg", "png")
    )
    for name in names:
        if name.endswith("svg"):
            first, second = ((tmp_path / x / name).read_bytes() for x in "ab")
            assert first == second
    with pytest.raises(OutputExistsError):
        write_figures(a_summary(), (), tmp_path / "a")


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"schema": 9, "points": []}', '{"schema": 1, "points": [{}]}']
)
def test_a_damaged_front_is_refused_by_name(text, tmp_path):
    path = tmp_path / "b"
    write_bundle(path, {FRONT: text.encode()}, kind="adapted", seed=0, command="c")
    with pytest.raises(BundleError, match=r"front\.json"):
        front_of_bundle(read_bundle(path))


@pytest.mark.slow
def test_pages_in_a_browser(tmp_path):
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} here: the page was not opened in a browser")
    bundle, page = tmp_path / "demo", tmp_path / "replay.html"
    runner = CliRunner()
    done = runner.invoke(app, ["demo", "--out", str(bundle), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["errors"]
    report = bundle / "report.html"
    assert report.stat().st_size < 1_000_000
    asked = ["stream", "digits:3", "--bundle", str(bundle), "--save-html", str(page), "--quiet"]
    assert runner.invoke(app, asked).exit_code == 0
    full = tmp_path / "full.html"
    full.write_text(render_page(replace(a_summary("x" * 80)), front=FRONT_ROWS), encoding="utf-8")
    check = load_check()
    assert [f for p in (report, full, page) for f in check.check_page(p)] == []


@pytest.mark.slow
def test_the_check_finds_what_is_wrong(tmp_path):
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("no chromium or no chromedriver here: the check was not tried")
    page = tmp_path / "bad.html"
    page.write_text(
        '<div style="width:3000px">x</div><img src="http://127.0.0.1:9/a.png">'
        '<script>console.error("oh")</script>'
    )
    found = "\n".join(load_check().check_page(page))
    for wanted in ("oh", "horizontal scroll", "request: http://127.0.0.1:9", "axe image-alt"):
        assert wanted in found


def load_check():
    path = Path(__file__).resolve().parents[2] / "scripts" / "check_report_page.py"
    spec = importlib.util.spec_from_file_location("check_report_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
