"""Detection in time steps: Yolo-FastestV2 on images of COCO, mAP of the trained network and ours.

    python benchmarks/detection_coco.py --weights yolo_fastestv2_coco.npz --images coco128_boxes.npz
    python benchmarks/detection_coco.py ... --phi 4 --steps 16 --calibration 64 --test 128

The weights are the published ones, array by array; the images hold `jpeg`, `jpeg_offsets`, `boxes`
(class, centre x, y, width, height, relative), `box_offsets` and `is_val`. Calibrated without labels
on images that are not of the validation set, with the box head's objective (`OutputTerm`), and
measured on validation images by pycocotools. Writes `benchmarks/results/detection_coco.json` and,
with `--picture`, an image with the boxes of both networks. Everything is simulated in time steps.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import RESULTS, machine, save
from PIL import Image, ImageDraw
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.nn import functional as F

from speck_adacal import AdaptedNetwork, AdaptSettings, OutputTerm, adapt
from speck_adacal.ann import trace

SIDE, CLASSES, ANCHORS = 352, 80, 3
SIZES = torch.tensor(
    [[12.64, 19.39], [37.88, 51.48], [55.71, 138.31], [126.91, 78.23], [131.57, 214.55],
     [279.92, 258.87]]
)  # fmt: skip
LEAST = 0.005  # score of a box that is counted
MOST = 100  # boxes of an image
OVERLAP = 0.45  # of boxes of one class that are taken for the same


def layers(*parts: Any) -> nn.Sequential:
    """Convolutions `(inputs, outputs, kernel, stride, groups)` with batch norm; "relu" between."""
    made: list[nn.Module] = []
    for part in parts:
        if part == "relu":
            made.append(nn.ReLU())
        else:
            inputs, outputs, kernel, stride, groups = part
            conv = nn.Conv2d(
                inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
            )
            made += [conv, nn.BatchNorm2d(outputs)]
    return nn.Sequential(*made)


class Block(nn.Module):
    """A block of ShuffleNetV2; the channels are shuffled by taking every second."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        c, self.stride = channels, stride
        self.branch_main = layers(
            (c, c, 1, 1, 1), "relu", (c, c, 3, stride, c), (c, c, 1, 1, 1), "relu"
        )
        if stride == 2:
            self.branch_proj = layers((c, c, 3, 2, c), (c, c, 1, 1, 1), "relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride == 2:
            return torch.cat((self.branch_proj(x), self.branch_main(x)), 1)
        return torch.cat((x[:, 0::2], self.branch_main(x[:, 1::2])), 1)


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first_conv = layers((3, 24, 3, 2, 1), "relu")
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for number, (channels, count) in enumerate(((24, 4), (48, 8), (96, 4)), start=2):
            blocks = [Block(channels, 2 if i == 0 else 1) for i in range(count)]
            setattr(self, f"stage{number}", nn.Sequential(*blocks))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        near = self.stage3(self.stage2(self.maxpool(self.first_conv(x))))
        return near, self.stage4(near)


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        part = ((72, 72, 5, 1, 72), "relu", (72, 72, 1, 1, 1))
        self.block = layers(*part, *part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x)


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1x1_2, self.conv1x1_3 = (layers((n, 72, 1, 1, 1), "relu") for n in (288, 192))
        self.cls_head_2, self.reg_head_2 = Head(), Head()
        self.cls_head_3, self.reg_head_3 = Head(), Head()

    def forward(self, near: torch.Tensor, far: torch.Tensor) -> list[torch.Tensor]:
        wide = self.conv1x1_3(far)
        fine = self.conv1x1_2(torch.cat((F.interpolate(far, scale_factor=2), near), 1))
        heads = (self.reg_head_2, self.cls_head_2, self.reg_head_3, self.cls_head_3)
        return [head(x) for head, x in zip(heads, (fine, fine, wide, wide), strict=True)]


class YoloFastestV2(nn.Module):
    """Boxes, objectness and classes at stride 16, then at stride 32."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.fpn = Backbone(), Pyramid()
        self.output_reg_layers = nn.Conv2d(72, 4 * ANCHORS, 1)
        self.output_obj_layers = nn.Conv2d(72, ANCHORS, 1)
        self.output_cls_layers = nn.Conv2d(72, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = []
        maps = self.fpn(*self.backbone(x))
        for boxes, kinds in (maps[:2], maps[2:]):
            found += [
                self.output_reg_layers(boxes),
                self.output_obj_layers(kinds),
                self.output_cls_layers(kinds),
            ]
        return tuple(found)


def trained(path: Path) -> nn.Module:
    """The network with its published weights."""
    network = YoloFastestV2()
    with np.load(path) as arrays:
        network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    return network.eval()


def images(data: Any, chosen: np.ndarray) -> torch.Tensor:
    """BGR, 0 to 1, `[n, 3, side, side]`."""
    found = []
    for i in chosen:
        packed = data["jpeg"][data["jpeg_offsets"][i] : data["jpeg_offsets"][i + 1]]
        picture = Image.open(io.BytesIO(packed.tobytes())).convert("RGB")
        found.append(np.asarray(picture)[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(np.stack(found)).float() / 255


def decoded(outputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Boxes of each image, `[n, 6]`: left, top, right, bottom in pixels, score, class."""
    parts = []
    for scale in (0, 1):
        boxes, seen, kinds = outputs[3 * scale : 3 * scale + 3]
        height, width = boxes.shape[2:]
        stride = SIDE // height
        boxes = boxes.unflatten(1, (ANCHORS, 4)).sigmoid()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x = (boxes[:, :, 0] * 2 - 0.5 + columns) * stride
        y = (boxes[:, :, 1] * 2 - 0.5 + rows) * stride
        size = SIZES[ANCHORS * scale :][:ANCHORS].view(1, ANCHORS, 2, 1, 1)
        w, h = ((boxes[:, :, 2:] * 2).square() * size).unbind(2)
        score = seen.sigmoid().unsqueeze(2) * kinds.softmax(1).unsqueeze(1)
        corners = torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 2)
        parts.append(torch.cat((corners, score), 2).flatten(3).permute(0, 1, 3, 2).flatten(1, 2))
    return [_kept(rows) for rows in torch.cat(parts, 1)]


