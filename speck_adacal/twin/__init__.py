"""The chip twin: an event-driven, integer-exact simulator of Speck."""

from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.checks import check_program
from speck_adacal.twin.from_samna import program_from_configuration
from speck_adacal.twin.headroom import CoreHeadroom, Remedy, core_headroom, try_remedies
from speck_adacal.twin.load import LoadTrace, WorstWindow
from speck_adacal.twin.power import (
    Activity,
    Constant,
    PowerEstimate,
    PowerModel,
    fit_power_model,
)
from speck_adacal.twin.program import (
    ChipProgram,
    CoreProgram,
    Destination,
    DvsFilterProgram,
    DvsProgram,
    ReadoutProgram,
)
from speck_adacal.twin.readout import ReadoutRun
from speck_adacal.twin.result import TwinRun
from speck_adacal.twin.running import PreparedInput
from speck_adacal.twin.simulator import Twin
from speck_adacal.twin.spike_log import MonitorStream, Spikes
from speck_adacal.twin.timing import LatencyModel

__all__ = [
    "Activity",
    "Assumptions",
    "ChipProgram",
    "Constant",
    "CoreHeadroom",
    "CoreProgram",
    "Destination",
    "DvsFilterProgram",
    "DvsProgram",
    "LatencyModel",
    "LoadTrace",
    "MonitorStream",
    "PowerEstimate",
    "PowerModel",
    "PreparedInput",
    "ReadoutProgram",
    "ReadoutRun",
    "Remedy",
    "Spikes",
    "Twin",
    "TwinRun",
    "WorstWindow",
    "check_program",
    "core_headroom",
    "fit_power_model",
    "program_from_configuration",
    "try_remedies",
]
