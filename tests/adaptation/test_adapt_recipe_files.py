"""A recipe found without labels can be kept: its trace has no accuracies."""

from __future__ import annotations

import json

from speck_adacal.recipe.recipe import AdaptSettings, Recipe, StepRecord
from speck_adacal.recipe.recipe_files import recipe_from_data, recipe_to_data


def test_what_was_not_measured_is_left_out():
    record = StepRecord("phi", 0.5, {"kl": 0.25, "accuracy": float("nan")})
    recipe = Recipe(settings=AdaptSettings(), layers=(), trace=(record,))
    data, tensors = recipe_to_data(recipe)
    json.dumps(data, allow_nan=False)
    assert recipe_from_data(data, tensors).trace[0].values == {"kl": 0.25}
