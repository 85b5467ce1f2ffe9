"""The names that `sequential` takes, and the filter that each stands for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from speck_adacal.chip_description import known_chips
from speck_adacal.errors import BackendError
from speck_adacal.virtual_samna.graph import filters, pixel_filters, viz
from speck_adacal.virtual_samna.graph.nodes import Node

_CAMERA: dict[str, type[Node]] = {
    "DvsEventCrop": pixel_filters.EventCropNode,
    "DvsEventDecimate": pixel_filters.EventDecimateNode,
    "DvsEventRescale": pixel_filters.EventRescaleNode,
}
"""Filters of cameras' events; a chip's have the chip's name in front."""

_CHIP: dict[str, type[Node]] = {
    "OutputEventTypeFilter": filters.EventTypeFilterNode,
    "OutputMemberSelect": filters.MemberSelectNode,
    "DvsToVizConverter": filters.DvsToVizNode,
    "SpikeToVizConverter": filters.SpikeToVizNode,
    "SpikeCollectionNode": filters.SpikeCollectionNode,
    "SpikeCountNode": filters.SpikeCountNode,
    "MajorityReadoutNode": filters.MajorityReadoutNode,
    "CustomFilterNode": filters.CustomFilterNode,
    "CustomFilter": filters.CustomFilterNode,
    "OutputEventCrop": pixel_filters.EventCropNode,
    "OutputEventToggle": pixel_filters.EventToggleNode,
    "HotPixelFilter": pixel_filters.HotPixelNode,
    "BackgroundActivityFilter": pixel_filters.BackgroundActivityNode,
    "DvsToCameraConverter": pixel_filters.DvsToCameraNode,
    **_CAMERA,
}

_PLAIN: dict[str, type[Node]] = {
    "VizEventStreamer": viz.VizEventStreamer,
    "VizEventReceiver": viz.VizEventReceiver,
    "MeasurementToVizConverter": filters.MeasurementToVizNode,
    "CameraToVizConverter": filters.DvsToVizNode,
    "ZMQStreamer": viz.ZmqStreamer,
    "ZMQReceiver": viz.ZmqReceiver,
    **_CAMERA,
}


def named_filter(name: str) -> Node:
    """A built-in filter by its name.

    Raises:
        BackendError: there is no such filter here; the message lists those that there are.
    """
    prefixes = {chip: chip.capitalize() for chip in known_chips()}
    own: dict[str, Callable[[], Node]] = dict(_PLAIN)
    for chip, prefix in prefixes.items():
        own.update({f"{prefix}{suffix}": node for suffix, node in _CHIP.items()})
        own[f"CameraTo{prefix}Input"] = partial(pixel_filters.CameraToInputNode, chip)
    found = own.get(name)
    if found is None:
        first, *others = prefixes.values()
        known = [label for label in own if not any(prefix in label for prefix in others)]
        raise BackendError(
            f"The virtual samna has no filter {name!r}; it has {', '.join(known)} "
            f"(and the same for {', '.join(others)}); {first}CustomFilterNode calls a Python "
            "function of your own."
        )
    return found()
