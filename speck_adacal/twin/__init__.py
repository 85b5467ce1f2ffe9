"""The chip twin: an event-driven, integer-exact simulator of Speck and its NumPy oracle."""

from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.checks import check_program
from speck_adacal.twin.program import (
    ChipProgram,
    CoreProgram,
    Destination,
    DvsFilterProgram,
    DvsProgram,
    ReadoutProgram,
)
from speck_adacal.twin.reading import program_from_configuration
from speck_adacal.twin.result import MonitorStream, Spikes, TwinRun
from speck_adacal.twin.simulator import Twin

__all__ = [
    "Assumptions",
    "ChipProgram",
    "CoreProgram",
    "Destination",
    "DvsFilterProgram",
    "DvsProgram",
    "MonitorStream",
    "ReadoutProgram",
    "Spikes",
    "Twin",
    "TwinRun",
    "check_program",
    "program_from_configuration",
]
