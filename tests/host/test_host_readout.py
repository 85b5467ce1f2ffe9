"""Readouts: what they decide, when, and that they never decide from nothing."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.errors import EventError, SettingsError
from speck_adacal.host import (
    NO_DECISION,
    Answer,
    ArgmaxMembrane,
    ArgmaxSpikeCount,
    EarlyExit,
    FirstToThreshold,
    ThresholdThenArgmax,
)
from speck_adacal.readout.class_counts import class_of_readout_pin, extended_channels
from speck_adacal.readout.early_exit import ExitRule

NAMES = ("cat", "dog", "owl")


def answer(channels, until_us, first_us=0):
    n = len(channels)
    return Answer(
        np.arange(first_us, first_us + n), np.array(channels, dtype=np.int64), until_us, n, None
    )


def every_readout():
    return [
        ArgmaxSpikeCount(NAMES),
        FirstToThreshold(NAMES, 1),
        ThresholdThenArgmax(NAMES, 1),
        ArgmaxMembrane(NAMES, 5),
        EarlyExit(NAMES, ExitRule((-1.0, -1.0)), 100),
    ]


@pytest.mark.parametrize("readout", every_readout(), ids=lambda r: r.kind)
def test_nothing_is_no_decision(readout):
    readout.start()
    assert readout.update(answer([], 100)) is None
    assert readout.update(answer([], 200)) is None
    assert readout.finish(200, np.zeros(3, np.int64)).label == NO_DECISION


@pytest.mark.parametrize("readout", every_readout(), ids=lambda r: r.kind)
def test_a_new_sample_forgets_the_last(readout):
    readout.start()
    readout.update(answer([2, 2, 1], 100))
    readout.start()
    assert not readout.counts.any()
    assert readout.finish(0, np.zeros(3, np.int64)).label == NO_DECISION


def test_most_spikes_wins_and_of_equals_the_first():
    readout = ArgmaxSpikeCount(NAMES)
    readout.start()
    readout.update(answer([0, 2, 2], 10))
    readout.update(answer([0], 20))
    assert readout.finish(20).label == 2
    readout.update(answer([0], 30))
    assert readout.finish(30).label == 0


def test_the_first_to_the_threshold_decides_at_its_spike():
    readout = FirstToThreshold(NAMES, 2)
    readout.start()
    assert readout.update(answer([0, 1, 2], 10)) is None
    verdict = readout.update(answer([2, 1, 2, 2], 20, first_us=12))
    assert (verdict.label, verdict.t_us) == (2, 12)
    readout.start()
    readout.update(answer([0], 10))
    assert readout.finish(10).label == NO_DECISION


def test_threshold_then_argmax_falls_back():
    readout = ThresholdThenArgmax(NAMES, 5)
    readout.start()
    assert readout.update(answer([1, 1, 0], 10)) is None
    assert readout.finish(10).label == 1


def test_the_membrane_counts_spikes_and_the_rest():
    readout = ArgmaxMembrane(NAMES, 10)
    readout.start()
    readout.update(answer([0, 1], 10))
    assert readout.finish(10, np.array([3, 4, 9])).label == 1
    assert readout.finish(10, np.array([0, 0, 30])).label == 2
    with pytest.raises(SettingsError, match="membrane"):
        readout.finish(10)


def test_an_early_exit_waits_for_its_bar_and_only_at_a_windows_end():
    sure = float(ExitRule((2.0,)).confidence([3, 0, 0]))
    readout = EarlyExit(NAMES, ExitRule((2.0, sure, 0.0)), 100)
    readout.start()
    assert readout.update(answer([0, 0], 100)) is None
    assert readout.bar == 2.0
    assert readout.update(answer([0], 150)) is None
    verdict = readout.update(answer([], 200))
    assert (verdict.label, verdict.t_us) == (0, 200)
    assert verdict.confidence == pytest.approx(sure) == pytest.approx(readout.confidence)


def test_an_early_exit_below_its_bar_decides_at_the_end():
    readout = EarlyExit(NAMES, ExitRule((2.0, 2.0)), 100)
    readout.start()
    for k in range(5):  # more windows than the rule has
        assert readout.update(answer([1], 100 * (k + 1))) is None
    assert readout.finish(520).label == 1


def test_class_names_and_outputs_must_agree():
    with pytest.raises(SettingsError, match="one name for each"):
        ArgmaxSpikeCount(NAMES, class_of=np.arange(4))
    with pytest.raises(SettingsError, match="different names"):
        ArgmaxSpikeCount(["a", "a"])
    with pytest.raises(SettingsError, match="at least one"):
        ArgmaxSpikeCount(0)
    readout = ArgmaxSpikeCount(3)
    with pytest.raises(EventError, match="output 3"):
        readout.update(answer([3], 1))
    for bad in (lambda: FirstToThreshold(3, 0), lambda: EarlyExit(3, ExitRule((1.0,)), 0)):
        with pytest.raises(SettingsError, match="at least 1"):
            bad()


def test_the_erratum_of_the_readout_layer():
    class_of = extended_channels(3)
    assert class_of.tolist() == [0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1]
    readout = ArgmaxSpikeCount(NAMES, class_of=class_of)
    readout.start()
    readout.update(answer([8, 8, 4, 1, 1, 1], 10))
    assert readout.counts.tolist() == [0, 1, 2]
    assert readout.finish(10).label == 2
    assert class_of_readout_pin(0) == NO_DECISION
    assert [class_of_readout_pin(k) for k in (1, 15)] == [0, 14]
    with pytest.raises(EventError, match="0 \\(idle\\) to 15"):
        class_of_readout_pin(16)


def test_the_erratum_agrees_with_the_twins_readout_layer():
    """Channel 4k of a core is readout class k + 1 on the twin, hence class k here."""
    from speck_adacal.chip_description import load_chip_description
    from speck_adacal.twin.assumptions import Assumptions
    from speck_adacal.twin.program import ReadoutProgram
    from speck_adacal.twin.readout import ReadoutLayer

    program = ReadoutProgram(
        internal_clock=False,
        window=1,
        monitor=False,
        pin_monitor=True,
        mode=3,
        layout=3,
        threshold=0,
        neuron=0,
    )
    channel = np.arange(12)
    zero = np.zeros(12, np.int64)
    on_pins = ReadoutLayer(program, Assumptions(), load_chip_description()).classes(
        channel, zero, zero
    )
    assert [class_of_readout_pin(int(i)) for i in on_pins] == extended_channels(3).tolist()
