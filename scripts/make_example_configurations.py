"""Make `chip_configs/examples/`: configurations of the shipped networks, each with a report.

    python scripts/make_example_configurations.py [NAME ...]

Everything comes from files that are shipped: networks and digits in `datasets/`, and the camera
model for recordings. Two runs on one machine write the same bytes; another processor's float
arithmetic may move a few integers by one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speck_adacal import AdaptSettings, adapt, deploy, simulate
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import new_file
from speck_adacal.bundles.chip_configuration import ChipConfiguration, configuration_of
from speck_adacal.bundles.configuration_json import dump_configuration
from speck_adacal.chip.deploy import Deployment
from speck_adacal.datasets.camera_sets import simulated_recordings
from speck_adacal.datasets.demo import load_demo_digits
from speck_adacal.reporting.summary import layer_rows
from speck_adacal.resources import resource_path

FOLDER = Path(__file__).resolve().parents[1] / "chip_configs" / "examples"
CALIBRATION, TRIED = 64, 100


@dataclass(frozen=True)
class Example:
    """One configuration to make.

    Attributes:
        network: file in `datasets/`.
        chip: the chip it is for.
        input_shape: of the network.
        samples: of the calibration or test images, what the network sees.
        seen: the same in words.
        settings: of the adaptation.
    """

    network: str
    chip: str
    input_shape: tuple[int, int, int]
    samples: Callable[[Any, int], Any]
    seen: str
    settings: AdaptSettings


def as_images(images: Any, seed: int) -> Any:
    """The digits as they are."""
    return images


def through_camera(images: Any, seed: int) -> Any:
    """What the camera model records of the digits; other noise for every seed."""
    return list(simulated_recordings(images, seed=seed))


_RATE_CODED = "shipped MNIST digits, rate-coded: {steps} steps, at most {burst} events a step"
EXAMPLES = {
    "digits_speck2f": Example(
        "digits_cnn", "speck2f", (1, 28, 28), as_images, _RATE_CODED, AdaptSettings(hold_out=False)
    ),
    "digits_speck2e": Example(
        "digits_cnn",
        "speck2e",
        (1, 28, 28),
        as_images,
        _RATE_CODED,
        AdaptSettings(time_steps=4, hold_out=False),
    ),
    "nmnist_speck2f": Example(
        "nmnist_cnn",
        "speck2f",
        (2, 34, 34),
        through_camera,
        "shipped MNIST digits through the camera model (no real recordings)",
        AdaptSettings(time_steps=16, reset_each=True, hold_out=False),
    ),
}


def make(name: str) -> tuple[ChipConfiguration, str]:
    """The configuration of one example, and its report in Markdown."""
    example, digits = EXAMPLES[name], load_demo_digits()
    network = load_network(resource_path("datasets", f"{example.network}.safetensors"))
    calibration = example.samples(digits.calibration_images[:CALIBRATION], 0)
    adapted = adapt(
        network, calibration, input_shape=example.input_shape, settings=example.settings
    )
    deployment = deploy(adapted, chip=example.chip)
    found = simulate(deployment, example.samples(digits.images[:TRIED], 1))
    accuracy = found.accuracy(digits.labels[:TRIED])
    report = _report(name, example, deployment, accuracy, float(found.synops.mean()))
    return configuration_of(deployment), report


def _report(
    name: str, example: Example, deployment: Deployment, accuracy: float, synops: float
) -> str:
    settings = example.settings
    seen = example.seen.format(steps=settings.time_steps, burst=settings.input_burst)
    rows = [
        f"| {row.core} | {row.name} | {row.phi} | {row.rho:g} | {row.threshold_integer} "
        f"| {row.weight_levels} | {row.limited_by} | {row.kernel_used:,} of "
        f"{row.kernel_available:,} | {row.neuron_used:,} of {row.neuron_available:,} |"
        for row in layer_rows(deployment)
    ]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"`datasets/{example.network}.safetensors` on {example.chip}, in `{name}.json`.",
            "",
            "| | |",
            "|---|---|",
            f"| input | {seen} |",
            f"| calibrated on | {CALIBRATION} of the shipped training digits |",
            f"| accuracy (simulated on the twin) | {100 * accuracy:.1f} % of {TRIED} of the "
            "shipped test digits |",
            f"| SynOps a sample (simulated on the twin) | {synops:,.0f} |",
            f"| time steps | {settings.time_steps} |",
            f"| made by | `python scripts/make_example_configurations.py {name}` |",
            "",
            "| core | layer | φ | ρ | threshold | weight levels | scale limited by "
            "| kernel words | neuron words |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "The layout of the JSON is in `docs/spec-bundle.md`; no chip has run it.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXAMPLES))
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    for name in args.names or EXAMPLES:
        configuration, report = make(name)
        with new_file(args.out / f"{name}.json", force=True) as temporary:
            temporary.write_bytes(dump_configuration(configuration))
        with new_file(args.out / f"{name}.md", force=True) as temporary:
            temporary.write_text(report, encoding="utf-8")
        print(args.out / f"{name}.json")


if __name__ == "__main__":
    main()
