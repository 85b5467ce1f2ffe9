"""A chip configuration that stands alone: what each core in use is told, checked when read.

It is what `chip.json` and `chip.safetensors` of a bundle hold together, and what one JSON file of
`export --format json` holds (see `configuration_json.py`). The network it came from is not needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import dump_json
from speck_adacal.bundle.migrate import CHIP_FORMAT
from speck_adacal.bundles.configuration_data import SCALARS, TENSORS, configuration_to_data
from speck_adacal.bundles.field_values import chosen, rate, whole
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.wiring import Wiring, write_fields
from speck_adacal.chip_description import ChipDescription, known_chips, load_chip_description
from speck_adacal.errors import BundleError
from speck_adacal.validation import from_data
from speck_adacal.virtual_samna import ensure_samna

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class ChipConfiguration:
    """The used cores of a chip.

    Attributes:
        chip: a name of `chip_description.known_chips()`.
        order: cores in order of the signal, the readout last.
        layers: for each of them `name` and how it was quantised.
        cores: scalars, dimensions and destinations of each core, by its index as text.
        arrays: by `"core<i>.<field>"`: weights int8 `[out, in, x, y]`, biases int16 `[out]`,
            neurons_initial_value int16 `[out, x, y]`, in samna's order of axes.
        slow_clock_hz: rate of the slow clock, for biases that leak, filter or read-out; None if
            nothing needs it.
        wiring: sensor and read-out on the chip.
    """

    chip: str
    order: tuple[int, ...]
    layers: tuple[Mapping[str, Any], ...]
    cores: Mapping[str, Mapping[str, Any]]
    arrays: Arrays = field(repr=False)
    slow_clock_hz: float | None = None
    wiring: Wiring = field(default_factory=Wiring)

    @property
    def entry(self) -> int:
        """Where input enters: the first core, or the layer number of the sensor's stage."""
        sensor = self.wiring.sensor is not None
        return load_chip_description(self.chip).dvs_layer if sensor else self.order[0]

    @property
    def entry_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of what enters there."""
        side = load_chip_description(self.chip).limits.sensor_size
        return self.input_shape if self.wiring.sensor is None else (2, side, side)

    @property
    def around(self) -> dict[str, Any]:
        """What samna's configuration is told beside the cores, by its own names."""
        return self.wiring.fields(self.order, self.input_shape, load_chip_description(self.chip))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of the first core's input."""
        return self._shape(self.order[0], "input_shape")

    def output_shape(self, core: int) -> tuple[int, int, int]:
        """`(channels, height, width)` of a core's neurons."""
        return self._shape(core, "output_shape")

    def label(self, core: int) -> str:
        """Such as `core 3 (layer conv2)`."""
        return f"core {core} (layer {self.layers[self.order.index(core)]['name']})"

    def sources(self, core: int) -> tuple[int, ...]:
        """Cores in use that send to `core`."""
        return tuple(source for source in self.order if core in self.destinations(source))

    def destinations(self, core: int) -> tuple[int, ...]:
        """Cores that `core` sends to."""
        entries = self.cores[str(core)]["destinations"]
        return tuple(int(entry["layer"]) for entry in entries if entry["enable"])

    def tensor(self, core: int, name: str) -> npt.NDArray[Any]:
        """A core's weights, biases or initial values."""
        return self.arrays[f"core{core}.{name}"]

    def data(self) -> dict[str, Any]:
        """Everything but the arrays, as plain data: the content of `chip.json`."""
        clock = {} if self.slow_clock_hz is None else {"slow_clock_hz": self.slow_clock_hz}
        plain = self.wiring == Wiring()
        wired = {} if plain else {"wiring": asdict(self.wiring), "samna": self.around}
        return {
            "format": CHIP_FORMAT,
            "chip": self.chip,
            **clock,
            **wired,
            "order": list(self.order),
            "layers": [dict(layer) for layer in self.layers],
            "cores": {core: dict(fields) for core, fields in self.cores.items()},
        }

    def digest(self, core: int) -> str:
        """SHA-256 of everything that a core is told, except whether its monitor is on."""
        fields = {k: v for k, v in self.cores[str(core)].items() if k != "monitor_enable"}
        found = hashlib.sha256(dump_json(fields))
        for name, dtype in TENSORS.items():
            array = np.ascontiguousarray(self.tensor(core, name), dtype=np.dtype(dtype))
            found.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return found.hexdigest()

    def to_samna(self) -> Any:
        """samna's (or the virtual) `SpeckConfiguration` of these cores, all else at its default."""
        ensure_samna()
        import samna

        configuration = getattr(samna, self.chip).configuration.SpeckConfiguration()
        configuration.dvs_layer.pass_sensor_events = False  # input comes from the host
        for core in self.order:
            self._fill(configuration.cnn_layers[core], core)
        write_fields(configuration, self.around)
        return configuration

    def _fill(self, target: Any, core: int) -> None:
        # Set as sinabs sets them: pairs as mappings, tensors as nested lists.
        fields = self.cores[str(core)]
        dimensions = fields["dimensions"]
        target.dimensions.kernel_size = dimensions["kernel_size"]
        for name in ("padding", "stride"):
            y, x = dimensions[name]
            setattr(target.dimensions, name, {"x": x, "y": y})
        for name in ("input_shape", "output_shape"):
            channels, height, width = dimensions[name]
            shape = getattr(target.dimensions, name)
            shape.size = {"x": width, "y": height}
            shape.feature_count = channels
        for name in SCALARS:
            setattr(target, name, fields[name])
        for name in TENSORS:
            setattr(target, name, self.tensor(core, name).tolist())
        for index, entry in enumerate(fields["destinations"]):
            for name, value in entry.items():
                setattr(target.destinations[index], name, value)

    def _shape(self, core: int, name: str) -> tuple[int, int, int]:
        channels, height, width = self.cores[str(core)]["dimensions"][name]
        return int(channels), int(height), int(width)


