"""Networks with shortcuts on the chip, and a network that takes all nine cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import speck_adacal
from speck_adacal import AdaptSettings, adapt, deploy, front_in_steps, load, save, with_front_point
from speck_adacal.adaptation import adapt_graph
from speck_adacal.ann import trace
from speck_adacal.chip.check import check_network
from speck_adacal.chip.deploy import deploy_network
from speck_adacal.chip.fold import fold
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.datasets.demo import load_demo_digits
from speck_adacal.errors import ModelError
from speck_adacal.events import Events
from speck_adacal.inspection.levels import measure_levels
from speck_adacal.samples.batches import encode_samples
from speck_adacal.twin_search.candidate_runs import TwinEvaluator
from speck_adacal.twin_search.correction import _restarted, _shifted, correct_on_twin
from speck_adacal.twin_search.front_search import FrontSettings
from speck_adacal.twin_search.log_loss import log_loss, one_hot
from speck_adacal.twin_search.targets import reference_decisions
from tests.chip.chip_examples import plain_recipe


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.ReLU())


class ResidualNetwork(nn.Module):
    """An identity shortcut, then a projection, rectified before they are added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(1, 6)
        self.one, self.two = block(6, 6), block(6, 6)
        self.down = block(6, 8, 2)
        self.project = nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), nn.ReLU())
        self.middle = block(6, 6)
        self.relu = nn.ReLU()
        self.head = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 10, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.middle(self.relu(x + self.two(self.one(x))))
        return self.head(self.relu(self.down(x) + self.project(x)))


@pytest.fixture(scope="module")
def digits():
    """The shipped digits at 8×8 pixels."""
    demo = load_demo_digits()

    def small(images) -> torch.Tensor:
        padded = nn.functional.pad(torch.as_tensor(np.asarray(images)).float(), (2, 2, 2, 2))
        return nn.functional.avg_pool2d(padded.reshape(-1, 1, 32, 32), 4)

    return demo, small


@pytest.fixture(scope="module")
def residual(digits):
    demo, small = digits
    images, labels = small(demo.calibration_images), torch.as_tensor(demo.calibration_labels).long()
    torch.manual_seed(5)
    network = ResidualNetwork()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(400):
        rows = torch.arange(step * 64, step * 64 + 64) % len(images)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimiser.step()
    network.eval()
    return adapt(network, images, input_shape=(1, 8, 8), settings=AdaptSettings(time_steps=64))


def test_a_residual_network_runs_on_the_chip_at_every_level(residual, digits):
    demo, small = digits
    deployment = deploy(residual)
    levels, simulation = measure_levels(deployment, small(demo.images), demo.labels)
    accuracy = {level.level: level.accuracy for level in levels}
    assert accuracy["ann"] > 0.7
    assert min(accuracy.values()) > accuracy["ann"] - 0.06
    assert (simulation.spikes_per_core[:, list(deployment.cores)].sum(0) > 0).all()


def test_destinations_follow_the_branches(residual):
    deployment = deploy(residual)
    for position, layer in enumerate(deployment.layers):
        for source in layer.folded.sources:
            core = deployment.mapped.configuration.cnn_layers[deployment.cores[source]]
            targets = {d.layer: d.pooling for d in core.destinations if d.enable}
            pool = deployment.layers[source].folded.pool
            assert targets[deployment.cores[position]] == pool


def test_what_meets_has_one_value_per_spike(residual):
    for layer in (layers := fold(residual.graph, residual.recipe)):
        values = [layers[source].recipe.firing_threshold for source in layer.sources]
        for value in values[1:]:
            np.testing.assert_allclose(value, values[0])


def test_a_bundle_with_branches_comes_back(residual, tmp_path):
    loaded = load(save(deploy(residual), tmp_path / "residual.bundle"))
    assert [x.folded.sources for x in loaded.layers] == [
        x.folded.sources for x in deploy(residual).layers
    ]


def test_another_start_on_one_core_is_what_deploying_again_gives(residual):
    before = deploy(residual)
    name = before.layers[2].folded.recipe.name
    changed = _shifted(residual, name, np.linspace(-0.2, 0.3, 6))
    quick, whole = _restarted(before, changed, 2), deploy_network(changed, cores=before.cores)
    for core in before.cores:
        ours, theirs = (d.mapped.configuration.cnn_layers[core] for d in (quick, whole))
        assert ours.to_json() == theirs.to_json()


class Unrectified(ResidualNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.relu(self.down[0](x) + self.project(x)))


