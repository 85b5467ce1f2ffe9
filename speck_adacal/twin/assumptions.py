"""What is not publicly known of the chip: named, with a default, and switchable.

`docs/assumptions.md` lists each one with its evidence, and the tests in
`tests/twin/test_twin_assumptions.py` show where it matters.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

from pydantic import Field

from speck_adacal.chip_description import ChipDescription
from speck_adacal.validation import checked, one_of

_Spikes = Annotated[int, Field(ge=1, le=64)]


@checked
class Assumptions:
    """How the twin decides what no public source says.

    Attributes:
        overflow: a membrane potential beyond 16 bits `"saturate"`s or `"wrap"`s.
        spikes_per_event: spikes a neuron fires at most for one input event. One on the chip
            (datasheet §3.2.4.6.2); more is for comparing with burst models.
        parallel_spikes_per_event: the same for cores that compute in parallel.
        spike_order: order of the spikes that one input event causes in one core: by row, column
            and feature; by feature, row and column; or the first order backwards.
        arbitration: `"depth_first"`: a spike and all it causes is done before the next spike
            of the same core is delivered; `"breadth_first"`: spikes are delivered in the order
            of their firing. Both agree wherever a core has one source.
        decimator_passes: of each n spikes the `"last"` or the `"first"` passes.
        decimator_before_monitor: the monitor sees decimated spikes only.
        leak_fires: a neuron that a tick of the slow clock lifts to its threshold fires at the
            tick (once), instead of at its next input event.
        tick_before_event: a tick at the very time of an event comes before it.
        lose_event_after_write: the first event that reaches a core after one of its neurons was
            written at run time is lost (seen once by a third party).
        readout_mapping: which readout class a core's channel counts for, in the layout of one
            pixel: `"every_fourth"`: channel 4k is class k+1 and others do not count (sinabs
            docs, chip errata); `"quarter"`: channel c is class c//4 + 1; `"plain"`: c + 1.
        readout_average: a class's value is the `"mean"` of its counts over the window, rounded
            down, or their `"sum"`.
        readout_compare: a class is above the threshold if its value is `">"` (datasheet
            §3.2.5.3) or `">="` it.
        congestion_balancer: a core whose input congestion balancer is on `"never_drops"`, and
            `ChipProgram.notes` says so, or the twin is to `"refuse"` such a configuration.
        hot_pixel_filter: with the hot-pixel filter on, a pixel's own history does not count as
            company (`"ignore_own_history"`), or an event soon after the last of its own pixel is
            blocked (`"block_fast_pixels"`). A window of one pixel asks for no company with either.
        dvs_monitor: the DVS stage's monitor shows the `"region"` of interest, counted from its
            corner (as published programs index it), or the whole `"sensor"`.
    """

    overflow: Annotated[str, one_of("saturate", "wrap")] = "saturate"
    spikes_per_event: _Spikes = 1
    parallel_spikes_per_event: _Spikes = 1
    spike_order: Annotated[str, one_of("row_column_feature", "feature_row_column", "reversed")] = (
        "row_column_feature"
    )
    arbitration: Annotated[str, one_of("depth_first", "breadth_first")] = "depth_first"
    decimator_passes: Annotated[str, one_of("last", "first")] = "last"
    decimator_before_monitor: bool = False
    leak_fires: bool = False
    tick_before_event: bool = True
    lose_event_after_write: bool = False
    readout_mapping: Annotated[str, one_of("every_fourth", "quarter", "plain")] = "every_fourth"
    readout_average: Annotated[str, one_of("mean", "sum")] = "mean"
    readout_compare: Annotated[str, one_of(">", ">=")] = ">"
    congestion_balancer: Annotated[str, one_of("never_drops", "refuse")] = "never_drops"
    hot_pixel_filter: Annotated[str, one_of("ignore_own_history", "block_fast_pixels")] = (
        "ignore_own_history"
    )
    dvs_monitor: Annotated[str, one_of("region", "sensor")] = "region"

    def spikes_of_core(self, core: int, chip: ChipDescription) -> int:
        """Spikes a neuron of `core` fires at most for one input event."""
        return (
            self.parallel_spikes_per_event if core in chip.parallel_cores else self.spikes_per_event
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
