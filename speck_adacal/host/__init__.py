"""Streaming: events into a chip (or its twin), spikes and decisions out of it."""

from speck_adacal.host.backend import Answer, Backend
from speck_adacal.host.board_backend import BoardBackend, open_board
from speck_adacal.host.calibrate import calibrate_early_exit
from speck_adacal.host.decision import NO_DECISION, Decision, Moment
from speck_adacal.host.exit_rule import WindowRule
from speck_adacal.host.limits import Counters, SessionLimits
from speck_adacal.host.pieces import split_at_windows, windows_of
from speck_adacal.host.readout import (
    ArgmaxMembrane,
    ArgmaxSpikeCount,
    EarlyExit,
    FirstToThreshold,
    Readout,
    ThresholdThenArgmax,
)
from speck_adacal.host.sensor import SensorBackend, silence
from speck_adacal.host.session import Session
from speck_adacal.host.twin_backend import TwinBackend

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
    "FirstToThreshold",
    "Moment",
    "Readout",
    "SensorBackend",
    "Session",
    "SessionLimits",
    "ThresholdThenArgmax",
    "TwinBackend",
    "WindowRule",
    "calibrate_early_exit",
    "open_board",
    "silence",
    "split_at_windows",
    "windows_of",
]
