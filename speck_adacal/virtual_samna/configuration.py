"""The configuration classes of `samna.speck2e.configuration` and `samna.speck2f.configuration`.

One table of fields serves all chips (the vendor's reference pages list the same properties for
both that there are), with the numbers of each chip's description; every chip gets classes of its
own, so that a speck2e configuration is refused by speck2f.
Names, types and defaults follow the samna contract, section 1; a field whose default or type is
not public carries its grade and a note (`UNVERIFIED` lists them for the docs).
"""

from __future__ import annotations

from typing import Any

from speck_adacal.chip_description import ChipDescription, ChipLimits, load_chip_description
from speck_adacal.virtual_samna.fields import (
    Array,
    Bool,
    Evidence,
    Int,
    Nested,
    Pair,
    Schema,
    Tensor,
)
from speck_adacal.virtual_samna.objects import SchemaObject, define
from speck_adacal.virtual_samna.pairs import Vec2_bool, Vec2_unsigned_char

_M = Evidence("M")


def _unknown(note: str) -> Evidence:
    return Evidence("?", note)


def _assumed(note: str) -> Evidence:
    return Evidence("L", note)


_UPPER = Evidence("M", "upper limit assumed")
_DEBUG = _assumed("the class exists; name and fields do not")
_RANDOMISE = "default not public; above threshold_low, so that randomised states can be drawn"


def schemas(chip: ChipDescription) -> dict[str, Schema]:
    """Fields by class, in an order in which nested classes come first."""
    return {
        **_core_schemas(chip),
        **_sensor_schemas(chip.limits),
        **_factory_schemas(chip),
        **_whole_schemas(chip),
    }


def _core_schemas(chip: ChipDescription) -> dict[str, Schema]:
    limits, cores = chip.limits, range(len(chip.cores))
    last_feature = limits.features - 1
    weight, potential, bias = (
        f"int{n}" for n in (limits.weight_bits, limits.potential_bits, limits.bias_bits)
    )
    return {
        "CnnLayerDestination": {
            "enable": Bool(),
            "layer": Int("uint8", choices=(*cores, chip.readout_layer)),
            "pooling": Int("uint8", 1, choices=limits.poolings),
            "feature_shift": Int(
                "uint16", high=last_feature, evidence=Evidence("M", "upper limit assumed")
            ),
        },
        "DvsLayerDestination": {
            "enable": Bool(),
            "layer": Int("uint8", choices=tuple(cores)),
        },
        "CnnLayerSize": {
            "size": Pair(Int("uint8", low=1), (1, 1), _M),
            "feature_count": Int("uint16", 1, low=1, high=limits.features, evidence=_M),
        },
        "CnnLayerDimensions": {
            "padding": Pair(Int("uint8", low=0, high=limits.padding), (0, 0)),
            "stride": Pair(Int("uint8", choices=limits.strides), (1, 1), _M),
            "kernel_size": Int("uint8", 1, low=1, high=limits.kernel_size, evidence=_M),
            "input_shape": Nested("CnnLayerSize"),
            "output_shape": Nested("CnnLayerSize"),
        },
        "CnnLayerConfig": {
            "biases": Tensor(("feature",), bias, _M),
            "destinations": Array("CnnLayerDestination", limits.fan_out),
            "dimensions": Nested("CnnLayerDimensions"),
            "input_congestion_balancer_enable": Bool(),
            "leak_enable": Bool(),
            "leak_internal_slow_clk_enable": Bool(evidence=_M),
            "monitor_enable": Bool(),
            "neurons_initial_value": Tensor(("feature", "x", "y"), potential),
            "output_decimator_enable": Bool(),
            "output_decimator_interval": Int("uint8", high=len(limits.decimator_intervals) - 1),
            "return_to_zero": Bool(),
            "threshold_high": Int(potential, 127, evidence=_unknown(_RANDOMISE)),
            "threshold_low": Int(potential, -127, evidence=_unknown("default not public")),
            "weights": Tensor(("out_feature", "in_feature", "x", "y"), weight),
        },
    }


