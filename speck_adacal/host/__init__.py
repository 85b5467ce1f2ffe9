"""Streaming: events into a chip (or its twin), spikes and decisions out of it."""

from speck_adacal.host.backend import Backend
from speck_adacal.host.board_backend import BoardBackend, open_board
from speck_adacal.host.limits import Counters, SessionLimits
from speck_adacal.host.sensor import SensorBackend, silence
from speck_adacal.host.session import Session
from speck_adacal.host.twin_backend import TwinBackend
from speck_adacal.host.windows import split_at_windows, windows_of
from speck_adacal.inspection.exit_calibration import calibrate_early_exit
from speck_adacal.readout.decision import NO_DECISION, Answer, Decision, Moment
from speck_adacal.readout.early_exit import ExitRule
from speck_adacal.readout.readouts import (
    ArgmaxMembrane,
    ArgmaxSpikeCount,
    EarlyExit,
    FirstToThreshold,
    Readout,
    ThresholdThenArgmax,
)
from speck_adacal.readout.stream_exit import StreamExit

__all__ = [
    "NO_DECISION",
    "Answer",
    "ArgmaxMembrane",
    "ArgmaxSpikeCount",
    "Backend",
    "BoardBackend",
    "Counters",
    "Decision",
    "EarlyExit",
    "ExitRule",
    "FirstToThreshold",
    "Moment",
    "Readout",
    "SensorBackend",
    "Session",
    "SessionLimits",
    "StreamExit",
    "ThresholdThenArgmax",
    "TwinBackend",
    "calibrate_early_exit",
    "open_board",
    "silence",
    "split_at_windows",
    "windows_of",
]