class Crowded(ResidualNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.two(self.one(x))
        return self.head(self.down(x) + self.project(x))


def test_a_sum_of_unrectified_values_is_named():
    graph = trace(Unrectified(), (1, 8, 8))
    with pytest.raises(ModelError, match=r"followed by .*put a ReLU behind"):
        fold(graph, plain_recipe(graph))


class PaddedSum(nn.Module):
    """What is added comes from no neuron on either side: the input, padded, and a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(x, (0, 0, 1, 1))
        return self.last(torch.relu(padded + self.first(padded))).flatten(1)


def test_a_sum_that_no_spikes_reach_is_refused_by_a_typed_error():
    graph = trace(PaddedSum(), (1, 8, 8))
    assert check_network(graph).errors
    with pytest.raises(ModelError):
        fold(graph, plain_recipe(graph))


def test_a_layer_read_three_times_is_named():
    (found,) = check_network(trace(Crowded(), (1, 8, 8))).violations
    assert (found.rule, found.layer) == ("fan-out", "stem.0")


def limits_network() -> nn.Sequential:
    """Nine layers that leave no core over, each in the only kind of core that holds it."""
    torch.manual_seed(0)
    plan = [(2, 16, 3, 2), (16, 64, 3, 1), (64, 64, 1, 2), (64, 32, 3, 1), (32, 64, 3, 2)]
    plan += [(64, 64, 3, 1), (64, 64, 3, 1), (64, 16, 3, 2)]
    modules: list[nn.Module] = []
    for inputs, outputs, kernel, pool in plan:
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        modules += [conv, nn.ReLU(), *([nn.AvgPool2d(2)] if pool > 1 else [])]
    return nn.Sequential(*modules, nn.Flatten(), nn.Linear(16 * 16, 10, bias=False))


def test_nine_layers_at_the_memory_limits_map_and_run():
    graph = trace(limits_network(), (2, 64, 64))
    checked = check_network(graph)
    shapes = [layer.shape for layer in checked.layers]
    assert not checked.violations
    assert [s.neuron_words for s in shapes[:3]] == [65536] * 3
    assert [s.kernel_words for s in shapes[1:8]] == [16384, 4096, *[32768] * 2, *[65536] * 2, 16384]
    rng = np.random.default_rng(1)
    images = torch.from_numpy((rng.random((4, 2, 64, 64)) < 0.02).astype(np.float32))
    settings = AdaptSettings(time_steps=2, chip_correction=False)
    deployment = deploy(adapt(limits_network(), images, input_shape=(2, 64, 64), settings=settings))
    assert sorted(deployment.cores) == list(range(9))
    columns = (rng.integers(0, size, 400) for size in (64, 64, 2))
    recording = Events(np.sort(rng.integers(0, 5000, 400)), *columns, (2, 64, 64))
    simulation = run_on_twin(deployment, [recording])
    assert (simulation.spikes_per_core > 0).all()


def test_the_correction_on_the_twin_does_not_make_decisions_worse(residual, digits):
    """It is kept, layer by layer, only where the chip then decides more like the network."""
    demo, small = digits
    images = small(demo.calibration_images)
    settings = AdaptSettings(time_steps=32, chip_correction=False)
    network = replace(residual, recipe=replace(residual.recipe, settings=settings))
    batches = encode_samples(images, (1, 8, 8), settings)
    plain = adapt_graph(residual.ann, batches, settings)[0]
    before = replace(network, recipe=replace(plain, input_amplitude=batches.amplitude))
    after = correct_on_twin(before, batches)
    targets = one_hot(reference_decisions(before, batches), 10)
    losses = [
        log_loss(run_on_twin(deploy(net), batches.recordings()).class_counts, targets)
        for net in (before, after)
    ]
    assert losses[1] <= losses[0]
    record = after.recipe.trace[-1].values
    assert record["log loss"] == pytest.approx(losses[1])
    parts = [value for name, value in record.items() if name.startswith("part of the shift")]
    assert set(parts) <= {0.0, 0.5, 1.0}


def test_a_network_with_branches_is_searched_on_the_twin(residual, digits):
    """As the whole chip runs it; channels whose spikes are added to others' are left alone."""
    demo, small = digits
    images, labels = small(demo.calibration_images)[:40], demo.calibration_labels[:40]
    settings = FrontSettings(prices=(0.1,), rounds=1, points=4)
    front = speck_adacal.front(residual, images, labels, settings=settings)
    for point in (front.points[0], front.points[-1]):
        batches = encode_samples(
            images, (1, 8, 8), point.network.recipe.settings
        )  # a point has its own T
        held = [batches.recordings()[i] for i in front.held_out_indices]
        simulation = run_on_twin(deploy(with_front_point(residual, point)), held)
        assert simulation.synops.mean() == point.held_out_synops
        assert len(point.layer_names) == len(point.layer_synops) == 7
    stepped = front_in_steps(residual, front, images, labels)
    assert {gap.name for gap in stepped[0].layers} <= set(front.points[0].layer_names)
    evaluator = TwinEvaluator(residual, held)
    by_name = dict(zip((x.name for x in residual.recipe.layers), evaluator.channels, strict=True))
    assert by_name["stem.1"] == by_name["two.1"] == 0
    assert by_name["one.1"] == 6