def configuration_of(deployment: Deployment) -> ChipConfiguration:
    """The configuration of a deployment."""
    layers = tuple(
        {
            "name": layer.folded.name,
            "scale": layer.scale,
            "limited_by": layer.limited_by,
            "window_steps": layer.window_steps,
        }
        for layer in deployment.layers
    )
    held = held_by(deployment.mapped.configuration, deployment.chip, deployment.cores, layers)
    return replace(held, slow_clock_hz=deployment.slow_clock_hz, wiring=deployment.wiring)


def held_by(
    configuration: Any,
    chip: str,
    order: tuple[int, ...],
    layers: tuple[Mapping[str, Any], ...],
) -> ChipConfiguration:
    """What a samna configuration object holds for the cores in `order`."""
    data, arrays = configuration_to_data(configuration, order)
    return ChipConfiguration(chip, order, layers, data["cores"], arrays)


def checked_configuration(data: Any, arrays: Arrays, where: str) -> ChipConfiguration:
    """Plain data and arrays, as read from a file, as a configuration.

    Args:
        data: content of `chip.json`.
        arrays: content of `chip.safetensors`.
        where: names the file in messages.

    Raises:
        BundleError: a field is missing, of a wrong type or shape; the message names it.
    """
    try:
        chip = load_chip_description(chosen(data["chip"], known_chips(), "chip"))
        last = len(chip.cores) - 1
        result = ChipConfiguration(
            chip=chip.name,
            order=tuple(whole(core, "order", 0, last) for core in data["order"]),
            layers=tuple(dict(layer) for layer in data["layers"]),
            cores={str(core): dict(fields) for core, fields in data["cores"].items()},
            arrays=arrays,
            slow_clock_hz=rate(data.get("slow_clock_hz")),
            wiring=from_data(
                Wiring, data.get("wiring", {}), f"wiring in {where}", BundleError, "make it again"
            ),
        )
        _check_wiring(data, result)
        _check_whole(data, result)
        for core in result.order:
            _check_fields(result.cores[str(core)], f"core {core}", chip)
            _check_arrays(result, core)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{where} is malformed: {said}; make it again.") from error
    return result


def _check_wiring(data: Mapping[str, Any], found: ChipConfiguration) -> None:
    if fault := found.wiring.fault(found.input_shape, load_chip_description(found.chip)):
        raise ValueError(f"wiring: {fault}")
    if data.get("samna", {}) != found.around:
        raise ValueError("samna does not say what wiring says")


def _check_whole(data: Mapping[str, Any], found: ChipConfiguration) -> None:
    if data.get("format") != CHIP_FORMAT:
        raise ValueError(f"format is {data.get('format')!r}, needed is {CHIP_FORMAT!r}")
    if not found.order or len(set(found.order)) != len(found.order):
        raise ValueError(f"order is {list(found.order)}, needed is every core in use once")
    if {str(core) for core in found.order} != set(found.cores):
        raise ValueError(f"order is {list(found.order)}, but cores are {sorted(found.cores)}")
    if len(found.layers) != len(found.order):
        raise ValueError(f"there are {len(found.layers)} layers for {len(found.order)} cores")
    for layer in found.layers:
        if not isinstance(layer["name"], str):
            raise ValueError(f"a layer is named {layer['name']!r}, needed is text")


def _check_fields(fields: Mapping[str, Any], core: str, chip: ChipDescription) -> None:
    limits = chip.limits
    for name in SCALARS:
        value = fields[name]
        if not isinstance(value, (bool, int)):
            raise ValueError(f"{name} of {core} is {value!r}, needed is a whole number or a flag")
    dimensions = fields["dimensions"]
    whole(dimensions["kernel_size"], f"kernel_size of {core}", 1, limits.kernel_size)
    for name, length, high in (
        ("padding", 2, limits.padding),
        ("stride", 2, max(limits.strides)),
        ("input_shape", 3, limits.features),
        ("output_shape", 3, limits.features),
    ):
        values = dimensions[name]
        if not isinstance(values, list) or len(values) != length:
            raise ValueError(f"{name} of {core} is {values!r}, needed are {length} numbers")
        for value in values:
            whole(value, f"{name} of {core}", 0, high)
    destinations = fields["destinations"]
    if not isinstance(destinations, list) or len(destinations) != limits.fan_out:
        raise ValueError(f"destinations of {core} must be a list of {limits.fan_out}")
    for entry in destinations:
        if not isinstance(entry["enable"], bool):
            raise ValueError(f"enable of a destination of {core} must be true or false")
        for name, high in (
            ("layer", chip.readout_layer),
            ("pooling", max(limits.poolings)),
            ("feature_shift", limits.features - 1),
        ):
            whole(entry[name], f"{name} of a destination of {core}", 0, high)


def _check_arrays(found: ChipConfiguration, core: int) -> None:
    dimensions = found.cores[str(core)]["dimensions"]
    out, height, width = found.output_shape(core)
    kernel = dimensions["kernel_size"]
    shapes = {
        "weights": (out, dimensions["input_shape"][0], kernel, kernel),
        "biases": (out,),
        "neurons_initial_value": (out, width, height),
    }
    for name, dtype in TENSORS.items():
        array = found.tensor(core, name)
        if array.dtype != np.dtype(dtype) or array.shape != shapes[name]:
            raise ValueError(
                f"core{core}.{name} is {array.dtype} {array.shape}, needed is "
                f"{np.dtype(dtype)} {shapes[name]}"
            )
