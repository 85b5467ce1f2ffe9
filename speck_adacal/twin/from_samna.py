"""Reads a samna-like `SpeckConfiguration` (the real library's or the virtual one's).

samna's tensors have x before y: weights `[out][in][x][y]`, membrane potentials `[feature][x][y]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import DEFAULT_CHIP, ChipDescription, load_chip_description
from speck_adacal.twin.checks import check_program
from speck_adacal.twin.configuration_fields import FieldReader
from speck_adacal.twin.program import (
    ChipProgram,
    CoreProgram,
    Destination,
    DvsFilterProgram,
    DvsProgram,
    ReadoutProgram,
    Shape,
)


def program_from_configuration(config: Any, *, chip: str = DEFAULT_CHIP) -> ChipProgram:
    """Turn a chip configuration into what the twin runs, and check it.

    A core counts as configured if an enabled destination leads to it, or if it has weights other
    than the empty or single-zero default.

    Args:
        config: object with samna's `SpeckConfiguration` attributes.
        chip: name of the chip.

    Raises:
        ConfigurationError: naming the first field that is missing or out of range.
    """
    description = load_chip_description(chip)
    reader = FieldReader(config, "")
    layers = reader.sequence("cnn_layers", len(description.cores))
    dvs = _dvs(reader, description)
    cores: dict[int, CoreProgram] = {}
    for index in _configured(layers, dvs, description.limits.fan_out):
        cores[index] = _core(index, layers[index], description)
    program = ChipProgram(
        chip=description,
        cores=cores,
        dvs=dvs,
        readout=_readout(reader.child("readout")),
        internal_clock_divider=_clock_divider(reader.child("factory_config"), description),
        notes=_notes(cores),
    )
    check_program(program)
    return program


def _configured(layers: list[FieldReader], dvs: DvsProgram, fan_out: int) -> list[int]:
    found = {i for i, layer in enumerate(layers) if _has_weights(layer)}
    targets = [d.layer for d in dvs.destinations]
    targets += [d.layer for i in found for d in _destinations(layers[i], fan_out)]
    return sorted(found | {layer for layer in targets if 0 <= layer < len(layers)})


def _has_weights(layer: FieldReader) -> bool:
    weights = layer.tensor("weights", np.int8)
    return weights.size > 1 or bool(weights.any())


def _destinations(layer: FieldReader, fan_out: int) -> tuple[Destination, ...]:
    found = []
    for slot, entry in enumerate(layer.sequence("destinations", fan_out)):
        if entry.flag("enable"):
            pooling = entry.integer("pooling", 1)
            shift = entry.integer("feature_shift", 0)
            found.append(Destination(entry.integer("layer"), pooling, shift, slot))
    return tuple(found)


def _shape(dimensions: FieldReader, attribute: str) -> Shape:
    shape = dimensions.child(attribute)
    height, width = shape.pair("size")
    return shape.integer("feature_count"), height, width


def _core(index: int, layer: FieldReader, description: ChipDescription) -> CoreProgram:
    dimensions = layer.child("dimensions")
    out_shape = _shape(dimensions, "output_shape")
    weights = layer.tensor("weights", np.int8)
    kernel = dimensions.integer("kernel_size")
    in_shape = _shape(dimensions, "input_shape")
    wanted = (out_shape[0], in_shape[0], kernel, kernel)
    if weights.shape != wanted:
        raise layer.invalid("weights", f"shape {weights.shape}", f"shape {wanted}")
    return CoreProgram(
        index=index,
        weights=np.ascontiguousarray(weights.transpose(0, 1, 3, 2)),
        in_shape=in_shape,
        out_shape=out_shape,
        threshold_high=layer.integer("threshold_high"),
        threshold_low=layer.integer("threshold_low"),
        stride=dimensions.pair("stride"),
        padding=dimensions.pair("padding"),
        initial=_initial(layer, out_shape),
        bias=_bias(layer, out_shape),
        return_to_zero=layer.flag("return_to_zero"),
        destinations=_destinations(layer, description.limits.fan_out),
        monitor=layer.flag("monitor_enable"),
        leak=layer.flag("leak_enable"),
        leak_internal_clock=layer.flag("leak_internal_slow_clk_enable", False),
        decimation=_decimation(layer, description),
        congestion_balancer=layer.flag("input_congestion_balancer_enable", False),
    )


def _initial(layer: FieldReader, out_shape: Shape) -> npt.NDArray[np.int16] | None:
    values = layer.tensor("neurons_initial_value", np.int16)
    if not values.any():
        return None
    wanted = (out_shape[0], out_shape[2], out_shape[1])
    if values.shape != wanted:
        raise layer.invalid("neurons_initial_value", f"shape {values.shape}", f"shape {wanted}")
    return np.ascontiguousarray(values.transpose(0, 2, 1))


def _bias(layer: FieldReader, out_shape: Shape) -> npt.NDArray[np.int16] | None:
    values = layer.tensor("biases", np.int16)
    if not values.any():
        return None
    if values.shape != out_shape[:1]:
        raise layer.invalid("biases", f"shape {values.shape}", f"shape {out_shape[:1]}")
    return values


def _decimation(layer: FieldReader, description: ChipDescription) -> int:
    if not layer.flag("output_decimator_enable", False):
        return 1
    intervals = description.limits.decimator_intervals
    interval = layer.integer("output_decimator_interval")
    if not 0 <= interval < len(intervals):
        raise layer.invalid(
            "output_decimator_interval", str(interval), f"0 to {len(intervals) - 1}"
        )
    return intervals[interval]


def _clock_divider(factory: FieldReader, description: ChipDescription) -> int:
    low, high = description.clock_dividers
    divider = factory.integer("internal_slow_clk_divider", low)
    if not low <= divider <= high:
        raise factory.invalid("internal_slow_clk_divider", str(divider), f"{low} to {high}")
    return divider


def _dvs(reader: FieldReader, description: ChipDescription) -> DvsProgram:
    last = description.limits.sensor_size - 1
    layer = reader.child("dvs_layer")
    mirror = layer.pair("mirror", (0, 0))
    return DvsProgram(
        destinations=_destinations(layer, description.limits.fan_out),
        on_channel=layer.flag("on_channel", True),
        off_channel=layer.flag("off_channel", True),
        merge=layer.flag("merge", False),
        pooling=layer.pair("pooling", (1, 1)),
        origin=layer.pair("origin", (0, 0)),
        cut=layer.pair("cut", (last, last)),
        mirror=(bool(mirror[0]), bool(mirror[1])),
        mirror_diagonal=layer.flag("mirror_diagonal", False),
        monitor=layer.flag("monitor_enable", False),
        raw_monitor=layer.flag("raw_monitor_enable", False),
        pass_sensor_events=layer.flag("pass_sensor_events", True),
        filter=_dvs_filter(reader.child("dvs_filter")),
    )


def _dvs_filter(layer: FieldReader) -> DvsFilterProgram | None:
    if not layer.flag("enable", False):
        return None
    return DvsFilterProgram(
        hot_pixel=layer.flag("hot_pixel_filter_enable", False),
        low_pass=layer.flag("low_pass_mode_enable", False),
        size=layer.pair("filter_size", (1, 1)),
        threshold=layer.integer("threshold", 1),
        internal_clock=layer.flag("internal_slow_clk", False),
    )


def _readout(layer: FieldReader) -> ReadoutProgram | None:
    if not layer.flag("enable", False):
        return None
    window = 32 if layer.flag("low_pass_filter32_not16", False) else 16
    return ReadoutProgram(
        internal_clock=layer.flag("internal_slow_clk", False),
        window=1 if layer.flag("low_pass_filter_disable", False) else window,
        monitor=layer.flag("monitor_enable", False),
        pin_monitor=layer.flag("readout_pin_monitor_enable", False),
        mode=layer.integer("output_mode_sel", 0),
        layout=layer.integer("readout_configuration_sel", 0),
        threshold=layer.integer("threshold", 0),
        neuron=layer.integer("output_neuron_num", 0),
    )


def _notes(cores: dict[int, CoreProgram]) -> tuple[str, ...]:
    return tuple(
        f"cnn_layers[{i}].input_congestion_balancer_enable is set, but drops are not simulated: "
        "no public source gives the speed of a core."
        for i, core in sorted(cores.items())
        if core.congestion_balancer
    )
