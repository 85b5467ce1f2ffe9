"""A simulation as plain values, and as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import new_file
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import Simulation
from speck_adacal.reporting.summary import layer_rows


def simulation_to_dict(
    deployment: Deployment, simulation: Simulation, labels: npt.NDArray[np.int64] | None
) -> dict[str, Any]:
    """Plain values of a simulation, for JSON."""
    results: dict[str, Any] = {
        "kind": "simulated",
        "chip": deployment.chip,
        "samples": len(simulation),
        "events_per_sample": float(simulation.events.mean()),
        "synops_per_sample": float(simulation.synops.mean()),
        "undecided": int(np.count_nonzero(simulation.decisions < 0)),
        "decisions": simulation.decisions.tolist(),
        "layers": [row.to_dict() for row in layer_rows(deployment, simulation)],
    }
    verdict = deployment.adapted.recipe.verdict
    results["verdict"] = None if verdict is None else verdict.to_dict()
    if labels is not None:
        results["accuracy"] = simulation.accuracy(labels)
    if simulation.chip_decisions:
        results["chip_readout"] = chip_readout_to_dict(simulation, labels)
    return results


def chip_readout_to_dict(
    simulation: Simulation, labels: npt.NDArray[np.int64] | None
) -> dict[str, Any]:
    """How often the chip's read-out layer said a class or nothing, of all its looks."""
    said = np.concatenate([one.label for one in simulation.chip_decisions])
    looks = max(len(said), 1)
    found: dict[str, Any] = {"looks": len(said)}
    found["nothing"] = int(np.count_nonzero(said < 0)) / looks
    if labels is not None:
        shown = np.repeat(labels, [len(one) for one in simulation.chip_decisions])
        found["right"] = int(np.count_nonzero(said == shown)) / looks
        found["wrong"] = int(np.count_nonzero((said != shown) & (said >= 0))) / looks
    return found


def write_simulation(
    simulation: Simulation,
    labels: npt.NDArray[np.int64] | None,
    path: Path,
    *,
    force: bool = False,
) -> None:
    """Write decisions, counts and output spikes as `.npz`.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "decisions": simulation.decisions,
        "class_counts": simulation.class_counts,
        "events": simulation.events,
        "spikes_per_core": simulation.spikes_per_core,
        "synops_per_core": simulation.synops_per_core,
        "output_t_us": np.concatenate([spikes.t_us for spikes in simulation.output]),
        "output_class": np.concatenate(simulation.output_class),
        "output_offsets": np.cumsum([0, *(len(spikes.t_us) for spikes in simulation.output)]),
    }
    if labels is not None:
        arrays["labels"] = labels
    with new_file(path, force=force) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
