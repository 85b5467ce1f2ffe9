"""Replay a bundle's known answers: does what is there now still do what was recorded?"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import Bundle
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.files import KNOWN_ANSWERS
from speck_adacal.chip.known_answers import answers_of
from speck_adacal.errors import BundleError
from speck_adacal.events import Events


@dataclass(frozen=True)
class Verification:
    """The outcome of a replay.

    Attributes:
        same: everything is as recorded.
        events: input events replayed.
        difference: the first difference, in words: the first core in order of the signal.
    """

    same: bool
    events: int
    difference: str = ""


def verify_bundle(bundle: Bundle, deployment: Deployment) -> Verification:
    """Replay the known answers of a bundle on the twin.

    Raises:
        BundleError: the bundle has no sound known answers.
    """
    recorded = _recorded(bundle)
    events = Events(
        t_us=recorded["t_us"],
        x=recorded["x"],
        y=recorded["y"],
        channel=recorded["channel"],
        shape=deployment.layers[0].folded.in_shape,
    )
    found = answers_of(deployment, events)
    for layer, core in zip(deployment.layers, deployment.cores, strict=True):
        for what in ("spikes_per_core", "synops_per_core"):
            then, now = int(recorded[what][core]), int(found[what][core])
            if then != now:
                name = what.split("_")[0].replace("synops", "SynOps")
                said = f"core {core} (layer {layer.folded.name}): {now} {name}, recorded {then}"
                return Verification(False, len(events), said)
    for what in ("output_t_us", "output_channel"):
        if not np.array_equal(recorded[what], found[what]):
            said = f"core {deployment.readout_core}: the readout's spikes differ in {what}"
            return Verification(False, len(events), said)
    return Verification(True, len(events))


def _recorded(bundle: Bundle) -> dict[str, npt.NDArray[Any]]:
    inputs = ("t_us", "x", "y", "channel")
    needed = (*inputs, "spikes_per_core", "synops_per_core", "output_t_us", "output_channel")
    try:
        with np.load(io.BytesIO(bundle.member(KNOWN_ANSWERS)), allow_pickle=False) as file:
            return {name: file[name] for name in needed}
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(
            f"{KNOWN_ANSWERS} in {bundle.path} is damaged ({error}); deploy again."
        ) from error
