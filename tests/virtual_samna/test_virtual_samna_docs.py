"""The docs page names every field whose default or type is not public, and every variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from speck_adacal.chip_description import known_boards
from speck_adacal.virtual_samna.board.declared import (
    BOARDS_VARIABLE,
    SCENE_VARIABLE,
    TIME_VARIABLE,
)
from speck_adacal.virtual_samna.configuration import unverified
from speck_adacal.virtual_samna.stand_in import VARIABLE

PAGE = Path(__file__).parents[2] / "docs" / "virtual-samna.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted({name for name, _, _ in unverified()}))
def test_every_unverified_field_is_listed(page, name):
    owner, _ = name.split(".")
    assert (
        f"`{name}`" in page
        or (owner.startswith("Factory") and f"`{owner}`" in page)
        or (owner == "FactoryCnnLayerConfig")
    )


def test_variables_and_boards_are_named(page):
    for word in (VARIABLE, BOARDS_VARIABLE, SCENE_VARIABLE, TIME_VARIABLE, *known_boards()):
        assert word in page
