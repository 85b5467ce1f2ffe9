"""From an adapted network to a Speck configuration: fold, quantise, check, map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from speck_adacal.chip.chip_readout import spread
from speck_adacal.chip.fold import fold
from speck_adacal.chip.mapping import MappedNetwork, map_network
from speck_adacal.chip.operations import bounds
from speck_adacal.chip.policy import ChipPolicy, refused_biases, slow_clock_hz
from speck_adacal.chip.quantise import quantise
from speck_adacal.chip.scale_traps import joint_scale_warnings
from speck_adacal.chip.wiring import Wiring, copied, write_fields
from speck_adacal.chip_description import DEFAULT_CHIP, load_chip_description
from speck_adacal.core_layers import FoldedLayer, QuantisedLayer
from speck_adacal.errors import DesignRuleError, SettingsError
from speck_adacal.readout.class_map import ClassMap, class_map_of
from speck_adacal.rules.fan_out import check_fan_out, is_chain
from speck_adacal.rules.rules import check_layers
from speck_adacal.rules.shapes import LayerShape, Violation
from speck_adacal.rules.smallest_change import Change, smallest_change
from speck_adacal.rules.value_rules import check_values
from speck_adacal.sheet import Sheet, Summarised
from speck_adacal.snn.adapted import AdaptedNetwork


@dataclass(frozen=True, eq=False)
class Deployment(Summarised):
    """A network as it stands on the chip.

    Attributes:
        adapted: the network that was deployed, and its recipe.
        chip: a name of `chip_description.known_chips()`.
        layers: quantised layers in order of the signal, the readout last.
        mapped: sinabs' network, the core of each layer, and samna's configuration.
        class_map: the class that each neuron of the read-out core stands for.
        violations: warnings of the design rules; errors are raised instead.
        slow_clock_hz: rate that the slow clock must have, for biases that leak, or for filter and
            read-out on the chip; None if nothing needs it.
        wiring: sensor and read-out on the chip, every value settled.
    """

    adapted: AdaptedNetwork
    chip: str
    layers: tuple[QuantisedLayer, ...]
    mapped: MappedNetwork
    class_map: ClassMap
    violations: tuple[Violation, ...] = ()
    slow_clock_hz: float | None = None
    wiring: Wiring = field(default_factory=Wiring)

    def _sheet(self) -> Sheet:
        memories = load_chip_description(self.chip).cores
        rows = []
        for layer, core in zip(self.layers, self.cores, strict=True):
            shape, memory = LayerShape.of(layer.folded), memories[core]
            rows.append(
                (
                    layer.folded.name,
                    str(core),
                    str(layer.threshold),
                    str(layer.distinct_levels),
                    f"{shape.kernel_words / memory.kernel:.0%}",
                    f"{shape.neuron_words / memory.neuron:.0%}",
                )
            )
        verdict = self.adapted.recipe.verdict
        said = () if verdict is None else verdict.lines()
        taken = " × ".join(map(str, self.input_shape))
        return Sheet(
            f"Deployed on {self.chip}: input {taken}, {self.classes} classes",
            ("layer", "core", "threshold", "weight levels", "kernel memory", "neuron memory"),
            tuple(rows),
            (*said, *(f"Warning: {violation}" for violation in self.violations)),
        )

    @property
    def around(self) -> dict[str, Any]:
        """What samna's configuration is told beside the cores; nothing where a host does it all."""
        return self.wiring.fields(self.cores, self.input_shape, load_chip_description(self.chip))

    @property
    def configuration(self) -> Any:
        """A copy of samna's configuration with sensor and read-out wired; fed by a host without
        them."""
        copy = copied(self.mapped.configuration)
        write_fields(copy, self.around)
        return copy

    @property
    def cores(self) -> tuple[int, ...]:
        """Core of each layer, in order of the signal."""
        return self.mapped.cores

    @property
    def readout_core(self) -> int:
        """The core whose spikes are read out."""
        return self.mapped.cores[-1]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of a sample, without a constant channel beside it."""
        channels, height, width = self.layers[0].folded.in_shape
        return (channels - (self.adapted.recipe.constant is not None), height, width)

    @property
    def classes(self) -> int:
        """Number of the network's classes."""
        return self.class_map.classes


