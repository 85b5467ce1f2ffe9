"""Why each design rule of the chip is there, its limit, unit and source: `check --explain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from speck_adacal.chip_description import DEFAULT_CHIP, load_chip_description
from speck_adacal.errors import SettingsError


@dataclass(frozen=True)
class Explanation:
    """One design rule in words.

    Attributes:
        rule: its id, as in `Violation.rule`.
        limit: the limit on this chip, without its unit; "-" where it is not a number.
        unit: of the limit.
        grade: of the source: H (vendor text or recorded run), M (indirect), L (guess).
        source: where the limit comes from.
        why: what happens on the chip.
    """

    rule: str
    limit: str
    unit: str
    grade: str
    source: str
    why: str


@dataclass(frozen=True)
class _Entry:
    """`quantity` is a key of the chip description; without one the source stands here."""

    why: str
    quantity: str = ""
    source: str = ""
    grade: str = "H"


_BOOK: Mapping[str, _Entry] = {
    "input-size": _Entry(
        "A core's event addresses and its input map have this many columns and rows.",
        "limits.input_size",
    ),
    "map-size": _Entry(
        "The neurons of a core, counted before pooling, form a map of at most this many columns "
        "and rows; a stride makes the map smaller, pooling does not.",
        "limits.map_size",
    ),
    "features": _Entry(
        "A core reads and writes at most this many features (channels).", "limits.features"
    ),
    "kernel": _Entry("Kernels are square and at most this large.", "limits.kernel_size"),
    "stride": _Entry(
        "A core's stride is one of these, in each direction.",
        "limits.strides",
    ),
    "padding": _Entry("A core pads its input by at most this on each side.", "limits.padding"),
    "pool": _Entry(
        "A destination pools by one of these: the spikes of a square of neurons add up.",
        "limits.poolings",
    ),
    "pool-tiles": _Entry(
        "Pooling divides addresses. A remaining row or column would be addressed outside the map "
        "that the trained network's pooling gives.",
        source="arithmetic of addresses; limits.poolings",
    ),
    "kernel-memory": _Entry(
        "All weights of a layer lie in one core's kernel memory; sizes differ from core to core, "
        "and the taps of a kernel, and the output features, each count as the next power of two.",
        "memories.kernel",
    ),
    "neuron-memory": _Entry(
        "All membrane potentials of a layer, before pooling, lie in one core's neuron memory; "
        "columns and rows count in powers of two.",
        "memories.neuron",
    ),
    "core": _Entry(
        "Kernels and potentials of a layer lie in the same core, and cores with much of the one "
        "have little of the other.",
        source="memories.kernel and memories.neuron of the chip description",
    ),
    "mapping": _Entry(
        "Each layer takes a core of its own. Layers that together fit fewer cores than they are "
        "cannot all be placed (Hall's theorem), wherever the others go.",
        "chip.cores",
    ),
    "fan-out": _Entry("A core sends its spikes to at most this many cores.", "limits.fan_out"),
    "operation": _Entry(
        "A core is a convolution, spiking neurons and sum pooling; nothing else runs on the chip.",
        source="Datasheet v1.0 (SynSense, August 2023)",
    ),
    "bound": _Entry(
        "A neuron fires as often as its input drives it: an activation's upper bound (ReLU6, "
        "clamp) has no counterpart. A second neuron can take off again what exceeds it; without "
        "one, values above it count in full.",
        source="Datasheet v1.0 (SynSense, August 2023): the neuron model",
    ),
    "structure": _Entry(
        "Spikes flow from core to core, and every core ends in spiking neurons: each layer with "
        "weights is followed by one activation, what is added are spikes, the input goes to one "
        "core and one is read.",
        source="Datasheet v1.0 (SynSense, August 2023)",
    ),
    "threshold-low": _Entry(
        "A lower threshold of 0 is a known bug of this generation of the chip.",
        source="Datasheet v1.0 (SynSense, August 2023)",
    ),
    "initial-state": _Entry(
        "A membrane potential, its start and the charge of a window's bias included, has this many "
        "bits.",
        "bits.potential",
    ),
    "bias": _Entry(
        "A core has no bias per event: it is part of the initial potential, for a window of known "
        "length, or added at each tick of the slow clock (leak). This rule speaks only where the "
        "user asked to refuse biases.",
        source="Datasheet v1.0 (SynSense, August 2023); policy of the deployment",
    ),
    "drain": _Entry(
        "A neuron fires at most once for each event that reaches it. Where a weight exceeds the "
        "threshold, charge stays behind and comes out late or never.",
        source="the event rule; see the concept page on the chip's rule",
        grade="M",
    ),
    "levels": _Entry(
        "One scale serves all weights of a core. Where few different values are left, an outlier "
        "set the scale; the warning's bound of 16 is this kit's choice.",
        "bits.weight",
    ),
    "joint-scale": _Entry(
        "sinabs scales weights, biases and thresholds of a layer together, so that one outlier, or "
        "a lower bound far down, leaves the other weights few integers or none. Networks that "
        "came spiking keep that scale unless they are imported with --mend-scale.",
        source="sinabs 3, sinabs.backend.dynapcnn.discretize",
        grade="M",
    ),
    "sensor-region": _Entry(
        "What the network sees is a region of the sensor, as large as its input after pooling; "
        "pixels outside of the sensor do not exist.",
        "limits.sensor_size",
    ),
    "sensor-pooling": _Entry(
        "The sensor's stage pools by dividing coordinates, by these numbers only.",
        "limits.poolings",
    ),
    "sensor-polarities": _Entry(
        "A sensor's events have two polarities: two channels, one with both merged, or one of "
        "them chosen.",
        source="Datasheet v1.0 (SynSense, August 2023); samna reference, DvsLayerConfig",
    ),
    "sensor-filter": _Entry(
        "The noise filter looks for company in a neighbourhood of at most this edge.",
        "limits.filter_size",
    ),
    "never-reset": _Entry(
        "At a sensor nobody resets the neurons between two scenes, and one with an open lower clip "
        "remembers for ever what inhibited it.",
        source="measured on the twin; see the page on cameras",
        grade="M",
    ),
    "readout-classes": _Entry(
        "The read-out layer counts this many classes, and has one idle state.",
        "routing.readout_classes",
    ),
    "readout-map": _Entry(
        "The read-out layer counts spikes of the channels of one pixel: channel 4k is class k + 1.",
        source="sinabs docs, speck/faqs/chip_errata and notebooks/using_readout_layer",
    ),
    "readout-window": _Entry(
        "The read-out layer averages over this many cycles of the slow clock.",
        "routing.readout_windows",
    ),
    "readout-threshold": _Entry(
        "The read-out layer's threshold has this many bits.",
        "bits.readout_counter",
    ),
}


def rule_ids() -> tuple[str, ...]:
    """Ids of all design rules, in the order in which they are documented."""
    return tuple(_BOOK)


def explain(rule: str, *, chip: str = DEFAULT_CHIP) -> Explanation:
    """A design rule in words, with its limit on a chip.

    Raises:
        SettingsError: there is no such rule.
        ConfigurationError: the chip is not known.
    """
    if rule not in _BOOK:
        raise SettingsError(
            f"There is no design rule {rule!r}; the rules are {', '.join(_BOOK)} (or all)."
        )
    entry = _BOOK[rule]
    if not entry.quantity:
        return Explanation(rule, "-", "", entry.grade, entry.source, entry.why)
    found = load_chip_description(chip).quantities[entry.quantity]
    many = isinstance(found.value, (list, tuple))
    limit = ", ".join(map(str, found.value)) if many else str(found.value)
    return Explanation(rule, limit, found.unit, found.grade, found.source, entry.why)
