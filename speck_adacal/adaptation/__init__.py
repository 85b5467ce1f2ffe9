"""Adaptive Calibration: thresholds, corrections, searches, and the recipe they end in."""

from speck_adacal.adaptation.engine import adapt_graph
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe, StepRecord

__all__ = ["AdaptSettings", "LayerRecipe", "Recipe", "StepRecord", "adapt_graph"]
