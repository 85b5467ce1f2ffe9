"""What results say of themselves, as text and in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from speck_adacal import (
    AdaptSettings,
    FrontSettings,
    adapt,
    demo_checkpoint_path,
    deploy,
    front,
    load_demo_digits,
    load_network,
    simulate,
)
from speck_adacal.sheet import Sheet


@pytest.fixture(scope="module")
def results():
    digits = load_demo_digits()
    images, labels = digits.calibration_images[:30], digits.calibration_labels[:30]
    settings = AdaptSettings(chip_correction=False)
    network = load_network(demo_checkpoint_path())
    adapted = adapt(network, images, input_shape=(1, 28, 28), settings=settings)
    deployment = deploy(adapted)
    search = FrontSettings(prices=(0.3,), rounds=1, time_steps=(), input_bursts=())
    return {
        "adapted": adapted,
        "deployment": deployment,
        "simulation": simulate(deployment, digits.images[:7]),
        "front": front(adapted, images, labels, settings=search),
    }


class Cells(HTMLParser):
    """Cells of the rows of a table, and whether all tags are closed."""

    def __init__(self):
        super().__init__()
        self.rows, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.mark.parametrize("name", ["adapted", "deployment", "simulation", "front"])
def test_every_result_is_a_table_in_a_notebook_and_the_same_in_text(results, name):
    text, page = results[name].summary(), results[name]._repr_html_()
    assert "<script" not in page
    assert "http" not in page
    parser = Cells()
    parser.feed(page)
    assert parser.open == []
    assert len({len(row) for row in parser.rows}) == 1
    assert all(cell in text for row in parser.rows for cell in row)


def test_the_figures_are_the_results_own(results):
    adapted, deployment, simulation = (
        results[name] for name in ("adapted", "deployment", "simulation")
    )
    assert adapted.recipe.verdict.line() in adapted.summary()
    first = deployment.summary().splitlines()[2].split()
    assert first[:3] == ["conv1", "0", str(deployment.layers[0].threshold)]
    assert f"{simulation.synops.mean():,.0f}" in simulation.summary().splitlines()[-3]
    found = results["front"]
    best = found.choose()
    line = next(line for line in found.summary().splitlines() if "(best)" in line)
    assert f"{best.held_out_synops:,.0f}" in line
    assert "as it came" in found.summary()


def test_what_a_network_is_called_is_no_markup():
    page = Sheet("<b>", ("a", "&"), (("<script>", "1"),), ("<i>",)).html()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<i>" not in page


def test_columns_of_a_text_are_aligned():
    lines = Sheet("t", ("name", "n"), (("a", "1,000"), ("longer", "2"))).text().splitlines()
    assert [len(line) for line in lines[1:]] == [13, 13, 13]
    assert Sheet("only").text() == "only"


def test_a_recording_that_is_silent_is_counted(results):
    images = np.zeros((2, 1, 28, 28), np.float32)
    said = simulate(results["deployment"], images).summary()
    assert "2 samples without a decision" in said
