"""Known-answer vectors: input events and what the twin gives for them, core by core."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import Bundle, read_arrays
from speck_adacal.bundles.chip_configuration import ChipConfiguration, held_by
from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import BundleError, DataError, EventError
from speck_adacal.events import Events
from speck_adacal.twin import Twin

KNOWN_ANSWERS = "known_answers.npz"
_EVENTS = 2000
_SENSOR_EVENTS = 16_000  # most lie outside of the region
_DURATION_US = 100_000
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a chip, or its twin, did with the recorded input. None stands for "not known".

    Attributes:
        spikes_per_core: int64 `[cores]`.
        output_channel: int64 `[n]`, channel of each spike of the readout core.
        output_neuron: int64 `[n]`, number of its neuron, `(channel · height + y) · width + x`;
            None in bundles of before it was recorded.
        output_t_us: int64 `[n]`, their times; None on a board, which stamps with its own clock.
        synops_per_core: int64 `[cores]`; None on a board, which does not count them.
        events_per_core: int64 `[cores]`, input events that reached a core; None on a board.
        states: SHA-256 of each core's final membrane potentials (int16, little endian,
            `[feature][y][x]`), by core.
        configuration: SHA-256 of what each core was told (`ChipConfiguration.digest`), by core.
    """

    spikes_per_core: Counts
    output_channel: npt.NDArray[Any]
    output_neuron: npt.NDArray[Any] | None = None
    output_t_us: npt.NDArray[Any] | None = None
    synops_per_core: Counts | None = None
    events_per_core: Counts | None = None
    states: Mapping[int, str] | None = None
    configuration: Mapping[int, str] | None = None


def random_events(shape: tuple[int, int, int], *, count: int, seed: int) -> Events:
    """Reproducible events, uniform over the map and the window."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    return Events(
        t_us=np.sort(rng.integers(0, _DURATION_US, count)),
        x=rng.integers(0, width, count, dtype=np.int16),
        y=rng.integers(0, height, count, dtype=np.int16),
        channel=rng.integers(0, channels, count, dtype=np.int16),
        shape=shape,
        duration_us=_DURATION_US,
    )


def play_on_twin(configuration: Any, described: ChipConfiguration, events: Events) -> Answers:
    """What the twin gives for `events`.

    Args:
        configuration: samna's configuration object, which is what runs.
        described: names its cores, their order and their shapes.
        events: the input.
    """
    readout = described.order[-1]
    twin = Twin.from_configuration(
        configuration,
        chip=described.chip,
        slow_clock_hz=described.slow_clock_hz,
        observe=(readout,),
    )
    run = twin.run(events, entry=described.entry)
    output = run.spikes[readout]
    held = held_by(configuration, described.chip, described.order, described.layers)
    return Answers(
        spikes_per_core=run.spikes_per_core,
        output_channel=output.channel,
        output_neuron=neuron_numbers(output.channel, output.y, output.x, output.shape),
        output_t_us=output.t_us,
        synops_per_core=run.synops_per_core,
        events_per_core=run.events_per_core,
        states={core: digest_of_states(twin.membrane(core)) for core in described.order},
        configuration={core: held.digest(core) for core in described.order},
    )


def neuron_numbers(
    channel: npt.ArrayLike, y: npt.ArrayLike, x: npt.ArrayLike, shape: tuple[int, int, int]
) -> Counts:
    """int64 `[n]`, the neuron of each spike of a core with this map, see `Answers`."""
    found = np.ravel_multi_index(
        tuple(np.asarray(values, dtype=np.int64) for values in (channel, y, x)), shape
    )
    return np.asarray(found, dtype=np.int64)


def digest_of_states(states: npt.NDArray[Any]) -> str:
    """SHA-256 of membrane potentials `[feature][y][x]`."""
    return hashlib.sha256(np.ascontiguousarray(states, dtype="<i2").tobytes()).hexdigest()


def make_known_answers(described: ChipConfiguration, *, seed: int) -> bytes:
    """Input events and the twin's answers, as the `.npz` of a bundle."""
    count = _EVENTS if described.wiring.sensor is None else _SENSOR_EVENTS
    events = random_events(described.entry_shape, count=count, seed=seed)
    answers = play_on_twin(described.to_samna(), described, events)
    arrays: dict[str, Any] = {
        **{name: getattr(events, name) for name in ("t_us", "x", "y", "channel")},
        "duration_us": np.array(events.duration_us),
        "spikes_per_core": answers.spikes_per_core,
        "synops_per_core": answers.synops_per_core,
        "events_per_core": answers.events_per_core,
        "output_t_us": answers.output_t_us,
        "output_channel": answers.output_channel,
        "output_neuron": answers.output_neuron,
        "states_sha256": _table(answers.states or {}, described),
        "configuration_sha256": _table(answers.configuration or {}, described),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_known_answers(bundle: Bundle, described: ChipConfiguration) -> tuple[Events, Answers]:
    """The recorded input and answers of a bundle.

    Raises:
        BundleError: they are missing or damaged.
    """
    try:
        found = read_arrays(bundle.member(KNOWN_ANSWERS), called=KNOWN_ANSWERS)
        events = Events(
            t_us=found["t_us"],
            x=found["x"],
            y=found["y"],
            channel=found["channel"],
            shape=described.entry_shape,
            # Older bundles lack it; without a leak nothing happens after the last event.
            duration_us=int(found.get("duration_us", -1)),
        )
        return events, _answers(found, described)
    except (DataError, EventError, ValueError, TypeError, KeyError) as error:
        raise BundleError(
            f"{KNOWN_ANSWERS} in {bundle.path} is damaged ({error}); deploy again."
        ) from error


def _answers(found: Mapping[str, npt.NDArray[Any]], described: ChipConfiguration) -> Answers:
    return Answers(
        spikes_per_core=_counts(found["spikes_per_core"], described),
        output_channel=_list(found["output_channel"]),
        output_neuron=_list(found["output_neuron"]) if "output_neuron" in found else None,
        output_t_us=_list(found["output_t_us"]),
        synops_per_core=_counts(found["synops_per_core"], described),
        events_per_core=(
            _counts(found["events_per_core"], described) if "events_per_core" in found else None
        ),
        states=_by_core(found.get("states_sha256"), described),
        configuration=_by_core(found.get("configuration_sha256"), described),
    )


def _table(digests: Mapping[int, str], described: ChipConfiguration) -> npt.NDArray[np.uint8]:
    """uint8 `[cores in use, 32]`, in order of the signal."""
    rows = [list(bytes.fromhex(digests[core])) for core in described.order]
    return np.array(rows, dtype=np.uint8)


def _by_core(table: npt.NDArray[Any] | None, described: ChipConfiguration) -> dict[int, str] | None:
    if table is None:
        return None  # schema 1 did not record it
    if table.dtype != np.uint8 or table.shape != (len(described.order), 32):
        raise ValueError(f"a table of digests is {table.dtype} {table.shape}")
    return {core: bytes(row).hex() for core, row in zip(described.order, table, strict=True)}


def _counts(array: npt.NDArray[Any], described: ChipConfiguration) -> Counts:
    shape = (len(load_chip_description(described.chip).cores),)
    if array.dtype.kind not in "iu" or array.shape != shape:
        found = f"{array.dtype} {array.shape}"
        raise ValueError(f"counts per core are {found}, needed is int64 {shape}")
    return array.astype(np.int64)


def _list(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(f"output spikes are {array.dtype} {array.shape}, needed are integers")
    return array
