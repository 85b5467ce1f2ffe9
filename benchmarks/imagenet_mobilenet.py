"""A depthwise ImageNet network in time steps: MobileNetV1 0.5, agreement with the trained network.

    python benchmarks/imagenet_mobilenet.py --weights mobilenet_v1_050_160.npz --images images.npz
    python benchmarks/imagenet_mobilenet.py ... --phi 4 --steps 8 --calibration 128 --test 500

The weights are `weight_i`, `bias_i` of each convolution and `layers` (JSON: stride, padding,
groups, activation); the images `jpeg`, `jpeg_offsets` and `labels`. The images at hand are probably
training images of the network, so that agreement and loss against the network count, and not
accuracy. Calibrated without labels on every second image, measured on the others. Writes
`benchmarks/results/imagenet_mobilenet.json`. Simulated in time steps.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, save
from PIL import Image
from torch import nn

from speck_adacal import AdaptSettings, adapt

SIDE = 160


def trained(path: Path) -> nn.Module:
    """The network, layer by layer as the file says."""
    parts: list[nn.Module] = []
    with np.load(path) as arrays:
        number = 0
        for layer in json.loads(str(arrays["layers"])):
            if layer["kind"] != "conv":
                parts.append(POOLS[layer["kind"]]())
                continue
            weight, bias = (torch.from_numpy(arrays[f"{n}_{number}"]) for n in ("weight", "bias"))
            number += 1
            left, right, top, bottom = layer["pad_left_right_top_bottom"]
            even = left == right == top == bottom
            if not even:
                parts.append(nn.ZeroPad2d((left, right, top, bottom)))
            groups = layer["groups"]
            conv = nn.Conv2d(
                weight.shape[1] * groups,
                len(weight),
                tuple(weight.shape[2:]),
                tuple(layer["stride"]),
                left if even else 0,
                groups=groups,
            )
            conv.load_state_dict({"weight": weight.float(), "bias": bias.float()})
            parts.append(conv)
            if layer["activation"] == "relu6":
                parts.append(nn.ReLU6())
    return nn.Sequential(*parts).eval()


POOLS = {"avg_pool": lambda: nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten}


def images(data: Any, chosen: np.ndarray) -> torch.Tensor:
    """RGB `(pixel - 128) / 128`, `[n, 3, side, side]`."""
    found = []
    for i in chosen:
        packed = data["jpeg"][data["jpeg_offsets"][i] : data["jpeg_offsets"][i + 1]]
        picture = Image.open(io.BytesIO(packed.tobytes())).convert("RGB")
        small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        found.append(np.asarray(small).transpose(2, 0, 1))
    return (torch.from_numpy(np.stack(found)).float() - 128) / 128


def main() -> None:
    """Calibrate, and measure after each number of steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--phi", type=int, default=4)
    parser.add_argument("--calibration", type=int, default=128)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--correction", default="auto")
    arguments = parser.parse_args()
    network, data = trained(arguments.weights), np.load(arguments.images)
    count = len(data["labels"])
    known = np.arange(0, count, 2)[:: max(1, count // 2 // arguments.calibration)]
    asked = np.arange(1, count, 2)[:: max(1, count // 2 // arguments.test)][: arguments.test]
    known = known[: arguments.calibration]
    x, labels = images(data, asked), torch.from_numpy(data["labels"][asked]).long() + 1
    settings = AdaptSettings(
        time_steps=arguments.steps,
        phi=arguments.phi,
        per_channel=True,
        input_coding="analog",
        correction=arguments.correction,
        batch_size=16,
    )
    started = time.perf_counter()
    adapted = adapt(network, images(data, known), input_shape=(3, SIDE, SIDE), settings=settings)
    row: dict[str, Any] = {"calibration_seconds": round(time.perf_counter() - started, 1)}
    row["corrections"] = [r.step for r in adapted.recipe.trace]
    with torch.no_grad():
        wanted = torch.cat([network(part) for part in x.split(32)])
        output = adapted.graph.outputs[0]
        runs = [
            adapted.network.run(part.unsqueeze(1), time_steps=arguments.steps)[output]
            for part in x.split(8)
        ]
    found = adapted.recipe.decision_output(torch.cat(runs)).flatten(1).argmax(1)
    same = found == wanted.argmax(1)
    row |= {
        "trained": float((wanted.argmax(1) == labels).float().mean()),
        "spiking": float((found == labels).float().mean()),
        "agreement": float(same.float().mean()),
        "phi": arguments.phi,
        "steps": arguments.steps,
        "test_images": len(asked),
        "calibration_images": len(known),
        "label": "simulated in time steps; probably training images of the network",
    }
    print(json.dumps(row))
    save("imagenet_mobilenet", {"machine": machine(), "row": row})


if __name__ == "__main__":
    main()