def _kept(rows: torch.Tensor) -> torch.Tensor:
    """The best boxes of each class, none overlapping a better one."""
    place, kind = (rows[:, 4:] > LEAST).nonzero(as_tuple=True)
    boxes, score = rows[place, :4].clamp(0, SIDE), rows[place, 4 + kind]
    order = score.argsort(descending=True)[:1000]
    boxes, score, kind = boxes[order], score[order], kind[order]
    apart = boxes + kind[:, None] * 2 * SIDE  # classes never overlap
    low, high = torch.maximum(apart[:, None, :2], apart[None, :, :2]), apart[:, None, 2:]
    inside = (torch.minimum(high, apart[None, :, 2:]) - low).clamp_min(0).prod(2)
    area = (apart[:, 2:] - apart[:, :2]).prod(1)
    overlap = (inside / (area[:, None] + area[None] - inside)).triu(1) > OVERLAP
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if alive[i]:
            alive &= ~overlap[i]
    found = torch.cat((boxes, score[:, None], kind[:, None].float()), 1)
    return found[alive][:MOST]


def mean_precision(found: list[torch.Tensor], truth: list[np.ndarray]) -> dict[str, float]:
    """mAP of all overlaps and of 0.5, by pycocotools."""
    annotations = [
        {"image_id": i, "category_id": int(c), "bbox": [x - w / 2, y - h / 2, w, h],
         "area": w * h, "iscrowd": 0}
        for i, rows in enumerate(truth)
        for c, x, y, w, h in (rows * [1, SIDE, SIDE, SIDE, SIDE]).tolist()
    ]  # fmt: skip
    boxes = [
        {"image_id": i, "category_id": int(k), "bbox": [a, b, c - a, d - b], "score": s}
        for i, rows in enumerate(found)
        for a, b, c, d, s, k in rows.tolist()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": [{"id": n + 1, **row} for n, row in enumerate(annotations)],
        }
        known.createIndex()
        run = COCOeval(known, known.loadRes(boxes), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {"map": float(run.stats[0]), "map50": float(run.stats[1])}


@torch.no_grad()
def spiking_outputs(
    adapted: AdaptedNetwork, x: torch.Tensor, windows: list[int]
) -> tuple[dict[int, list[torch.Tensor]], float]:
    """Mean outputs after each number of steps in `windows`, and spikes a neuron, step and image."""
    steps, network = adapted.recipe.settings.time_steps, adapted.network
    found: dict[int, list[list[torch.Tensor]]] = {t: [] for t in windows}
    spikes = 0.0
    for part in x.split(4):
        values = network.run(part.unsqueeze(1), time_steps=steps)
        first = adapted.recipe.first_step - 1
        for t in windows:
            start = min(first, t - 1)
            outputs = [values[name][:, start:t].mean(1) for name in adapted.graph.outputs]
            found[t].append(outputs)
        spikes += sum(float(count.sum()) for count in network.spike_counts().values())
    neurons = sum(np.prod(adapted.graph[n].shape) for n in network.spiking_names)
    joined = {t: [torch.cat(p) for p in zip(*parts, strict=True)] for t, parts in found.items()}
    return joined, spikes / (len(x) * neurons * steps)


def picture(path: Path, image: torch.Tensor, rows: list[torch.Tensor], least: float = 0.3) -> None:
    """The image twice, with the boxes of the trained and of the spiking network."""
    pixels = (image.flip(0).permute(1, 2, 0) * 255).byte().numpy()
    whole = Image.new("RGB", (2 * SIDE, SIDE))
    for at, boxes in enumerate(rows):
        part = Image.fromarray(pixels)
        draw = ImageDraw.Draw(part)
        for a, b, c, d, score, kind in boxes.tolist():
            if score >= least:
                draw.rectangle((a, b, c, d), outline=(255, 60, 0), width=2)
                draw.text((a + 3, b + 2), f"{int(kind)} {score:.2f}", fill=(255, 255, 0))
        whole.paste(part, (at * SIDE, 0))
    whole.save(path)


def main() -> None:
    """Measure the trained and the spiking network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--phi", type=int, default=4)
    parser.add_argument("--calibration", type=int, default=64)
    parser.add_argument("--test", type=int, default=128)
    parser.add_argument("--correction", default="auto")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    network, data = trained(arguments.weights), np.load(arguments.images)
    held = data["is_val"].astype(bool)
    known = np.flatnonzero(~held)[: arguments.calibration]
    asked = np.flatnonzero(held)[: arguments.test]
    x = images(data, asked)
    offsets = data["box_offsets"]
    truth = [data["boxes"][offsets[i] : offsets[i + 1]] for i in asked]
    with torch.no_grad():
        parts = [network(part) for part in x.split(8)]
        before = decoded([torch.cat(p) for p in zip(*parts, strict=True)])
    row: dict[str, Any] = {"trained": mean_precision(before, truth)}
    print("trained", row["trained"], flush=True)
    names = trace(network, (3, SIDE, SIDE)).outputs
    heads = tuple(OutputTerm("box_head", names[at : at + 3], anchors=ANCHORS) for at in (0, 3))
    settings = AdaptSettings(
        time_steps=arguments.steps,
        phi=arguments.phi,
        per_channel=True,
        input_coding="analog",
        correction=arguments.correction,
        correction_samples=arguments.calibration,
        batch_size=8,
        outputs=heads,
    )
    started = time.perf_counter()
    adapted = adapt(network, images(data, known), input_shape=(3, SIDE, SIDE), settings=settings)
    row["calibration_seconds"] = round(time.perf_counter() - started, 1)
    row["corrections"] = [r.step for r in adapted.recipe.trace]
    windows = sorted({4, 8, arguments.steps} & set(range(arguments.steps + 1)))
    outputs, row["spikes_per_neuron_and_step"] = spiking_outputs(adapted, x, windows)
    for t in windows:
        after = decoded(outputs[t])
        row[f"steps_{t}"] = mean_precision(after, truth)
        print(f"T = {t}", row[f"steps_{t}"], flush=True)
    row["kept"] = row[f"steps_{arguments.steps}"]["map50"] / row["trained"]["map50"]
    row |= {"phi": arguments.phi, "steps": arguments.steps, "test_images": len(asked)}
    row |= {"calibration_images": len(known), "label": "simulated in time steps"}
    save("detection_coco", {"machine": machine(), "row": row})
    if arguments.picture is not None:
        picture(arguments.picture, x[0], [before[0], after[0]])
    print(f"kept {row['kept']:.1%} of mAP50; written to {os.fspath(RESULTS)}")


if __name__ == "__main__":
    main()
