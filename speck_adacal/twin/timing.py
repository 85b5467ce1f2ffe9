"""How long the chip takes: a per-core latency fitted to two published figures. An estimate."""

from __future__ import annotations

from speck_adacal.chip_description import ChipDescription
from speck_adacal.twin.program import ChipProgram
from speck_adacal.validation import PositiveOrZero, checked


@checked
class LatencyModel:
    """Time from an input event to the spike it causes.

    Attributes:
        first_core_us: for the first core an event passes.
        further_core_us: added by every further core.

    Raises:
        SettingsError: a figure is negative.
    """

    first_core_us: PositiveOrZero
    further_core_us: PositiveOrZero

    @classmethod
    def published(cls, chip: ChipDescription) -> LatencyModel:
        """A straight line through the published latencies of one core and of all in a row."""
        first, all_cores = chip.latency_one_core_us, chip.latency_all_cores_us
        return cls(first, (all_cores - first) / max(len(chip.cores) - 1, 1))

    def core_latency_us(self, program: ChipProgram) -> dict[int, int]:
        """Whole µs, rounded, until each core's spikes, by its longest path from an input."""
        depth: dict[int, int] = {}
        for core in program.topological_order():
            sources = [depth[s] for s in program.sources_of(core) if s in depth]
            depth[core] = 1 + max(sources, default=0)
        return {
            core: round(self.first_core_us + self.further_core_us * (n - 1))
            for core, n in depth.items()
        }
