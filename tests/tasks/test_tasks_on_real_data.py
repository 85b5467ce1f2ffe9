"""The paper's other tasks by their benchmarks' own parts, each on a few real samples."""

from __future__ import annotations

import detection_coco as detection
import imagenet_mobilenet as imagenet
import numpy as np
import pytest
import torch

from speck_adacal import AdaptSettings, OutputTerm, adapt
from speck_adacal.ann import Kind, trace
from speck_adacal.readout.objective import Objective


def test_perfect_boxes_have_a_precision_of_one_and_shifted_ones_less():
    truth = [np.array([[3, 0.5, 0.5, 0.2, 0.4], [7, 0.2, 0.3, 0.1, 0.1]]), np.zeros((0, 5))]
    side = detection.SIDE
    rows = []
    for kind, x, y, w, h in truth[0] * [1, side, side, side, side]:
        rows.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0.9, kind])
    right = [torch.tensor(rows), torch.zeros(0, 6)]
    assert detection.mean_precision(right, truth)["map50"] == pytest.approx(1)
    wrong = [right[0] + torch.tensor([60, 60, 60, 60, 0, 0]), right[1]]
    assert detection.mean_precision(wrong, truth)["map50"] < 0.1


def test_a_cell_is_decoded_to_its_box():
    """By hand: cell (row 3, column 5) of stride 16, second anchor."""
    outputs = []
    for side in (22, 11):
        boxes, seen = torch.zeros(1, 12, side, side), torch.full((1, 3, side, side), -20.0)
        outputs += [boxes, seen, torch.zeros(1, 80, side, side)]
    outputs[1][0, 1, 3, 5] = 4
    outputs[2][0, 9, 3, 5] = 12
    (found,) = detection.decoded(outputs)
    x, y, (w, h) = (0.5 + 5) * 16, (0.5 + 3) * 16, detection.SIZES[1].tolist()
    wanted = torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    assert len(found) == 1
    torch.testing.assert_close(found[0, :4], wanted.clamp(0, detection.SIDE))
    assert int(found[0, 5]) == 9


@pytest.fixture(scope="module")
def detector(shared_data):
    network = detection.trained(shared_data / "yolo_fastestv2_coco.npz")
    with np.load(shared_data / "coco128_boxes.npz") as data:
        chosen = np.flatnonzero(data["is_val"])[:3]
        offsets = data["box_offsets"]
        truth = [data["boxes"][offsets[i] : offsets[i + 1]] for i in chosen]
        return network, detection.images(data, chosen), truth


def test_a_trained_detector_comes_near_its_own_boxes_with_time(detector):
    network, x, truth = detector
    with torch.no_grad():
        known = [torch.cat(p) for p in zip(*(network(part) for part in x.split(1)), strict=True)]
    assert detection.mean_precision(detection.decoded(known), truth)["map50"] > 0.3
    shape = tuple(x.shape[1:])
    names = trace(network, shape).outputs
    heads = tuple(OutputTerm("box_head", names[at : at + 3], anchors=3) for at in (0, 3))
    settings = AdaptSettings(
        time_steps=8, phi=8, per_channel=True, input_coding="analog", correction="bias",
        batch_size=1, outputs=heads,
    )  # fmt: skip
    adapted = adapt(network, x, input_shape=shape, settings=settings)
    found, rate = detection.spiking_outputs(adapted, x, [2, 8])
    objective = Objective(adapted.graph, heads)
    wanted = objective.read(dict(zip(names, known, strict=True)))
    target = objective.target(wanted, 1.0)
    early, late = (
        objective.distance(target, objective.read(dict(zip(names, found[t], strict=True)))).mean()
        for t in (2, 8)
    )
    assert late < early
    assert 0 < rate < 8


def test_a_depthwise_network_of_imagenet_agrees_with_the_trained_one(shared_data):
    network = imagenet.trained(shared_data / "mobilenet_v1_050_160.npz")
    with np.load(shared_data / "imagenet_samples.npz") as data:
        x = imagenet.images(data, np.arange(0, 1000, 84))
        labels = torch.from_numpy(data["labels"][np.arange(0, 1000, 84)]).long() + 1
    graph = trace(network, (3, imagenet.SIDE, imagenet.SIDE))
    assert len(graph.of_kind(Kind.CONV)) == 28
    with torch.no_grad():
        wanted = network(x).argmax(1)
    assert float((wanted == labels).float().mean()) >= 0.5
    settings = AdaptSettings(
        time_steps=8,
        phi=8,
        per_channel=True,
        input_coding="analog",
        correction="bias",
        batch_size=4,
    )
    adapted = adapt(network, x, input_shape=(3, 160, 160), settings=settings)
    with torch.no_grad():
        values = adapted.network.run(x.unsqueeze(1), time_steps=8)[graph.outputs[0]]
    assert float((values.mean(1).flatten(1).argmax(1) == wanted).float().mean()) >= 0.6
