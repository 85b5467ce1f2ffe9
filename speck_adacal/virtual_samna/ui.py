"""`samna.ui`: configuration objects of the live view, and the nodes that carry them."""

from __future__ import annotations

from typing import Any

from speck_adacal.virtual_samna.events import event_class
from speck_adacal.virtual_samna.fields import Evidence, Free, Schema
from speck_adacal.virtual_samna.graph.nodes import sink_class, source_class

_SEEN = Evidence("M", "argument order from public callers")


def _free(*names: str) -> Schema:
    return {name: Free(evidence=_SEEN) for name in names}


_LINES = (
    "layout",
    "show_x_span",
    "label_interval",
    "label_format",
    "max_y_rate",
    "show_point_circle",
    "default_y_max",
    "plot_name",
    "x_label_name",
    "y_label_name",
)

SCHEMAS: dict[str, Schema] = {
    "ActivityPlotConfiguration": _free("image_width", "image_height", "title", "layout"),
    "SpikeCountPlotConfiguration": _free("title", "channel_count", "line_names", *_LINES),
    "ReadoutPlotConfiguration": _free("title", "images", "layout"),
    "PowerMeasurementPlotConfiguration": _free("title", "channel_count", "line_names", *_LINES),
    "VisualizerConfiguration": {"plots": Free(default=(), evidence=_SEEN)},
    "Readout": _free("feature", "timestamp"),
    "Measurement": _free("timestamp", "channel", "value"),
    "SpikeCount": _free("timestamp", "counts"),
    "DvsEvent": _free("layer", "channel", "row", "col", "timestamp"),
}
_CLASSES: dict[str, Any] = {}


def classes() -> dict[str, Any]:
    """The classes of `samna.ui`, by name."""
    if not _CLASSES:
        for name, schema in SCHEMAS.items():
            _CLASSES[name] = event_class(name, schema, "samna.ui", f"ui::{name}")
    return _CLASSES


def public() -> dict[str, Any]:
    """Names of the module; `Event` is the variant of all of them."""
    return {**classes(), "Event": tuple(classes().values())}


def nodes() -> dict[str, Any]:
    """`BasicSourceNode_ui_event` and `BasicSinkNode_ui_event`."""
    source, sink = "BasicSourceNode_ui_event", "BasicSinkNode_ui_event"
    return {source: source_class(source, tuple(classes().values())), sink: sink_class(sink)}