def _sensor_schemas(limits: ChipLimits) -> dict[str, Schema]:
    last_pixel = limits.sensor_size - 1
    return {
        "DvsLayerConfig": {
            "cut": Pair(Int("uint8", high=last_pixel), (last_pixel, last_pixel), _M),
            "origin": Pair(Int("uint8", high=last_pixel), (0, 0)),
            "destinations": Array("DvsLayerDestination", limits.fan_out),
            "merge": Bool(),
            "mirror": Pair(Bool(), (False, False)),
            "mirror_diagonal": Bool(),
            "monitor_enable": Bool(),
            "raw_monitor_enable": Bool(),
            "on_channel": Bool(True),
            "off_channel": Bool(True),
            "pass_sensor_events": Bool(True, evidence=_M),
            "pooling": Pair(Int("uint8", choices=limits.poolings), (1, 1)),
        },
        "DvsFilterConfig": {
            "enable": Bool(),
            "hot_pixel_filter_enable": Bool(),
            "low_pass_mode_enable": Bool(),
            "filter_size": Pair(
                Int("uint8", high=limits.filter_size), (1, 1), _assumed("default not public")
            ),
            "threshold": Int("uint16", 1, evidence=_assumed("default and width not public")),
            "internal_slow_clk": Bool(),
        },
    }


def _factory_schemas(chip: ChipDescription) -> dict[str, Schema]:
    first_divider, last_divider = chip.clock_dividers
    return {
        "FactoryDvsFilterConfig": {"filter_clk_enable": Bool(evidence=_M)},
        "FactoryDvsLayerConfig": {
            **{f"current_out{i}": Int("uint8", high=63, evidence=_M) for i in range(1, 5)},
            **{f"current_control_p{i}": Int("uint8", evidence=_M) for i in (0, 1, 3, 4, 5, 6, 7)},
        },
        "FactoryMemoryConfig": {
            "clock_pulse": Int("uint8", evidence=_M),
            "clock_setup": Int("uint8", evidence=_M),
            "macro_read": Int("uint8", evidence=_M),
        },
        "FactoryCnnLayerConfig": {
            "kernel": Nested("FactoryMemoryConfig"),
            "neuron": Nested("FactoryMemoryConfig"),
        },
        "FactoryConfig": {
            "io_sel": Int("uint8", evidence=_M),
            "internal_slow_clk_divider": Int(
                "uint8", first_divider, low=first_divider, high=last_divider, evidence=_M
            ),
            "fast_output": Bool(evidence=_M),
            "monitor_dual_channel": Bool(evidence=_M),
            "dvs_filter": Nested("FactoryDvsFilterConfig", _M),
            "dvs_layer": Nested("FactoryDvsLayerConfig", _M),
            "cnn_layers": Array("FactoryCnnLayerConfig", len(chip.cores), _M),
        },
    }


def _whole_schemas(chip: ChipDescription) -> dict[str, Schema]:
    return {
        "ReadoutConfig": {
            "enable": Bool(),
            "internal_slow_clk": Bool(evidence=_M),
            "low_pass_filter_disable": Bool(),
            "low_pass_filter32_not16": Bool(),
            "monitor_enable": Bool(),
            "readout_pin_monitor_enable": Bool(),
            "output_mode_sel": Int("uint8", high=3, evidence=_M),
            "readout_configuration_sel": Int("uint8", high=3, evidence=_M),
            "threshold": Int("uint16", evidence=_M),
            "output_neuron_num": Int(
                "uint8", high=chip.readout_classes, evidence=_assumed("width not public")
            ),
            "override_threshold_max": Bool(evidence=_unknown("type not public")),
        },
        "DebugConfig": {},
        "SpeckConfiguration": {
            "cnn_layers": Array("CnnLayerConfig", len(chip.cores)),
            "dvs_layer": Nested("DvsLayerConfig"),
            "dvs_filter": Nested("DvsFilterConfig"),
            "readout": Nested("ReadoutConfig"),
            "factory_config": Nested("FactoryConfig"),
            "debug_config": Nested("DebugConfig", _DEBUG),
        },
    }


def configuration_classes(chip: str) -> dict[str, type[Any]]:
    """The configuration classes of a chip, by name."""
    pairs: dict[str, type[SchemaObject]] = {c.__name__: c for c in (Vec2_bool, Vec2_unsigned_char)}
    family = dict(pairs)
    for name, schema in schemas(load_chip_description(chip)).items():
        family[name] = define(
            name,
            schema,
            module=f"samna.{chip}.configuration",
            qualified=f"{chip}::configuration::{name}",
            family=family,
        )
    return {name: cls for name, cls in family.items() if name not in pairs}


def unverified() -> list[tuple[str, str, str]]:
    """Every field that is not graded H: (class.field, grade, note), for the docs and tests."""
    return [
        (f"{owner}.{name}", kind.evidence.grade, kind.evidence.note)
        for owner, schema in schemas(load_chip_description()).items()
        for name, kind in schema.items()
        if kind.evidence.grade != "H"
    ]