def deploy_network(
    adapted: AdaptedNetwork,
    *,
    chip: str = DEFAULT_CHIP,
    policy: ChipPolicy | None = None,
    quantised: Sequence[QuantisedLayer] | None = None,
    cores: Sequence[int] | None = None,
    wiring: Wiring | None = None,
) -> Deployment:
    """Fold, check, quantise and map.

    Args:
        adapted: the calibrated network.
        chip: a name of `chip_description.known_chips()`.
        policy: what becomes of biases and lower clip; see `ChipPolicy`.
        quantised: integers to use as they are (from a bundle) instead of quantising.
        cores: placement to use as it is (from a bundle).
        wiring: sensor and read-out on the chip.

    Raises:
        ModelError: an operation has no counterpart on the chip.
        DesignRuleError: with every violated rule in the message and in `violations`.
        SettingsError: the slow clock cannot tick as biases, filter or read-out need.
        ConfigurationError: samna's own validation refused the result.
    """
    policy, wiring = policy or ChipPolicy(), wiring or Wiring()
    adapted = replace(adapted, recipe=policy.recorded_in(adapted.recipe))
    description = load_chip_description(chip)
    folded = fold(adapted.graph, adapted.recipe)
    class_map = class_map_of(adapted.graph)
    if wiring.readout is not None:
        refuse_broken(wiring.readout.violations(folded[-1], class_map, description), chip)
        folded, class_map = spread_readout(folded, class_map)
    shapes = [LayerShape.of(layer) for layer in folded]
    violations = check_layers(shapes, description)
    change = smallest_change(shapes, description) if violations and is_chain(folded) else None
    violations += check_fan_out(folded, description) + refused_biases(folded, policy)
    refuse_broken(violations, chip, change)
    steps = adapted.recipe.settings.time_steps
    layers = tuple(quantised or (quantise(layer, window_steps=steps) for layer in folded))
    violations += check_values(layers) + joint_scale_warnings(layers)
    violations += bounds(adapted.graph, adapted.recipe)
    refuse_broken(violations, chip)
    mapped = map_network(layers, chip=chip, time_steps=steps, cores=cores)
    shape = sized(adapted.ann.input_shape)
    if quantised is None:  # a bundle's wiring is settled, and its clock is put in by who reads it
        leaks = any(layer.bias.any() for layer in layers)
        leak_hz = slow_clock_hz(adapted.recipe) if leaks else None
        wiring = wiring.settled(adapted.recipe, shape, leak_hz, description)
    if wiring.sensor is not None:
        refuse_broken(wiring.sensor.violations(shape, description), chip)
    violations += reset_warning(adapted, wiring)
    clock_hz = wiring.slow_clock_hz
    return Deployment(adapted, chip, layers, mapped, class_map, violations, clock_hz, wiring)


def reset_warning(adapted: AdaptedNetwork, wiring: Wiring) -> tuple[Violation, ...]:
    """A warning where a network that counts on resets stands at a sensor."""
    if wiring.sensor is None or adapted.recipe.settings.never_reset:
        return ()
    way = (
        "import it with --never-reset"
        if adapted.recipe.came_spiking
        else "adapt it on recordings of events without --reset-each"
    )
    return (
        Violation(
            "never-reset",
            "sensor",
            "a network made for a reset before each sample",
            "one made for a stream",
            f"{way}, or look at what simulate --continuous says of --lower-clip 0.5",
            "warning",
        ),
    )


def rewired(deployment: Deployment, wiring: Wiring) -> Deployment:
    """The deployment with another sensor wiring or read-out threshold; its cores stay.

    Raises:
        DesignRuleError: the wiring breaks a rule.
        SettingsError: it has a read-out layer where the cores were not placed for it, or no clock
            fits.
    """
    if (wiring.readout is None) != (deployment.wiring.readout is None):
        raise SettingsError(
            "A read-out layer needs the last layer's channels in other places; deploy the adapted "
            "network again with this wiring."
        )
    description = load_chip_description(deployment.chip)
    leaks = any(layer.bias.any() for layer in deployment.layers)
    leak_hz = deployment.slow_clock_hz if leaks else None
    shape = deployment.input_shape
    settled = wiring.settled(deployment.adapted.recipe, shape, leak_hz, description)
    if settled.sensor is not None:
        refuse_broken(settled.sensor.violations(shape, description), deployment.chip)
    return replace(deployment, wiring=settled, slow_clock_hz=settled.slow_clock_hz)


def spread_readout(
    folded: Sequence[FoldedLayer], class_map: ClassMap
) -> tuple[tuple[FoldedLayer, ...], ClassMap]:
    """The layers with the last one's channels where the chip's read-out layer counts them."""
    last, found = spread(folded[-1], class_map)
    return (*folded[:-1], last), found


def sized(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """`(channels, height, width)` of an input that may be flat."""
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width


def refuse_broken(violations: Sequence[Violation], chip: str, change: Change | None = None) -> None:
    """Refuse a network that breaks rules of a chip.

    Raises:
        DesignRuleError: with every broken rule, and the smallest change that was found.
    """
    errors = [violation for violation in violations if violation.severity == "error"]
    if errors:
        listed = "\n".join(f"  {violation}" for violation in errors)
        count = f"{len(errors)} design rule{'s' if len(errors) > 1 else ''}"
        advice = f"\n  Smallest change that fits: {change.text}." if change else ""
        error = DesignRuleError(f"The network breaks {count} of {chip}:\n{listed}{advice}")
        error.violations = tuple(errors)
        raise error
