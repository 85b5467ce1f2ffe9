"""Cards: the shipped ones are sound, and malformed ones are refused by field."""

import pytest

from speck_adacal.datasets.cards import card_names, load_card, read_card
from speck_adacal.datasets.catalogue import list_datasets
from speck_adacal.errors import DataError

EXPECTED = {
    "cifar10",
    "cifar10dvs",
    "dvsgesture",
    "fashion_mnist",
    "mnist",
    "ncaltech101",
    "ncars",
    "nmnist",
    "pokerdvs",
}


def test_all_sets_of_the_kit_have_a_card():
    assert set(card_names()) == EXPECTED
    assert {card.name for card in list_datasets()} == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_card_is_complete(name):
    card = load_card(name)
    for text in (card.title, card.homepage, card.license, card.citation, card.layout, card.tried):
        assert len(text) > 2
    assert card.homepage.startswith("http")
    assert all(count > 0 for count in card.splits.values())
    assert set(card.recordings) in (set(), set(card.splits))
    assert bool(card.sources) or bool(card.manual)
    for source in card.sources:
        assert len(source.downloads) == len(source.urls)
        assert len(source.md5) in (0, len(source.urls))
        assert source.kind == "url" or source.package
    if card.sources:
        assert card.sources[0].kind == "url"  # the publisher's own address comes first


def test_no_card_names_a_package_registry():
    for name in EXPECTED:
        for source in load_card(name).sources:
            assert not any("registry" in u or "npmjs" in u or "pypi" in u for u in source.urls)


GOOD = """schema = 1
name = "a"
title = "A"
kind = "images"
classes = ["0"]
homepage = "http://a"
license = "MIT"
citation = "A"
layout = "a"
loader = "idx"
tried = "no"
[splits]
train = 1
[[files]]
name = "x"
bytes = 1
sha256 = "%s"
""" % ("0" * 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("schema = 1", "schema = 2"), "schema = 1"),
        (('title = "A"\n', ""), "lacks the field 'title'"),
        (('title = "A"', 'titel = "A"'), "no field 'titel'; the nearest is 'title'"),
        (('"images"', '"sounds"'), r"kind must be one of images, events, found 'sounds'"),
        (('name = "x"', 'name = "../x"'), r"plain name .* found '../x'"),
        (("0" * 64, "0" * 63), "64 digits of SHA-256"),
        (("[splits]", "[splits"), "cannot be read"),
        (("bytes = 1\n", ""), r"files\[0\] lacks the field 'bytes'"),
    ],
)
def test_malformed_cards(tmp_path, change, message):
    path = tmp_path / "a.toml"
    path.write_text(GOOD)
    assert read_card(path).name == "a"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(DataError, match=message):
        read_card(path)


def test_unknown_source_kind_and_nothing_named(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(GOOD + '[[sources]]\nkind = "torrent"\n')
    with pytest.raises(DataError, match=r"sources\[0\].kind must be .*'torrent'"):
        read_card(path)
    path.write_text(GOOD.split("[[files]]")[0])
    with pytest.raises(DataError, match="needs files or recordings"):
        read_card(path)


def test_unknown_name_lists_the_known():
    with pytest.raises(DataError, match=r"cifar10, .*pokerdvs"):
        load_card("imagenet")


CARD = """schema = 1
name = "{name}"
title = "t"
kind = "events"
classes = []
homepage = "h"
license = "l"
citation = "c"
layout = "l"
loader = "nmnist"
tried = "t"
folder = "{folder}"
[splits]
all = 1
[recordings]
all = "{pattern}"
[[sources]]
kind = "{kind}"
urls = []
names = ["{download}"]
members = ["{member}"]
package = "{package}"
"""
SOUND = {
    "name": "set",
    "folder": "SET",
    "pattern": "*/*.bin",
    "kind": "npm",
    "download": "a.zip",
    "member": "data/a.bin",
    "package": "@scope/pack-age.js",
}


def test_a_card_whose_paths_stay_inside(tmp_path):
    (tmp_path / "a.toml").write_text(CARD.format(**SOUND))
    assert read_card(tmp_path / "a.toml").folder == "SET"


@pytest.mark.parametrize("field", ["name", "folder", "pattern", "download", "member"])
@pytest.mark.parametrize("bad", ["../x", "/etc/x", "a/../../x", "..\\\\x", "C:x"])
def test_a_card_whose_paths_lead_outside(tmp_path, field, bad):
    (tmp_path / "a.toml").write_text(CARD.format(**{**SOUND, field: bad}))
    with pytest.raises(DataError, match=r"lies outside|bad"):
        read_card(tmp_path / "a.toml")


@pytest.mark.parametrize("bad", ["--global", "a b", "git+https://x", "../x", ""])
def test_a_card_that_names_no_package(tmp_path, bad):
    (tmp_path / "a.toml").write_text(CARD.format(**{**SOUND, "package": bad}))
    with pytest.raises(DataError, match="names no package"):
        read_card(tmp_path / "a.toml")
