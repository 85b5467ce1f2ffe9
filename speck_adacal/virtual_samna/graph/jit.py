"""`samna.graph.Jit...`: the built-in ones are filters; a graph refuses those written in C++."""

from __future__ import annotations

from typing import Any, NoReturn

from speck_adacal.errors import BackendError
from speck_adacal.virtual_samna.graph import filters, pixel_filters
from speck_adacal.virtual_samna.graph.nodes import BasicSinkNode, BasicSourceNode

_CPP = (
    "The virtual samna has no C++ compiler, so the {what} {name!r} cannot be built; use a "
    "'Speck2fCustomFilterNode' with a Python function, or the vendor's samna library."
)


class CppFilter:
    """A filter written in C++: kept, but refused where a graph would compile it.

    Attributes:
        name: name of the filter.
        source: its text in C++.
    """

    def __init__(self, name: str, source: str = "") -> None:
        self.name, self.source = name, source

    def refuse(self) -> NoReturn:
        """Say that it cannot be built.

        Raises:
            BackendError: always.
        """
        raise BackendError(_CPP.format(what=type(self).__name__, name=self.name))


class JitFilter(CppFilter):
    """A filter class written in C++."""


class JitFunctionFilter(CppFilter):
    """A filter function written in C++."""


class JitMemberSelect(filters.MemberSelectNode):
    """`MemberSelectNode` for any event type."""


class JitDvsEventToViz(filters.DvsToVizNode):
    """`DvsToVizNode`; the output type is `samna.ui.Event`."""

    def __init__(self, output_type: Any = None) -> None:
        super().__init__()


class JitSpikeCollection(filters.SpikeCollectionNode):
    """`SpikeCollectionNode` for the given spike type."""

    def __init__(self, spike_type: Any = None) -> None:
        super().__init__()


class JitSpikeCount(filters.SpikeCountNode):
    """`SpikeCountNode`; the output type is `samna.ui.Event`."""

    def __init__(self, output_type: Any = None) -> None:
        super().__init__()


class JitMajorityReadout(filters.MajorityReadoutNode):
    """`MajorityReadoutNode`; the output type is `samna.ui.Event`."""

    def __init__(self, output_type: Any = None) -> None:
        super().__init__()


class JitDvsEventCrop(pixel_filters.EventCropNode):
    """`EventCropNode` for any event type."""

    def __init__(self, event_type: Any = None) -> None:
        super().__init__()


class JitDvsEventDecimate(pixel_filters.EventDecimateNode):
    """`EventDecimateNode` for any event type."""

    def __init__(self, event_type: Any = None) -> None:
        super().__init__()


class JitDvsEventRescale(pixel_filters.EventRescaleNode):
    """`EventRescaleNode` for any event type."""

    def __init__(self, event_type: Any = None) -> None:
        super().__init__()


class JitSource(BasicSourceNode):
    """A source of events of the given type."""

    def __init__(self, event_type: Any = None) -> None:
        super().__init__()


class JitSink(BasicSinkNode):
    """A sink of any events."""

    def __init__(self, event_type: Any = None) -> None:
        super().__init__()


def public() -> dict[str, Any]:
    """The Jit classes, by name."""
    found = (
        JitFilter,
        JitFunctionFilter,
        JitMemberSelect,
        JitDvsEventToViz,
        JitSpikeCollection,
        JitSpikeCount,
        JitMajorityReadout,
        JitDvsEventCrop,
        JitDvsEventDecimate,
        JitDvsEventRescale,
        JitSource,
        JitSink,
    )
    return {cls.__name__: cls for cls in found}
