"""From a trained network to simulated decisions, step by step, beside sinabs' own way.

    python benchmarks/bench_end_to_end.py [--digits 400] [--repeats 5]

The shipped digits network, its shipped calibration digits and test digits, default settings.
sinabs' way is `from_model`, `DynapcnnNetwork` and `make_config` with the same chip, and its
time-stepped run of the discretised network on the same rate-coded digits at T = 8 (as many events
as the twin gets). Each step is run in turn and its median given. Writes
`benchmarks/results/bench_end_to_end.json`. Wall time; the chip is simulated.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from machine import machine, save

from speck_adacal import AdaptSettings, adapt, deploy, simulate
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.chip_description import usual_board
from speck_adacal.datasets.demo import demo_checkpoint_path, load_demo_digits
from speck_adacal.samples.batches import encode_samples
from speck_adacal.virtual_samna import ensure_samna

CHIP = "speck2f"
SHAPE = (1, 28, 28)


class Timed:
    """Seconds of each step, one list a step."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work and note how long it took."""
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            done = work()
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)
        return done

    def medians(self) -> dict[str, float]:
        """Median of each step; the first run, which compiles and warms caches, left out."""
        return {name: statistics.median(all_of[1:]) for name, all_of in self.seconds.items()}


def ours(timed: Timed, digits: Any, count: int) -> None:
    """adapt, deploy, simulate."""
    settings = AdaptSettings()
    network = load_network(demo_checkpoint_path())
    calibration = digits.calibration_images
    adapted = timed.step(
        "adapt", lambda: adapt(network, calibration, input_shape=SHAPE, settings=settings)
    )
    deployment = timed.step("deploy", lambda: deploy(adapted, chip=CHIP))
    timed.step("simulate (twin)", lambda: simulate(deployment, digits.images[:count]))


def of_sinabs(timed: Timed, digits: Any, count: int) -> None:
    """from_model, DynapcnnNetwork and make_config, a time-stepped run."""
    from sinabs.backend.dynapcnn import DynapcnnNetwork
    from sinabs.from_torch import from_model

    settings = AdaptSettings()
    network = load_network(demo_checkpoint_path())

    def mapped() -> DynapcnnNetwork:
        chip = DynapcnnNetwork(spiking.spiking_model, input_shape=SHAPE, discretize=True)
        chip.make_config(device=usual_board(CHIP))
        return chip

    def run() -> None:
        with torch.no_grad():
            for batch in encode_samples(digits.images[:count], SHAPE, settings):
                for layer in chip.dynapcnn_layers.values():
                    layer.spk_layer.v_mem = torch.zeros_like(layer.spk_layer.v_mem)
                chip(batch.flatten(0, 1))

    spiking = timed.step(
        "from_model",
        lambda: from_model(
            network,
            input_shape=SHAPE,
            num_timesteps=settings.time_steps,
            add_spiking_output=True,
        ),
    )
    chip = timed.step("DynapcnnNetwork, make_config", mapped)
    timed.step("run (time-stepped)", run)


def main() -> None:
    """Time all steps and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    ensure_samna()
    ran_on, digits = machine(), load_demo_digits()
    both = {"speck_adacal": Timed(), "sinabs": Timed()}
    for _ in range(args.repeats + 1):
        ours(both["speck_adacal"], digits, args.digits)
        of_sinabs(both["sinabs"], digits, args.digits)
    medians = {name: timed.medians() for name, timed in both.items()}
    for name, steps in medians.items():
        print(name, *(f"{step}: {seconds:.3f} s" for step, seconds in steps.items()), sep="  ")
    result = {
        "command": "python benchmarks/bench_end_to_end.py",
        "digits": args.digits,
        "calibration": len(digits.calibration_images),
        "repeats": args.repeats,
        "machine": ran_on,
        "seconds": medians,
    }
    save("bench_end_to_end", result)


if __name__ == "__main__":
    main()
