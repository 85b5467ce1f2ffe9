"""What a front's chosen point changes: accuracy, SynOps, and the load of the busiest core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speck_adacal.chip.deploy import deploy_network
from speck_adacal.events.types import Events
from speck_adacal.inspection.core_load import WINDOW_US, core_loads
from speck_adacal.twin_search.front import FrontPoint


@dataclass(frozen=True)
class PointFigures:
    """What a point was measured at on the held-out recordings; all simulated.

    Attributes:
        accuracy, standard_error: parts of one.
        synops: a recording.
        worst_core_synops_per_s: of the busiest core in its busiest millisecond.
    """

    accuracy: float
    standard_error: float
    synops: float
    worst_core_synops_per_s: float


@dataclass(frozen=True)
class BeforeAfter:
    """The network as it came and the chosen point, on the same held-out recordings.

    Attributes:
        before, after: their figures.
        recordings: how many there were.
    """

    before: PointFigures
    after: PointFigures
    recordings: int

    def __str__(self) -> str:
        one, two = self.before, self.after
        loads = [x.worst_core_synops_per_s / 1e6 for x in (one, two)]
        return (
            f"Before -> after, on {self.recordings} recordings that neither the search nor the "
            f"choice saw: accuracy {100 * one.accuracy:.1f} -> {100 * two.accuracy:.1f} % "
            f"(± {100 * two.standard_error:.1f}), SynOps {one.synops:,.0f} -> {two.synops:,.0f}, "
            f"worst core load {loads[0]:,.1f} -> {loads[1]:,.1f} M SynOps/s (its busiest "
            f"{WINDOW_US / 1000:g} ms)."
        )


def point_figures(point: FrontPoint, recordings: Sequence[Events], chip: str) -> PointFigures:
    """A point's figures, with the load of its cores.

    Args:
        point: of a front for `chip`.
        recordings: the held-out ones, as the point's network sees them.
        chip: a name of `known_chips()`.
    """
    loads = core_loads(deploy_network(point.network, chip=chip), recordings)
    return PointFigures(
        point.accuracy,
        point.standard_error,
        point.held_out_synops,
        max(load.worst_synops_per_s for load in loads),
    )
