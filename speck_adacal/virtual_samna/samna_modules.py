"""The virtual samna as modules: what `import samna`, `samna.speck2f.event`, ... find."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from speck_adacal.chip_description import known_chips

VERSION = "0.48.6+virtual"
"""Version whose contract is followed; the local part says that it is not the vendor's."""


def install() -> str:
    """Put the virtual samna and samnagui into `sys.modules`; returns the version."""
    tree = build()
    sys.modules.update(tree)
    return VERSION


def build() -> dict[str, ModuleType]:
    """All modules of the virtual samna, by full name, not yet installed."""
    from speck_adacal.virtual_samna import flasher, gui, old_names, ui
    from speck_adacal.virtual_samna.board import power_monitor as power
    from speck_adacal.virtual_samna.board import registry
    from speck_adacal.virtual_samna.pairs import Vec2_bool, Vec2_unsigned_char

    tree: dict[str, ModuleType] = {}
    _add(tree, "samna", "A virtual samna: the vendor's driver, in software.", package=True)
    samna = tree["samna"]
    samna.__dict__.update(
        __version__=VERSION,
        SPECK_ADACAL_VIRTUAL=True,
        Vec2_unsigned_char=Vec2_unsigned_char,
        Vec2_bool=Vec2_bool,
        **old_names.public(),
    )
    for chip in known_chips():
        samna.__dict__.update(_chip(tree, chip))
    samna.__dict__.update(_specksim(tree))
    _graph(tree)
    _add(tree, "samna.device", "Finding, opening and closing boards.", registry.public())
    samna.__dict__.update(_camera(tree))
    for name in ("log", "logger"):
        _add(tree, f"samna.{name}", "What is logged.", old_names.LOG)
    _add(tree, "samna.flasher", "Firmware of boards.", flasher.public())
    _add(tree, "samna.ui", "Configuration of the live view.", ui.public())
    samna.__dict__.update(ui.nodes())
    samna.__dict__.update(_unifirm(tree, power.Measurement))
    _add(tree, "samnagui", "Live view of events.", gui.public())
    return tree


def _unifirm(tree: dict[str, ModuleType], measurement: Any) -> dict[str, Any]:
    from speck_adacal.virtual_samna.graph.nodes import sink_class

    _add(tree, "samna.unifirm", "Modules of the boards.", package=True)
    _add(tree, "samna.unifirm.modules", "Modules of the boards.", package=True)
    events = {"Measurement": measurement}
    _add(tree, "samna.unifirm.modules.events", "Events of the boards' modules.", events)
    name = "BasicSinkNode_unifirm_modules_events_measurement"
    return {name: sink_class(name)}


def _chip(tree: dict[str, ModuleType], chip: str) -> dict[str, Any]:
    from speck_adacal.virtual_samna import chip as chips

    family = chips.family(chip)
    _add(
        tree,
        f"samna.{chip}",
        f"The {chip} chip.",
        {
            "validate_configuration": family.validate_configuration,
            "configuration_to_flash_binary": family.configuration_to_flash_binary,
        },
        package=True,
    )
    _add(tree, f"samna.{chip}.configuration", f"Configuration of {chip}.", family.configuration)
    _add(tree, f"samna.{chip}.event", f"Events of {chip}.", family.public_events)
    defaults = {"DevKitDefaultConfig": family.configuration["SpeckConfiguration"]}
    _add(tree, f"samna.{chip}Boards", f"Boards with {chip}.", defaults)
    return dict(family.nodes)


def _specksim(tree: dict[str, ModuleType]) -> dict[str, Any]:
    from speck_adacal.virtual_samna.graph.nodes import sink_class, source_class
    from speck_adacal.virtual_samna.specksim import layers, specksim_nodes

    names = ("Convolution2d", "IntegrateAndFire", "SumPooling")
    public = {name: getattr(layers, name) for name in names}
    _add(tree, "samna.specksim", "Event-driven float layers.", public, package=True)
    events = {"Spike": layers.Spike, "WeightedEvent": layers.WeightedEvent}
    _add(tree, "samna.specksim.events", "Events of specksim.", events)
    filters = ("Convolutional", "IAF", "SumPooling")
    filter_names = [f"Specksim{name}FilterNode" for name in filters]
    classes = {name: getattr(specksim_nodes, name) for name in filter_names}
    _add(tree, "samna.specksim.nodes", "The layers as filters of a graph.", classes)
    ends: dict[str, Any] = {}
    for label, event in (("spike", layers.Spike), ("weighted_event", layers.WeightedEvent)):
        source, sink = (f"Basic{end}Node_specksim_events_{label}" for end in ("Source", "Sink"))
        ends[source] = source_class(source, (event,))
        ends[sink] = sink_class(sink)
    return ends


def _camera(tree: dict[str, ModuleType]) -> dict[str, Any]:
    from speck_adacal.virtual_samna.graph.nodes import sink_class, source_class
    from speck_adacal.virtual_samna.graph.pixel_filters import CameraDvsEvent

    _add(tree, "samna.camera", "Cameras.", package=True)
    _add(tree, "samna.camera.event", "Events of cameras.", {"DvsEvent": CameraDvsEvent})
    source, sink = (f"Basic{end}Node_camera_event_dvs_event" for end in ("Source", "Sink"))
    return {source: source_class(source, (CameraDvsEvent,)), sink: sink_class(sink)}


def _graph(tree: dict[str, ModuleType]) -> None:
    from speck_adacal.virtual_samna.graph import event_graph, jit

    public = {
        **jit.public(),
        "EventFilterGraph": event_graph.EventFilterGraph,
        "sequential": event_graph.sequential,
        "source_to": event_graph.source_to,
        "sink_from": event_graph.sink_from,
    }
    _add(tree, "samna.graph", "Event filter graphs.", public)


def _add(
    tree: dict[str, ModuleType],
    name: str,
    doc: str,
    names: Mapping[str, Any] | None = None,
    *,
    package: bool = False,
) -> None:
    module = ModuleType(name, doc)
    module.__spec__ = ModuleSpec(
        name, None, origin="speck_adacal.virtual_samna", is_package=package
    )
    if package:
        module.__path__ = []
    module.__package__ = name if package else name.rpartition(".")[0]
    module.__dict__.update(names or {})
    tree[name] = module
    parent, _, leaf = name.rpartition(".")
    if parent:
        setattr(tree[parent], leaf, module)
