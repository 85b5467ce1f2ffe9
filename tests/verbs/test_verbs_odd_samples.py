"""Samples with a clock of their own, labels in other forms, and samples with nothing in them."""

import numpy as np
import pytest
import torch
from torch import nn

import speck_adacal as sa
from speck_adacal.errors import CalibrationError
from speck_adacal.events import Events
from speck_adacal.reporting.details import measure_details


def network(outputs, channels=1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, outputs, bias=False),
    )


IMAGES = np.random.default_rng(0).random((24, 1, 8, 8), dtype=np.float32)
LABELS = np.arange(24) % 3


def recordings(t0):
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        t = np.sort(rng.integers(0, 100_000, 300))
        x, y = rng.integers(0, 8, (2, 300))
        found.append(Events(t - t[0] + t0, x, y, rng.integers(0, 2, 300), (2, 8, 8)))
    return found


def test_a_foreign_clock_changes_nothing():
    results = []
    for t0 in (0, 1_461_581_614_988_127):
        adapted = sa.adapt(network(3, 2), recordings(t0), input_shape=(2, 8, 8))
        simulation = sa.simulate(sa.deploy(adapted), recordings(t0))
        thresholds = [np.atleast_1d(layer.threshold) for layer in adapted.recipe.layers]
        results.append((np.concatenate(thresholds), simulation.class_counts))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        (1, LABELS, "0 to 0, as the network has 1 output;"),
        (3, LABELS + 1, "Label 2 is 3, allowed are 0 to 2"),
        (3, LABELS - 1, "Label 0 is -1"),
        (3, LABELS + 0.5, "whole class numbers"),
        (3, LABELS[:5], "24 samples but 5 labels"),
    ],
)
def test_labels_that_do_not_fit_are_named(outputs, labels, message):
    with pytest.raises(CalibrationError, match=message):
        sa.adapt(network(outputs), IMAGES, input_shape=(1, 8, 8), labels=labels)


def test_labels_in_other_forms_give_the_same():
    found = [
        sa.adapt(network(3), IMAGES, input_shape=(1, 8, 8), labels=labels).recipe.layers
        for labels in (LABELS, LABELS[:, None], np.eye(3)[LABELS])
    ]
    for layers in found[1:]:
        for one, other in zip(found[0], layers, strict=True):
            np.testing.assert_array_equal(one.initial_potential, other.initial_potential)


def test_a_report_on_black_images_says_so():
    deployment = sa.deploy(sa.adapt(network(3), IMAGES, input_shape=(1, 8, 8)))
    with pytest.raises(CalibrationError, match="No sample reaches the chip with an event"):
        measure_details(deployment, np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, int))
