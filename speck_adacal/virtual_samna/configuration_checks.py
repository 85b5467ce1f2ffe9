"""`validate_configuration`: is a configuration one that the chip can hold?

Checked are the limits of each field, the memories of each core in use, the arithmetic of map
sizes, the shapes of tensors, and that the map a source sends equals the map its destination
expects (samna contract, section 3). Which of these the driver itself checks, and in which words,
is partly unknown: the shape of tensors and the feature count of destinations are this kit's own
checks. Cores that nothing is sent to and that hold no weights are not looked at.

The message names every fault found, one a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from speck_adacal.chip_description import (
    ChipDescription,
    ChipLimits,
    core_memory_use,
    load_chip_description,
)
from speck_adacal.virtual_samna.fields import Array, Int, Nested, Pair
from speck_adacal.virtual_samna.objects import SchemaObject, tensor_of

POLARITIES = 2


@cache
def _chip(name: str) -> ChipDescription:
    return load_chip_description(name)


def validate(config: Any, chip: str) -> tuple[bool, str]:
    """Whether `chip` can hold `config`, and every reason why not, one a line."""
    description = _chip(chip)
    used = used_cores(config)
    faults = [
        *_dvs_faults(config),
        *_filter_faults(config, description.limits),
        *_limit_faults(config.readout, "readout"),
        *_limit_faults(config.factory_config, "factory_config"),
    ]
    for core in used:
        faults += _core_faults(config, core, description)
    return not faults, "\n".join(faults)


def used_cores(config: Any) -> list[int]:
    """Cores that an enabled destination points at, or that hold weights, in order."""
    sources = [config.dvs_layer, *config.cnn_layers]
    reached = {d.layer for s in sources for d in s.destinations if d.enable}
    filled = {i for i, c in enumerate(config.cnn_layers) if tensor_of(c, "weights").size}
    return sorted(core for core in reached | filled if core < len(config.cnn_layers))


def dvs_output_size(dvs: Any) -> tuple[int, int]:
    """(x, y) size of the map that the sensor stage sends on, after cut and diagonal swap."""
    width, height = dvs.cut.x - dvs.origin.x + 1, dvs.cut.y - dvs.origin.y + 1
    return (height, width) if dvs.mirror_diagonal else (width, height)


def _limit_faults(item: SchemaObject, where: str) -> Iterator[str]:
    for name, kind in item.SCHEMA.items():
        value, path = getattr(item, name), f"{where}.{name}"
        if isinstance(kind, Int):
            yield from _int_fault(kind, value, path)
        elif isinstance(kind, Pair) and isinstance(kind.of, Int):
            yield from _int_fault(kind.of, value.x, f"{path}.x")
            yield from _int_fault(kind.of, value.y, f"{path}.y")
        elif isinstance(kind, Nested):
            yield from _limit_faults(value, path)
        elif isinstance(kind, Array):
            for i, element in enumerate(value):
                if getattr(element, "enable", True):  # disabled destinations say nothing
                    yield from _limit_faults(element, f"{path}[{i}]")


def _int_fault(kind: Int, value: int, path: str) -> Iterator[str]:
    if not kind.within_limit(value):
        yield f"{path} is {value}, allowed is {kind.limit()}."


def _dvs_faults(config: Any) -> Iterator[str]:
    dvs = config.dvs_layer
    yield from _limit_faults(dvs, "dvs_layer")
    for axis in ("x", "y"):
        origin, cut = getattr(dvs.origin, axis), getattr(dvs.cut, axis)
        if origin > cut:
            yield f"dvs_layer.origin.{axis} is {origin}, allowed is 0 to cut.{axis} = {cut}."
    for i, destination in enumerate(dvs.destinations):
        if destination.enable and destination.layer < len(config.cnn_layers):
            where = f"dvs_layer.destinations[{i}]"
            yield from _size_fault(config, where, dvs_output_size(dvs), destination.layer)
            features = config.cnn_layers[destination.layer].dimensions.input_shape.feature_count
            sent = 1 if dvs.merge else POLARITIES
            if not sent <= features <= POLARITIES:  # more than two: sinabs issue 177
                yield (
                    f"{where} sends {sent} feature(s) to core {destination.layer}, whose "
                    f"input_shape.feature_count is {features}, allowed is {sent} to {POLARITIES}."
                )


def _filter_faults(config: Any, limits: ChipLimits) -> Iterator[str]:
    dvs_filter = config.dvs_filter
    yield from _limit_faults(dvs_filter, "dvs_filter")
    if dvs_filter.enable and not dvs_filter.low_pass_mode_enable:
        for axis in ("x", "y"):
            if getattr(dvs_filter.filter_size, axis) == 0:
                yield (
                    f"dvs_filter.filter_size.{axis} is 0, allowed is 1 to {limits.filter_size} "
                    "unless low_pass_mode_enable is set."
                )


def _size_fault(config: Any, where: str, found: tuple[int, int], target: int) -> Iterator[str]:
    size = config.cnn_layers[target].dimensions.input_shape.size
    if found != (size.x, size.y):
        yield (
            f"{where} sends a map of x:{found[0]}, y:{found[1]} to core {target}, whose "
            f"input_shape.size is x:{size.x}, y:{size.y}; the two must match."
        )


def _core_faults(config: Any, core: int, chip: ChipDescription) -> list[str]:
    layer, where = config.cnn_layers[core], f"cnn_layers[{core}]"
    faults = list(_limit_faults(layer, where))
    faults += _map_faults(layer, where, chip.limits)
    if not faults:  # sizes make sense: see whether they fit
        faults += _memory_faults(layer, core, chip)
        faults += _tensor_faults(layer, where)
    faults += _destination_faults(config, core)
    return faults


def _map_faults(layer: Any, where: str, limits: ChipLimits) -> Iterator[str]:
    dims = layer.dimensions
    for axis in ("x", "y"):
        size = getattr(dims.input_shape.size, axis)
        out = getattr(dims.output_shape.size, axis)
        padding, stride = getattr(dims.padding, axis), getattr(dims.stride, axis)
        path = f"{where}.dimensions"
        if size > limits.input_size:
            yield f"{path}.input_shape.size.{axis} is {size}, allowed is 1 to {limits.input_size}."
        if out > limits.map_size:
            yield f"{path}.output_shape.size.{axis} is {out}, allowed is 1 to {limits.map_size}."
        expected = (size - dims.kernel_size + 2 * padding) // max(stride, 1) + 1
        if out != expected:
            yield (
                f"{where}.dimensions.output_shape.size.{axis} is {out}, but input {size}, kernel "
                f"{dims.kernel_size}, padding {padding} and stride {stride} give {expected}."
            )


def _memory_faults(layer: Any, core: int, chip: ChipDescription) -> Iterator[str]:
    dims = layer.dimensions
    out = dims.output_shape
    use = core_memory_use(
        dims.input_shape.feature_count,
        (out.feature_count, out.size.y, out.size.x),
        (dims.kernel_size, dims.kernel_size),
        has_bias=bool(tensor_of(layer, "biases").any()),
    )
    for kind in ("kernel", "neuron", "bias"):
        needed, available = getattr(use, kind), getattr(chip.cores[core], kind)
        if needed > available:
            yield (
                f"cnn_layers[{core}] needs {needed} words of {kind} memory, "
                f"core {core} has {available}."
            )


def _tensor_faults(layer: Any, where: str) -> Iterator[str]:
    dims = layer.dimensions
    features, size = dims.output_shape.feature_count, dims.output_shape.size
    k = dims.kernel_size
    expected = {
        "weights": (features, dims.input_shape.feature_count, k, k),
        "biases": (features,),
        "neurons_initial_value": (features, size.x, size.y),
    }
    for name, shape in expected.items():
        array = tensor_of(layer, name)
        if array.size and array.shape != shape:
            axes = ", ".join(layer.SCHEMA[name].axes)
            yield f"{where}.{name} has shape {array.shape}, its dimensions give [{axes}] = {shape}."


def _destination_faults(config: Any, core: int) -> Iterator[str]:
    out = config.cnn_layers[core].dimensions.output_shape
    for i, destination in enumerate(config.cnn_layers[core].destinations):
        if (
            not destination.enable
            or destination.layer >= len(config.cnn_layers)
            or destination.pooling == 0
        ):
            continue
        where = f"cnn_layers[{core}].destinations[{i}]"
        found = (out.size.x // destination.pooling, out.size.y // destination.pooling)
        yield from _size_fault(config, where, found, destination.layer)
        room = config.cnn_layers[destination.layer].dimensions.input_shape.feature_count
        needed = out.feature_count + destination.feature_shift
        if needed > room:
            yield (
                f"{where} sends features up to {needed - 1} to core {destination.layer}, whose "
                f"input_shape.feature_count is {room}."
            )
