"""What the report shows beyond accuracy and cost, measured on a part of the samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.adaptation.candidates import phi_candidates, rho_candidates
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.adaptation.thresholds import observe, thresholds
from speck_adacal.chip.deploy import Deployment
from speck_adacal.errors import CalibrationError
from speck_adacal.events.labels import checked_labels
from speck_adacal.events.types import Events
from speck_adacal.inspection.autopsy import Autopsy, autopsy
from speck_adacal.inspection.exit_calibration import held_out_exits, windowed_output
from speck_adacal.inspection.policy_comparison import PolicyResult, compare_policies
from speck_adacal.readout.early_exit import FEWEST
from speck_adacal.reporting.autopsy_table import autopsy_to_dict
from speck_adacal.samples.batches import Batches, encode_for
from speck_adacal.snn.layer_names import layer_names
from speck_adacal.twin import LoadTrace, Twin, TwinRun
from speck_adacal.twin_search.progress import Counter, Progress

MOST_SAMPLES = 200  # of all that is simulated here
_SENSITIVITY_SAMPLES = 64
_PHIS = (1, 2, 3, 4, 6, 8)
_RHOS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
_LOSSES = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.05)
_WINDOWS = 40
_PARTS = 5


@dataclass(frozen=True)
class LoadOverTime:
    """SynOps a second of every core through the busiest recording (simulated).

    Attributes:
        recording: its index.
        window_us: length of a window.
        start_us: where each window starts.
        synops_per_s: by core in use, one value for each window.
        worst_per_s: by core, in the worst window of that length at any place.
    """

    recording: int
    window_us: int
    start_us: tuple[int, ...]
    synops_per_s: dict[int, tuple[float, ...]]
    worst_per_s: dict[int, float]


@dataclass(frozen=True)
class ExitPoint:
    """An early exit calibrated to a loss on one half of the samples and measured on the other.

    Attributes:
        allowed_loss: what the calibration was allowed, a part of one.
        accuracy, accuracy_full: with the exit, and read to the end.
        time: mean share of a recording's windows that were read.
        synops: mean SynOps done by then, of those of the whole recording (simulated).
    """

    allowed_loss: float
    accuracy: float
    accuracy_full: float
    time: float
    synops: float


@dataclass(frozen=True)
class HeatMap:
    """Sensitivity of every layer over φ or ρ (level snn, simulated).

    Attributes:
        knob: `"φ"` or `"ρ"`.
        values: of the knob.
        layers: names.
        harm: `[layers][values]`, KL (nats, eq. 9, in situ) above the network's own.
    """

    knob: str
    values: tuple[float, ...]
    layers: tuple[str, ...]
    harm: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Details:
    """See the classes of its fields; `exits` is empty where there are too few samples."""

    samples: int
    autopsy: Autopsy
    policies: tuple[PolicyResult, ...]
    load: LoadOverTime
    exits: tuple[ExitPoint, ...]
    heat_maps: tuple[HeatMap, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "kind": "simulated",
            "samples": self.samples,
            "autopsy": autopsy_to_dict(self.autopsy),
            "policies": [asdict(row) for row in self.policies],
            "load": asdict(self.load),
            "early_exit": [asdict(point) for point in self.exits],
            "sensitivity": [asdict(heat) for heat in self.heat_maps],
        }


def measure_details(
    deployment: Deployment,
    samples: Any,
    labels: npt.ArrayLike,
    *,
    progress: Progress | None = None,
) -> Details:
    """Measure on the first 200 samples at most.

    Args:
        deployment: the network on the chip.
        samples: images or recordings, as for `simulate`.
        labels: int `[n]`.
        progress: told how many of how many parts are measured, and the next one.
    """
    counter = Counter(_PARTS, progress)
    counter.begin("load of the cores")
    adapted = deployment.adapted
    truth = checked_labels(labels, len(samples), deployment.classes)[:MOST_SAMPLES]
    part = samples[:MOST_SAMPLES]
    batches = encode_for(part, adapted.ann.input_shape, adapted.recipe)
    recordings = batches.recordings()
    twin = Twin.from_configuration(
        deployment.mapped.configuration,
        chip=deployment.chip,
        slow_clock_hz=deployment.slow_clock_hz,
    )
    runs = twin.run_many(recordings, record_load=True)
    traces = [run.load for run in runs if run.load is not None]
    if not any(len(trace.t_us) for trace in traces):
        raise CalibrationError(
            "No sample reaches the chip with an event (black images, or empty recordings), so "
            "there is nothing to measure; give others, or a report without samples."
        )
    counter.begin("what quantisation did")
    looked = autopsy(deployment, part)
    counter.begin("other policies")
    policies = compare_policies(
        adapted, recordings, truth, chip=deployment.chip, cores=deployment.cores
    )
    counter.begin("early exits")
    exits = _exits(deployment, recordings, runs, traces, truth)
    counter.begin("sensitivity to φ and ρ")
    return Details(
        samples=len(truth),
        autopsy=looked,
        policies=policies,
        load=_load(deployment, recordings, traces),
        exits=exits,
        heat_maps=_heat_maps(deployment, batches),
    )


def _load(
    deployment: Deployment, recordings: list[Events], traces: list[LoadTrace]
) -> LoadOverTime:
    busiest = int(np.argmax([trace.counts[:, :, 1].sum() for trace in traces]))
    trace = traces[busiest]
    window_us = max(1, recordings[busiest].duration_us // _WINDOWS)
    profiles = {core: trace.profile(core, window_us) for core in deployment.cores}
    return LoadOverTime(
        recording=busiest,
        window_us=window_us,
        start_us=tuple(profiles[deployment.cores[0]][0].tolist()),
        synops_per_s={core: tuple(rate.tolist()) for core, (_, rate) in profiles.items()},
        worst_per_s={core: trace.worst(core, window_us).per_s for core in deployment.cores},
    )


def _exits(
    deployment: Deployment,
    recordings: list[Events],
    runs: list[TwinRun],
    traces: list[LoadTrace],
    labels: npt.NDArray[np.int64],
) -> tuple[ExitPoint, ...]:
    if len(runs) < 2 * FEWEST:
        return ()
    longest = max(recording.duration_us for recording in recordings)
    window_us = max(1, -(-longest // _WINDOWS))
    found = windowed_output(
        deployment.class_map,
        [run.spikes[deployment.readout_core] for run in runs],
        window_us=window_us,
        windows=-(-longest // window_us) or 1,
    )
    right = found.leaders == labels[:, None]
    spent = np.stack([_spent(trace, window_us, right.shape[1]) for trace in traces])
    each = np.arange(len(runs))
    points = []
    for loss in _LOSSES:
        exits = held_out_exits(found, labels, loss)
        points.append(
            ExitPoint(
                allowed_loss=loss,
                accuracy=float(right[each, exits].mean()),
                accuracy_full=float(right[:, -1].mean()),
                time=float((exits + 1).mean() / right.shape[1]),
                synops=float(spent[each, exits].sum() / max(1, spent[:, -1].sum())),
            )
        )
    return tuple(points)


def _spent(trace: LoadTrace, window_us: int, windows: int) -> npt.NDArray[np.int64]:
    """SynOps of all cores until the end of each window."""
    slot = np.minimum(trace.t_us // window_us, windows - 1)
    work = trace.counts[:, :, 1].sum(axis=1)
    return np.bincount(slot, weights=work, minlength=windows).cumsum().astype(np.int64)


def _heat_maps(deployment: Deployment, batches: Batches) -> tuple[HeatMap, ...]:
    adapted = deployment.adapted
    settings = adapted.recipe.settings
    some = batches.between(0, _SENSITIVITY_SAMPLES)
    evaluator = Evaluator(adapted.reference, some, settings, temperature=None)
    statistics = observe(adapted.reference, some)
    at = {phi: thresholds(statistics, settings, phi) for phi in _PHIS}
    names = layer_names(adapted.graph, adapted.recipe)
    maps = []
    for knob, values, candidates in (
        ("φ", _PHIS, phi_candidates(adapted.recipe, at, _PHIS)),
        ("ρ", _RHOS, rho_candidates(adapted.recipe, _RHOS)),
    ):
        table = sensitivity(evaluator, adapted.recipe, candidates, graph=adapted.graph)
        layers = tuple(names[name] for name in table.layers)
        harm = tuple(tuple(row) for row in table.harm.tolist())
        maps.append(HeatMap(knob, tuple(map(float, values)), layers, harm))
    return tuple(maps)
