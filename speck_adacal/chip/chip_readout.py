"""The chip's own read-out layer: which class leads in a window of slow clock cycles, or nothing.

Sources: datasheet §3.2.5; sinabs docs, notebooks/using_readout_layer and chip errata.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from speck_adacal.chip_description import ChipDescription
from speck_adacal.core_layers import FoldedLayer
from speck_adacal.readout.decision import NO_DECISION
from speck_adacal.rules.shapes import Violation
from speck_adacal.validation import Count, CountOrZero, checked

if TYPE_CHECKING:
    from speck_adacal.readout.class_map import ClassMap

# Core channel 4k is read-out class k + 1; the channels between them count for none, or for it.
CHANNELS_A_CLASS = 4
_ONE_PIXEL_LAYOUT, _COMPARE_MODE = 3, 1
_READOUT_PINS = 0b11000


@checked
class ChipReadout:
    """The read-out layer: spikes of each class, averaged over a window of slow clock cycles.

    Attributes:
        window: cycles of the slow clock, 1, 16 or 32; the mean is rounded down, so one cycle
            keeps every spike and longer windows want many.
        threshold: the leading class is a decision if its mean lies above; otherwise the chip says
            nothing. `calibrated_readout` finds one for a rate of wrong alarms.
    """

    window: Count = 1
    threshold: CountOrZero = 0

    def violations(
        self, last: FoldedLayer, class_map: ClassMap, chip: ChipDescription
    ) -> tuple[Violation, ...]:
        """Every rule that a read-out of this layer breaks."""
        found, layer = [], last.name
        if class_map.classes > chip.readout_classes:
            said, allowed = f"{class_map.classes} classes", f"{chip.readout_classes}"
            fix = "train for fewer classes, or read out on the host"
            found.append(Violation("readout-classes", layer, said, allowed, fix))
        single = np.sort(class_map.class_of[class_map.class_of != NO_DECISION])
        if last.out_shape[1:] != (1, 1) or len(np.unique(single)) != len(single):
            said, allowed = f"a map of {last.out_shape}", "one neuron for each class"
            fix = "end the network with a linear layer, or read out on the host"
            found.append(Violation("readout-map", layer, said, allowed, fix))
        if self.window not in chip.readout_windows:
            said, allowed = f"a window of {self.window} cycles", f"one of {chip.readout_windows}"
            found.append(Violation("readout-window", layer, said, allowed, "choose one of these"))
        most = 2**chip.limits.readout_counter_bits - 1
        if self.threshold > most:
            said, allowed = f"a threshold of {self.threshold}", f"0 to {most}"
            found.append(Violation("readout-threshold", layer, said, allowed, "lower it"))
        return tuple(found)

    def fields(self, last: int, chip: ChipDescription, *, internal: bool) -> dict[str, Any]:
        """What samna's configuration is told, by its own names.

        Args:
            last: the core that is read out.
            chip: the chip.
            internal: cycles are those of the internal slow clock.
        """
        layer = {
            "enable": True,
            "readout_pin_monitor_enable": True,
            "internal_slow_clk": internal,
            "low_pass_filter_disable": self.window == 1,
            "low_pass_filter32_not16": self.window == max(chip.readout_windows),
            "output_mode_sel": _COMPARE_MODE,
            "readout_configuration_sel": _ONE_PIXEL_LAYOUT,
            "threshold": self.threshold,
        }
        to_readout = {"destinations": [{"enable": True, "layer": chip.readout_layer}]}
        return {
            "readout": layer,
            "cnn_layers": {str(last): to_readout},
            "factory_config": {"io_sel": _READOUT_PINS},
        }


def spread(last: FoldedLayer, class_map: ClassMap) -> tuple[FoldedLayer, ClassMap]:
    """The last layer with class k in channel 4k, and silent channels between (chip errata)."""
    channels = CHANNELS_A_CLASS * (class_map.classes - 1) + 1
    old = np.flatnonzero(class_map.class_of.reshape(-1) != NO_DECISION)
    classes = class_map.class_of.reshape(-1)[old]
    new = CHANNELS_A_CLASS * classes
    weight = np.zeros((channels, *last.weight.shape[1:]))
    bias, initial = np.zeros(channels), np.zeros((channels, 1, 1))
    weight[new], bias[new], initial[new] = last.weight[old], last.bias[old], last.initial[old]
    found = np.full((channels, 1, 1), NO_DECISION, dtype=np.int64)
    found[new, 0, 0] = classes
    layer = replace(last, weight=weight, bias=bias, initial=initial, out_shape=(channels, 1, 1))
    return layer, replace(class_map, class_of=found)
