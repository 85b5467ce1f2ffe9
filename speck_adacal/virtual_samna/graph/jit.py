"""`samna.graph.Jit...`: the built-in ones as filters; those written in C++ are refused."""

from __future__ import annotations

from typing import Any

from speck_adacal.errors import BackendError
from speck_adacal.virtual_samna.graph import filters
from speck_adacal.virtual_samna.graph.nodes import BasicSinkNode, BasicSourceNode

_CPP = (
    "The virtual samna has no C++ compiler, so {what} {name!r} cannot be built; use a "
    "'Speck2fCustomFilterNode' with a Python function, or the vendor's samna library."
)


class JitFilter:
    """A filter written in C++: refused."""

    def __init__(self, name: str, source: str = "") -> None:
        raise BackendError(_CPP.format(what="the JitFilter", name=name))


class JitFunctionFilter:
    """A filter function written in C++: refused."""

    def __init__(self, name: str, source: str = "") -> None:
        raise BackendError(_CPP.format(what="the JitFunctionFilter", name=name))


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
        JitSource,
        JitSink,
    )
    return {cls.__name__: cls for cls in found}
