"""Many recipes on the same recordings, on the twin, without running again what did not change.

A chain's core never hears from the cores behind it. What reaches a layer therefore stays as it is
while only later layers change, and is kept: a candidate that changes layer i runs layers i to the
last. The result equals that of the whole chip bit for bit. A network with branches runs whole.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from speck_adacal.chip.branches import meeting_names
from speck_adacal.chip.deploy import deploy_network
from speck_adacal.chip.fold import fold
from speck_adacal.chip.quantise import quantise
from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.core_layers import FoldedLayer, QuantisedLayer
from speck_adacal.events.on_end import Stream, alone
from speck_adacal.events.on_end import on_end as put_on_end
from speck_adacal.events.types import Events
from speck_adacal.readout.class_counts import counts_at, leaders
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.rules.fan_out import is_chain
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin import (
    ChipProgram,
    CoreProgram,
    PreparedInput,
    Spikes,
    Twin,
    program_from_configuration,
)
from speck_adacal.twin_search.outcome import Floats, Ints, Outcome

_KEPT_PER_LAYER = 2
_MOST_CHANNELS = 64  # of a layer whose channels are changed one by one


@dataclass(frozen=True, eq=False)
class _Arrival:
    """What reaches a layer, by stream, and what the layers before it spent."""

    events: tuple[Events, ...]
    synops: Ints
    spikes: Ints
    _prepared: dict[tuple[tuple[int, ...], int], PreparedInput] = field(default_factory=dict)

    def prepared(self, twin: Twin, part: slice = slice(None)) -> list[PreparedInput]:
        """What a twin, whose first core this reaches, takes; prepared when first asked for."""
        # Ticks of the slow clock, and which cores they reach, are part of what is prepared.
        leaking = tuple(core.index for core in twin.program.cores.values() if core.leak)
        wanted = [(leaking, index) for index in range(len(self.events))[part]]
        missing = [key for key in wanted if key not in self._prepared]
        found = twin.prepare([self.events[index] for _, index in missing], outside="drop")
        self._prepared.update(zip(missing, found, strict=True))
        return [self._prepared[key] for key in wanted]


class TwinEvaluator:
    """Runs recipes of one network on fixed recordings.

    Args:
        adapted: the network; it is deployed once, for the placement on cores.
        recordings: inputs, of the network's input shape.
        chip: a name of `chip_description.known_chips()`.
        threads: by default one a processor.
        on_end: how many recordings stand on end without a reset between them: 1 to run each from
            the configured state.

    Attributes:
        on_end: as given.
        evaluations: recipes run so far; one on a part of the recordings counts as that part.
        classes: the network's number of classes.
        names: of the layers on cores, in order of the signal (as in the recipe).
        channels: by layer of the recipe, how many channels can be changed one by one: none of the
            readout, of layers of more than 64, and of those whose spikes are added to others'.

    Raises:
        ModelError: the chip cannot run the network.
        DesignRuleError: it breaks the chip's rules.
    """

    def __init__(
        self,
        adapted: AdaptedNetwork,
        recordings: Sequence[Events],
        *,
        chip: str = DEFAULT_CHIP,
        threads: int | None = None,
        on_end: int = 1,
    ) -> None:
        deployment = deploy_network(adapted, chip=chip)
        self.adapted = adapted
        self.evaluations = 0.0
        self._cores = deployment.cores
        self.classes = deployment.classes
        self._class_map = deployment.class_map
        folded = [layer.folded for layer in deployment.layers]
        self.names = tuple(layer.recipe.name for layer in folded)
        self._is_chain = is_chain(folded)
        few = {layer.recipe.name: _few_channels(layer) for layer in folded}
        few |= dict.fromkeys(meeting_names(adapted.graph), 0)
        self.channels = tuple(few.get(layer.name, 0) for layer in adapted.recipe.layers)
        self._program = program_from_configuration(deployment.mapped.configuration, chip=chip)
        self._step_us = adapted.recipe.step_us
        self._threads = threads
        self._kept: list[OrderedDict[bytes, _Arrival]] = [OrderedDict() for _ in self._cores]
        self.on_end = on_end
        self._streams = tuple(
            alone(recordings[start])
            if on_end == 1
            else put_on_end(recordings[start : start + on_end])
            for start in range(0, len(recordings), on_end)
        )
        nothing = np.zeros((len(self._streams), 0), dtype=np.int64)
        self._input = _Arrival(tuple(x.events for x in self._streams), nothing, nothing)

    def run(self, recipe: Recipe, part: slice = slice(None)) -> Outcome:
        """Run a recipe, from the first layer on whose input is not known.

        Args:
            recipe: thresholds and initial potentials.
            part: which recordings; where they stand on end it must hold whole streams.
        """
        layers = self._quantised(recipe)
        first, arrival = self._deepest(_prefix_keys(layers))
        twin = self._twin(layers, first, self._cores[-1])
        streams = self._streams_of(part)
        prepared = arrival.prepared(twin, streams)
        self.evaluations += len(prepared) / len(arrival.events)
        runs = twin.run_many(prepared, threads=self._threads)
        tail = list(self._cores[first:])
        chosen = self._streams[streams]
        counted = [self._counted(x, run.output) for x, run in zip(chosen, runs, strict=True)]
        synops = np.hstack([arrival.synops[streams], [run.synops_per_core[tail] for run in runs]])
        spikes = np.hstack([arrival.spikes[streams], [run.spikes_per_core[tail] for run in runs]])
        return Outcome(
            counts=np.concatenate([counts for counts, _ in counted]),
            decisions=np.concatenate([decided for _, decided in counted]),
            synops=_shared(synops, chosen),
            spikes=_shared(spikes, chosen),
        )

    def keep(self, recipe: Recipe, upto: int | None = None) -> None:
        """Keep what reaches every layer (up to layer `upto`) of a chain under a recipe."""
        if not self._is_chain:
            return
        layers = self._quantised(recipe)
        keys = _prefix_keys(layers)
        last = len(layers) - 1 if upto is None else upto
        first, arrival = self._deepest(keys[: last + 1])
        for layer in range(first, last):
            arrival = self._through(layers, layer, arrival)
            kept = self._kept[layer + 1]
            kept[keys[layer + 1]] = arrival
            while len(kept) > _KEPT_PER_LAYER:
                kept.popitem(last=False)

    def _streams_of(self, part: slice) -> slice:
        start, stop, _ = part.indices(sum(map(len, self._streams)))
        return slice(start // self.on_end, -(-stop // self.on_end))

    def _counted(self, stream: Stream, output: Spikes) -> tuple[Ints, Ints]:
        """Counts by recording and class, and decisions by recording."""
        labels = self._class_map.of(output.channel, output.y, output.x)
        until = np.append(np.searchsorted(output.t_us, stream.starts_us[1:]), len(labels))
        counts, reached = counts_at(labels, until, self.classes)
        own = np.diff(counts, axis=0, prepend=0)
        return own, leaders(own, reached)

    def _quantised(self, recipe: Recipe) -> tuple[QuantisedLayer, ...]:
        steps = recipe.settings.time_steps
        folded = fold(self.adapted.graph, recipe)
        return tuple(quantise(layer, window_steps=steps) for layer in folded)

    def _deepest(self, keys: Sequence[bytes]) -> tuple[int, _Arrival]:
        for layer in range(len(keys) - 1, 0, -1):
            if keys[layer] in self._kept[layer]:
                self._kept[layer].move_to_end(keys[layer])
                return layer, self._kept[layer][keys[layer]]
        return 0, self._input

    def _through(self, layers: Sequence[QuantisedLayer], layer: int, arrival: _Arrival) -> _Arrival:
        core = self._cores[layer]
        twin = self._twin(layers[: layer + 1], layer, core)
        runs = twin.run_many(arrival.prepared(twin), threads=self._threads)
        pool = layers[layer].folded.pool
        synops = np.array([[run.synops_per_core[core]] for run in runs])
        spikes = np.array([[run.spikes_per_core[core]] for run in runs])
        return _Arrival(
            tuple(_pooled(run.spikes[core], pool) for run in runs),
            np.hstack([arrival.synops, synops]),
            np.hstack([arrival.spikes, spikes]),
        )

    def _twin(self, layers: Sequence[QuantisedLayer], first: int, observe: int) -> Twin:
        """A twin of layers `first` to the last of `layers`."""
        cores = {}
        last = len(layers) - 1
        for position in range(first, len(layers)):
            core = _with_integers(self._program.cores[self._cores[position]], layers[position])
            ends = position == last
            cores[core.index] = replace(
                core, monitor=ends, destinations=() if ends else core.destinations
            )
        program = ChipProgram(self._program.chip, cores)
        leaks = self._step_us is not None and any(layer.bias.any() for layer in layers[first:])
        return Twin(
            program,
            observe=(observe,),
            slow_clock_hz=1e6 / self._step_us if leaks and self._step_us else None,
        )


def _few_channels(layer: FoldedLayer) -> int:
    channels = layer.out_shape[0]
    return 0 if layer.recipe.readout or channels > _MOST_CHANNELS else channels


def _with_integers(core: CoreProgram, layer: QuantisedLayer) -> CoreProgram:
    return replace(
        core,
        weights=layer.weight,
        threshold_high=layer.threshold,
        threshold_low=layer.threshold_low,
        initial=layer.initial,
        bias=layer.bias if layer.bias.any() else None,
        leak=bool(layer.bias.any()),
    )


def _prefix_keys(layers: Sequence[QuantisedLayer]) -> list[bytes]:
    """For each layer a digest of all integers before it."""
    digest = hashlib.sha256()
    keys = []
    for layer in layers:
        keys.append(digest.digest())
        digest.update(layer.weight.tobytes())
        digest.update(layer.initial.tobytes())
        digest.update(layer.bias.tobytes())
        digest.update(f"{layer.threshold} {layer.threshold_low};".encode())
    return keys


def _pooled(spikes: Spikes, pool: int) -> Events:
    channels, height, width = spikes.shape
    return Events(
        t_us=spikes.t_us,
        x=spikes.x // pool,
        y=spikes.y // pool,
        channel=spikes.channel,
        shape=(channels, -(-height // pool), -(-width // pool)),
    )


def _shared(by_stream: Ints, streams: Sequence[Stream]) -> Floats:
    """What a stream spent, in equal parts by recording."""
    sizes = np.array([len(stream) for stream in streams])
    return np.repeat(by_stream / sizes[:, None], sizes, axis=0)
