"""Is a `ChipProgram` something the chip could run? Names the first field that is not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import ChipDescription, ChipLimits, core_memory_use
from speck_adacal.errors import ConfigurationError
from speck_adacal.twin import layout
from speck_adacal.twin.program import ChipProgram, CoreProgram, Destination, DvsProgram

_BITS = {kind: np.iinfo(kind).bits for kind in (np.int8, np.int16)}
_MOST_READOUT_CLASSES = 15  # `ReadoutValue` has four bits for the winner, and 0 is idle


def check_program(program: ChipProgram) -> None:
    """Check every range, shape, memory and connection.

    Raises:
        ConfigurationError: naming the first offending field, the value found, what is allowed.
    """
    _check_chip(program.chip)
    for index, core in sorted(program.cores.items()):
        if index != core.index or not 0 <= index < len(program.chip.cores):
            raise _invalid(f"cnn_layers[{index}]", core.index, "its own place among the cores")
        _check_core(program, core)
    _check_dvs(program.dvs, program.chip.limits)
    _check_readout(program)
    for index, core in sorted(program.cores.items()):
        _check_destinations(program, f"cnn_layers[{index}]", core.destinations, core.out_shape)
    _check_destinations(program, "dvs_layer", program.dvs.destinations, program.dvs.out_shape)
    _check_loops(program)


def _check_chip(chip: ChipDescription) -> None:
    """The one place that says which chips the twin can be: its words and rooms are compiled in."""
    limits = chip.limits
    for name, found, allowed in (
        ("bits.weight", limits.weight_bits, _BITS[np.int8]),
        ("bits.potential", limits.potential_bits, _BITS[np.int16]),
        ("bits.bias", limits.bias_bits, _BITS[np.int16]),
    ):
        if found != allowed:
            raise _beyond(chip, name, found, f"{allowed}")
    for name, found, most in (
        ("chip.cores", len(chip.cores), layout.CORES),
        ("limits.fan_out", limits.fan_out, layout.ROUTES),
        ("routing.readout_classes", chip.readout_classes, _MOST_READOUT_CLASSES),
    ):
        if found > most:
            raise _beyond(chip, name, found, f"at most {most}")


def _beyond(chip: ChipDescription, name: str, found: int, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"The chip {chip.name} has {name} = {found}, but the twin simulates {allowed} only; its "
        "kernels must be extended for this chip."
    )


def _check_core(program: ChipProgram, core: CoreProgram) -> None:
    limits, where = program.chip.limits, f"cnn_layers[{core.index}]"
    for name, found, low, high in _core_ranges(core, limits):
        if not low <= found <= high:
            raise _invalid(f"{where}.{name}", found, f"{low} to {high}")
    for axis, stride in zip("yx", core.stride, strict=True):
        if stride not in limits.strides:
            raise _invalid(f"{where}.dimensions.stride.{axis}", stride, f"one of {limits.strides}")
    if core.decimation not in (1, *limits.decimator_intervals):
        allowed = f"1 or one of {limits.decimator_intervals}"
        raise _invalid(f"{where}.output_decimator_interval", core.decimation, allowed)
    _check_core_arrays(where, core)
    _check_out_size(where, core)
    _check_memory(program, core)


def _core_ranges(core: CoreProgram, limits: ChipLimits) -> Iterator[tuple[str, int, int, int]]:
    low, high = limits.potential_range
    (fi, hi, wi), (fo, ho, wo) = core.in_shape, core.out_shape
    yield "dimensions.input_shape.feature_count", fi, 1, limits.features
    yield "dimensions.input_shape.size.y", hi, 1, limits.input_size
    yield "dimensions.input_shape.size.x", wi, 1, limits.input_size
    yield "dimensions.output_shape.feature_count", fo, 1, limits.features
    yield "dimensions.output_shape.size.y", ho, 1, limits.map_size
    yield "dimensions.output_shape.size.x", wo, 1, limits.map_size
    yield "dimensions.kernel_size", max(core.kernel_size), 1, limits.kernel_size
    yield "dimensions.padding.y", core.padding[0], 0, limits.padding
    yield "dimensions.padding.x", core.padding[1], 0, limits.padding
    yield "threshold_high", core.threshold_high, low, high
    yield "threshold_low", core.threshold_low, low, high


def _check_core_arrays(where: str, core: CoreProgram) -> None:
    features, height, width = core.out_shape
    kernel = (features, core.in_shape[0], core.weights.shape[-1], core.weights.shape[-1])
    _check_array(f"{where}.weights", core.weights, np.int8, kernel)
    initial = core.initial_potentials()
    _check_array(f"{where}.neurons_initial_value", initial, np.int16, (features, height, width))
    _check_array(f"{where}.biases", core.biases(), np.int16, (features,))


def _check_array(
    name: str, array: npt.NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    if array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} of shape {array.shape}"
        raise _invalid(name, found, f"{np.dtype(dtype)} of shape {shape}")


def _check_out_size(where: str, core: CoreProgram) -> None:
    for axis, name in enumerate("yx"):
        space = core.in_shape[1 + axis] + 2 * core.padding[axis] - core.kernel_size[axis]
        wanted = space // core.stride[axis] + 1
        if core.out_shape[1 + axis] != wanted or space < 0:
            raise _invalid(
                f"{where}.dimensions.output_shape.size.{name}",
                core.out_shape[1 + axis],
                f"{wanted}, which input, kernel, stride and padding give",
            )


def _check_memory(program: ChipProgram, core: CoreProgram) -> None:
    memory = program.chip.cores[core.index]
    has_bias = core.leak and bool(core.biases().any())
    use = core_memory_use(core.in_shape[0], core.out_shape, core.kernel_size, has_bias=has_bias)
    for kind in ("kernel", "neuron", "bias"):
        needed, available = getattr(use, kind), getattr(memory, kind)
        if needed > available:
            raise _invalid(
                f"cnn_layers[{core.index}] ({kind} memory)",
                f"{needed} words",
                f"{available} words on this core",
            )


def _check_destinations(
    program: ChipProgram, where: str, destinations: tuple[Destination, ...], shape: tuple[int, ...]
) -> None:
    limits = program.chip.limits
    if len({d.slot for d in destinations}) != len(destinations):
        raise _invalid(f"{where}.destinations", destinations, "one entry a slot")
    for d in destinations:
        name = f"{where}.destinations[{d.slot}]"
        if not 0 <= d.slot < limits.fan_out:
            raise _invalid(name, d.slot, f"slots 0 to {limits.fan_out - 1}")
        if d.pooling not in limits.poolings:
            raise _invalid(f"{name}.pooling", d.pooling, f"one of {limits.poolings}")
        if not 0 <= d.feature_shift < limits.features:
            raise _invalid(f"{name}.feature_shift", d.feature_shift, f"0 to {limits.features - 1}")
        readout = program.chip.readout_layer
        if d.layer == readout:
            continue
        if d.layer not in program.cores:
            raise _invalid(
                f"{name}.layer",
                d.layer,
                f"configured: {sorted(program.cores)}, or the readout layer {readout}",
            )
        _check_fit(name, d, shape, program.cores[d.layer])


def _check_fit(name: str, d: Destination, shape: tuple[int, ...], target: CoreProgram) -> None:
    for axis, side in ((1, "y"), (2, "x")):
        wanted = target.in_shape[axis]
        if wanted not in (shape[axis] // d.pooling, -(-shape[axis] // d.pooling)):
            raise _invalid(
                f"cnn_layers[{d.layer}].dimensions.input_shape.size.{side}",
                wanted,
                f"{shape[axis] // d.pooling}, the pooled output of {name.partition('.')[0]}",
            )
    if shape[0] + d.feature_shift > target.in_shape[0]:
        raise _invalid(
            f"cnn_layers[{d.layer}].dimensions.input_shape.feature_count",
            target.in_shape[0],
            f"at least {shape[0] + d.feature_shift}, the features and feature_shift of {name}",
        )


def _check_dvs(dvs: DvsProgram, limits: ChipLimits) -> None:
    for axis, name in enumerate("yx"):
        if dvs.pooling[axis] not in limits.poolings:
            allowed = f"one of {limits.poolings}"
            raise _invalid(f"dvs_layer.pooling.{name}", dvs.pooling[axis], allowed)
        if not 0 <= dvs.origin[axis] < limits.sensor_size:
            allowed = f"0 to {limits.sensor_size - 1}"
            raise _invalid(f"dvs_layer.origin.{name}", dvs.origin[axis], allowed)
        if not dvs.origin[axis] <= dvs.cut[axis] < limits.sensor_size:
            allowed = f"{dvs.origin[axis]} (the origin) to {limits.sensor_size - 1}"
            raise _invalid(f"dvs_layer.cut.{name}", dvs.cut[axis], allowed)
    if dvs.filter is not None and not dvs.filter.low_pass:
        for axis, name in enumerate("yx"):
            found, most = dvs.filter.size[axis], limits.filter_size
            if not 1 <= found <= most:
                raise _invalid(f"dvs_filter.filter_size.{name}", found, f"1 to {most}")
    if dvs.filter is not None and dvs.filter.threshold < 0:
        raise _invalid("dvs_filter.threshold", dvs.filter.threshold, "0 or more")


def _check_readout(program: ChipProgram) -> None:
    readout = program.readout
    if readout is None:
        return
    if readout.window not in program.chip.readout_windows:
        raise _invalid("readout window", readout.window, f"one of {program.chip.readout_windows}")
    for name in ("mode", "layout"):
        if not 0 <= getattr(readout, name) <= 3:
            raise _invalid(f"readout.{name}", getattr(readout, name), "0 to 3")
    if not 0 <= readout.neuron <= program.chip.readout_classes:
        allowed = f"0 to {program.chip.readout_classes}"
        raise _invalid("readout.neuron", readout.neuron, allowed)
    most = 2**program.chip.limits.readout_counter_bits - 1
    if not 0 <= readout.threshold <= most:
        raise _invalid("readout.threshold", readout.threshold, f"0 to {most}")


def _check_loops(program: ChipProgram) -> None:
    looping = sorted(set(program.cores) - set(program.topological_order()))
    if looping:
        raise ConfigurationError(
            f"The configuration's destinations form a loop through the cores {looping}, but the "
            "twin runs feed-forward configurations only; disable one of these destinations."
        )


def _invalid(field: str, found: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"The chip configuration has {field} = {found}, allowed is {allowed}; correct this field."
    )
