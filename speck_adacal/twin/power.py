"""Power of a simulated run. Always an estimate: no public source gives the energy of a SynOp.

The model is a straight line per rail: `P = idle + e_synop * SynOps/s + e_spike * spikes/s +
e_event * events/s`. The idle figures are published (see `chip_configs`); the energies are zero
until the caller sets them or fits them to a power recording of their own board.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import RAILS, ChipDescription
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.twin.result import TwinRun

TERMS = ("synop", "spike", "event")


@dataclass(frozen=True)
class Constant:
    """One constant of the model.

    Attributes:
        value: in W (idle) or J (energy of one SynOp, spike or event).
        source: where it comes from.
    """

    value: float
    source: str


@dataclass(frozen=True)
class PowerEstimate:
    """Estimated mean power of a run. `kind` is always `"estimated"`.

    Attributes:
        rails_w: by rail, in W.
        duration_s: length of the run.
        kind: how the figure came about.
        sources: source of every constant used, by name.
    """

    rails_w: dict[str, float]
    duration_s: float
    kind: str
    sources: dict[str, str]

    @property
    def total_w(self) -> float:
        """Sum of the rails, W."""
        return sum(self.rails_w.values())

    @property
    def energy_j(self) -> float:
        """Energy of the whole run, J."""
        return self.total_w * self.duration_s


@dataclass(frozen=True)
class Activity:
    """What a run did, as rates per second.

    Attributes:
        synop, spike, event: SynOps, spikes and input events of all cores, per second.
        duration_s: length of the run.
    """

    synop: float
    spike: float
    event: float
    duration_s: float

    @classmethod
    def of(cls, run: TwinRun, duration_us: int | None = None) -> Activity:
        """Activity of a run over its length, or over `duration_us`.

        Raises:
            SettingsError: the run has no length.
        """
        length = run.end_us if duration_us is None else duration_us
        if length <= 0:
            raise SettingsError(
                f"A power estimate needs a run of at least 1 µs, found {length} µs; give the "
                "recording's duration_us."
            )
        seconds = length * 1e-6
        synop, spike, event = (
            int(count.sum()) / seconds
            for count in (run.synops_per_core, run.spikes_per_core, run.events_per_core)
        )
        return cls(synop, spike, event, seconds)


@dataclass(frozen=True)
class PowerModel:
    """Constants by rail.

    Attributes:
        idle: idle power of each rail, W.
        energies: energy of one `"synop"`, `"spike"` or `"event"` on a rail, J; missing is zero.
    """

    idle: dict[str, Constant]
    energies: dict[str, dict[str, Constant]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [rail for rail in (*self.idle, *self.energies) if rail not in RAILS]
        unknown += [t for terms in self.energies.values() for t in terms if t not in TERMS]
        if unknown:
            raise SettingsError(
                f"A power model has the rails {', '.join(RAILS)} and the terms "
                f"{', '.join(TERMS)}, found {unknown[0]!r}."
            )

    @classmethod
    def published(cls, chip: ChipDescription) -> PowerModel:
        """Published idle figures of the dev kit's rails; energies zero."""
        return cls(
            {
                rail: Constant(chip.idle_power_w[rail], chip.quantities[f"power.{rail}_w"].source)
                for rail in RAILS
            }
        )

    def with_energy(self, rail: str, term: str, joule: float, source: str) -> PowerModel:
        """A copy with one energy set, e.g. `("logic", "synop", 2e-12, "my board")`."""
        terms = {**self.energies.get(rail, {}), term: Constant(joule, source)}
        return replace(self, energies={**self.energies, rail: terms})

    def estimate(self, activity: Activity) -> PowerEstimate:
        """Mean power of a run."""
        rails, sources = {}, {}
        for rail, idle in self.idle.items():
            rails[rail] = idle.value
            sources[f"{rail} idle"] = idle.source
            for term, energy in self.energies.get(rail, {}).items():
                rails[rail] += energy.value * getattr(activity, term)
                sources[f"{rail} {term}"] = energy.source
        return PowerEstimate(rails, activity.duration_s, "estimated", sources)


def fit_power_model(
    activities: Sequence[Activity],
    rails_w: dict[str, npt.ArrayLike],
    *,
    terms: Sequence[str] = ("synop",),
    source: str,
) -> PowerModel:
    """Fit idle power and energies to measured power, rail by rail, by least squares.

    Args:
        activities: simulated activity of `n` runs.
        rails_w: mean power measured on the user's board during the same runs, `[n]` W by rail.
        terms: which energies to fit, of `"synop"`, `"spike"` and `"event"`.
        source: says what was measured, e.g. the board's serial number and date.

    Raises:
        CalibrationError: too few runs for the number of constants, or activities that do not
            differ enough to tell the constants apart, or powers that are not finite.
    """
    columns = [np.ones(len(activities))]
    columns += [np.array([getattr(a, term) for a in activities], dtype=float) for term in terms]
    scales = [float(np.abs(column).max(initial=0.0)) or 1.0 for column in columns]
    design = np.stack([c / s for c, s in zip(columns, scales, strict=True)], axis=1)
    if len(activities) < len(columns) or np.linalg.cond(design) > 1e6:
        raise CalibrationError(
            f"{len(activities)} runs do not determine {len(columns)} constants (idle, "
            f"{', '.join(terms)}); measure more runs of different activity, or fit fewer terms."
        )
    model = PowerModel({})
    for rail, measured in rails_w.items():
        power = np.asarray(measured, dtype=float)
        if power.shape != (len(activities),) or not np.isfinite(power).all():
            raise CalibrationError(
                f"The power of rail {rail!r} needs {len(activities)} finite values in W, one a "
                f"run, found shape {power.shape}."
            )
        found = np.linalg.lstsq(design, power, rcond=None)[0] / scales
        model = replace(model, idle={**model.idle, rail: Constant(float(found[0]), source)})
        for term, joule in zip(terms, found[1:], strict=True):
            model = model.with_energy(rail, term, float(joule), source)
    return model
