"""Replay a bundle's known answers: does what is there now still do what was recorded?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from speck_adacal.bundle import Bundle
from speck_adacal.bundles.bundle_files import stored_configuration
from speck_adacal.bundles.chip_configuration import ChipConfiguration
from speck_adacal.bundles.known_answers import Answers, play_on_twin, read_known_answers
from speck_adacal.events import Events

Player = Callable[[Any, ChipConfiguration, Events], Answers]


@dataclass(frozen=True)
class Verification:
    """The outcome of a replay.

    Attributes:
        same: everything is as recorded.
        events: input events replayed.
        core: the first core that differs, in order of the signal; None where all are the same.
        difference: what differs there, in words.
        compared: what was compared; a board shows less than the twin, an old bundle holds less.
        device: what replayed.
        grade: `"simulated"` or `"measured on a chip"`.
        made_for: what the network was adapted for, in words; empty where something differs.
        warnings: what the bundle's network does not suit, such as a sensor that nobody resets.
    """

    same: bool
    events: int
    core: int | None = None
    difference: str = ""
    compared: tuple[str, ...] = ()
    device: str = "twin"
    grade: str = "simulated"
    made_for: str = ""
    warnings: tuple[str, ...] = ()


def verify_bundle(
    bundle: Bundle,
    *,
    play: Player = play_on_twin,
    configuration: Any = None,
    device: str = "twin",
    grade: str = "simulated",
) -> Verification:
    """Replay the known answers of a bundle and find the first core that differs.

    Args:
        bundle: what `read_bundle` returned; its stored configuration is what runs.
        play: what replays: the twin, or a board (`speck_adacal.host.board_replay.BoardPlayer`).
        configuration: samna's configuration to run in place of the stored one.
        device, grade: of what replays, for the record.

    Raises:
        BundleError: the bundle has no sound configuration or known answers.
        ConfigurationError: the chip cannot be configured so; the message names the core's field.
    """
    described = stored_configuration(bundle)
    events, recorded = read_known_answers(bundle, described)
    wanted = described.to_samna() if configuration is None else configuration
    found = play(wanted, described, events)
    core, said = first_difference(described, recorded, found)
    return Verification(
        same=core is None,
        events=len(events),
        core=core,
        difference=said,
        compared=_compared(recorded, found),
        device=device,
        grade=grade,
    )


def first_difference(
    described: ChipConfiguration, recorded: Answers, found: Answers
) -> tuple[int | None, str]:
    """The first core, in order of the signal, that was told or did something else, and what.

    A core that gets other events than recorded from sources that fire as recorded is not to
    blame: the source's destination is.
    """
    for core in described.order:
        for look in (_told, _received, _did):
            said, blamed = look(described, recorded, found, core)
            if said:
                return blamed, f"{described.label(blamed)}: {said}"
    return _output(described, recorded, found)


Look = tuple[str, int]


def _told(described: ChipConfiguration, recorded: Answers, found: Answers, core: int) -> Look:
    if recorded.configuration is None or found.configuration is None:
        return "", core
    differs = recorded.configuration[core] != found.configuration[core]
    return (
        "its configuration (a weight, threshold, initial value or destination) is not "
        "the recorded one"
        if differs
        else ""
    ), core


def _received(described: ChipConfiguration, recorded: Answers, found: Answers, core: int) -> Look:
    if recorded.events_per_core is None or found.events_per_core is None:
        return "", core
    then, now = int(recorded.events_per_core[core]), int(found.events_per_core[core])
    if then == now:
        return "", core
    # Its sources come before it in order, so they have been found to fire as recorded.
    sources = described.sources(core)
    if len(sources) == 1:
        return (
            f"its destination is another: core {core} got {now} events, recorded {then}",
            sources[0],
        )
    return f"{now} events from cores {list(sources)}, recorded {then}", core


def _did(described: ChipConfiguration, recorded: Answers, found: Answers, core: int) -> Look:
    for name, then, now in (
        ("spikes", recorded.spikes_per_core, found.spikes_per_core),
        ("SynOps", recorded.synops_per_core, found.synops_per_core),
    ):
        if then is not None and now is not None and then[core] != now[core]:
            return f"{now[core]} {name}, recorded {then[core]}", core
    states = recorded.states, found.states
    if states[0] is not None and states[1] is not None and states[0][core] != states[1][core]:
        return "its membrane potentials at the end differ", core
    return "", core


def _output(
    described: ChipConfiguration, recorded: Answers, found: Answers
) -> tuple[int | None, str]:
    readout = described.order[-1]
    said = f"{described.label(readout)}: the readout's spikes differ in "
    # A board may give spikes of one instant in another order.
    timed = found.output_t_us is not None and recorded.output_t_us is not None
    for name in ("output_t_us", "output_channel", "output_neuron"):
        then, now = getattr(recorded, name), getattr(found, name)
        if then is None or now is None:
            continue
        if not (
            np.array_equal(then, now) if timed else np.array_equal(np.sort(then), np.sort(now))
        ):
            return readout, said + name
    return None, ""


def _compared(recorded: Answers, found: Answers) -> tuple[str, ...]:
    names = {
        "configuration": "configuration",
        "events_per_core": "events per core",
        "spikes_per_core": "spikes per core",
        "synops_per_core": "SynOps per core",
        "states": "final membrane potentials",
        "output_channel": "output spikes",
        "output_neuron": "their neurons",
        "output_t_us": "their times",
    }
    return tuple(
        text
        for name, text in names.items()
        if getattr(recorded, name) is not None and getattr(found, name) is not None
    )
