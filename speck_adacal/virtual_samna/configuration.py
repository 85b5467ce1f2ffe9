"""The configuration classes of `samna.speck2e.configuration` and `samna.speck2f.configuration`.

One table of fields serves both chips (the vendor's reference pages list the same properties for
both); every chip gets classes of its own, so that a speck2e configuration is refused by speck2f.
Names, types and defaults follow the samna contract, section 1; a field whose default or type is
not public carries its grade and a note (`UNVERIFIED` lists them for the docs).
"""

from __future__ import annotations

from typing import Any

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

CORES = 9
READOUT_LAYER = 12
DVS_LAYER = 13

_M = Evidence("M")
_POOL = (1, 2, 4)
_STRIDE = (1, 2, 4, 8)


def _unknown(note: str) -> Evidence:
    return Evidence("?", note)


def _assumed(note: str) -> Evidence:
    return Evidence("L", note)


_RANDOMISE = "default not public; above threshold_low, so that randomised states can be drawn"

CONFIGURATION: dict[str, Schema] = {
    "CnnLayerDestination": {
        "enable": Bool(),
        "layer": Int("uint8", choices=(*range(CORES), READOUT_LAYER)),
        "pooling": Int("uint8", 1, choices=_POOL),
        "feature_shift": Int("uint16", high=1023, evidence=Evidence("M", "upper limit assumed")),
    },
    "DvsLayerDestination": {
        "enable": Bool(),
        "layer": Int("uint8", choices=tuple(range(CORES))),
    },
    "CnnLayerSize": {
        "size": Pair(Int("uint8", low=1), (1, 1), _M),
        "feature_count": Int("uint16", 1, low=1, high=1024, evidence=_M),
    },
    "CnnLayerDimensions": {
        "padding": Pair(Int("uint8", low=0, high=7), (0, 0)),
        "stride": Pair(Int("uint8", choices=_STRIDE), (1, 1), _M),
        "kernel_size": Int("uint8", 1, low=1, high=16, evidence=_M),
        "input_shape": Nested("CnnLayerSize"),
        "output_shape": Nested("CnnLayerSize"),
    },
    "CnnLayerConfig": {
        "biases": Tensor(("feature",), "int16", _M),
        "destinations": Array("CnnLayerDestination", 2),
        "dimensions": Nested("CnnLayerDimensions"),
        "input_congestion_balancer_enable": Bool(),
        "leak_enable": Bool(),
        "leak_internal_slow_clk_enable": Bool(evidence=_M),
        "monitor_enable": Bool(),
        "neurons_initial_value": Tensor(("feature", "x", "y"), "int16"),
        "output_decimator_enable": Bool(),
        "output_decimator_interval": Int("uint8", high=7),
        "return_to_zero": Bool(),
        "threshold_high": Int("int16", 127, evidence=_unknown(_RANDOMISE)),
        "threshold_low": Int("int16", -127, evidence=_unknown("default not public")),
        "weights": Tensor(("out_feature", "in_feature", "x", "y"), "int8"),
    },
    "DvsLayerConfig": {
        "cut": Pair(Int("uint8", high=127), (127, 127), _M),
        "origin": Pair(Int("uint8", high=127), (0, 0)),
        "destinations": Array("DvsLayerDestination", 2),
        "merge": Bool(),
        "mirror": Pair(Bool(), (False, False)),
        "mirror_diagonal": Bool(),
        "monitor_enable": Bool(),
        "raw_monitor_enable": Bool(),
        "on_channel": Bool(True),
        "off_channel": Bool(True),
        "pass_sensor_events": Bool(True, evidence=_M),
        "pooling": Pair(Int("uint8", choices=_POOL), (1, 1)),
    },
    "DvsFilterConfig": {
        "enable": Bool(),
        "hot_pixel_filter_enable": Bool(),
        "low_pass_mode_enable": Bool(),
        "filter_size": Pair(Int("uint8", high=15), (1, 1), _assumed("default not public")),
        "threshold": Int("uint16", 1, evidence=_assumed("default and width not public")),
        "internal_slow_clk": Bool(),
    },
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
        "output_neuron_num": Int("uint8", high=15, evidence=_assumed("width not public")),
        "override_threshold_max": Bool(evidence=_unknown("type not public")),
    },
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
        "internal_slow_clk_divider": Int("uint8", 14, low=14, high=17, evidence=_M),
        "fast_output": Bool(evidence=_M),
        "monitor_dual_channel": Bool(evidence=_M),
        "dvs_filter": Nested("FactoryDvsFilterConfig", _M),
        "dvs_layer": Nested("FactoryDvsLayerConfig", _M),
        "cnn_layers": Array("FactoryCnnLayerConfig", CORES, _M),
    },
    "DebugConfig": {},
    "SpeckConfiguration": {
        "cnn_layers": Array("CnnLayerConfig", CORES),
        "dvs_layer": Nested("DvsLayerConfig"),
        "dvs_filter": Nested("DvsFilterConfig"),
        "readout": Nested("ReadoutConfig"),
        "factory_config": Nested("FactoryConfig"),
        "debug_config": Nested("DebugConfig", _assumed("the class exists; name and fields do not")),
    },
}
"""Fields by class, in an order in which nested classes come first."""


def configuration_classes(chip: str) -> dict[str, type[Any]]:
    """The configuration classes of `chip` ("speck2e" or "speck2f"), by name."""
    family: dict[str, type[SchemaObject]] = {}
    for name, schema in CONFIGURATION.items():
        family[name] = define(
            name,
            schema,
            module=f"samna.{chip}.configuration",
            qualified=f"{chip}::configuration::{name}",
            family=family,
        )
    return dict(family)


def unverified() -> list[tuple[str, str, str]]:
    """Every field that is not graded H: (class.field, grade, note), for the docs and tests."""
    return [
        (f"{owner}.{name}", kind.evidence.grade, kind.evidence.note)
        for owner, schema in CONFIGURATION.items()
        for name, kind in schema.items()
        if kind.evidence.grade != "H"
    ]
