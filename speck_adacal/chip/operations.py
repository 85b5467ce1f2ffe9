"""What no core can do, all of it at once, and the shapes of all layers whatever stands between."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from speck_adacal.ann.graph import ClippedActivation, Kind, LayerGraph, Node
from speck_adacal.ann.modules import StandIn
from speck_adacal.chip.branches import is_idle, sole_reader
from speck_adacal.chip.fold import not_activated
from speck_adacal.chip.geometry import conv_kernel, pool_edge
from speck_adacal.chip.no_core import REPLACEMENTS
from speck_adacal.errors import ModelError
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.recipe.verdict import Verdict
from speck_adacal.rewriting.rewrite import BOUNDS
from speck_adacal.rewriting.upper_bounds import REWRITTEN
from speck_adacal.rules.shapes import LayerShape, Violation

_DOABLE = "convolutions, ReLUs, average and sum pooling, linear layers, additions"
_WEIGHTED = (Kind.CONV, Kind.LINEAR)
_TOLERATED = 0.1  # share of decisions that a network with bounds may lose without a word of them
_POOLS = (Kind.AVG_POOL, Kind.SUM_POOL, Kind.MAX_POOL)


def unsupported_operations(graph: LayerGraph) -> tuple[Violation, ...]:
    """A violation for every node that has no counterpart on the chip."""
    return tuple(
        Violation("operation", node.name, _found(node), _DOABLE, _instead(node))
        for node in graph.nodes
        if node.kind in (*REPLACEMENTS, Kind.UNSUPPORTED)
        and node.kind is not Kind.SIGNED  # they come with a function, which is named
        and not _belongs_to_a_core(graph, node)
    )


def _found(node: Node) -> str:
    name = node.module.label if isinstance(node.module, StandIn) else node.kind.value
    if node.kind in (Kind.FUNCTION, Kind.ROUTE):
        name = str(getattr(node.module, "name", type(node.module).__name__))
    return f"a {name} operation" + (f" ({node.source})" if node.source else "")


def _instead(node: Node) -> str:
    if isinstance(node.module, StandIn):
        return node.module.why or "replace it by those"
    return REPLACEMENTS[node.kind]


def _belongs_to_a_core(graph: LayerGraph, node: Node) -> bool:
    """An activation behind a layer with weights, or one that has nothing to cut off."""
    if node.kind is not Kind.ACTIVATION:
        return False
    return is_idle(graph, node) or graph[node.inputs[0]].kind in _WEIGHTED


def bounds(graph: LayerGraph, recipe: Recipe | None = None) -> tuple[Violation, ...]:
    """A warning for every activation with an upper bound (ReLU6, clamp): neurons have none; and for
    those that were rewritten, where the network did not keep its decisions.

    Args:
        graph: the network, as it is or as it was rewritten.
        recipe: where the network was adapted: what its bounds cut off there, and its verdict.
    """
    trace = () if recipe is None else recipe.trace
    measured = next((record.values for record in trace if record.step == BOUNDS), {})
    kept = tuple(
        _bound(bound.node, f"{bound.upper:g}" + _at(bound.source), _advice(bound, measured))
        for bound in graph.clipped_activations()
    )
    verdict = None if recipe is None else recipe.verdict
    if verdict is None or verdict.lost <= _TOLERATED:
        return kept
    rewritten = [key.partition(":")[::2] for key in measured if key.partition(":")[0] in REWRITTEN]
    return kept + tuple(
        _bound(node, f"{measured[f'bound:{node}']:g}", _unkept(node, way, measured, verdict))
        for way, node in rewritten
        if f"bound:{node}" in measured  # older recipes do not say it
    )


def _bound(node: str, upper: str, advice: str) -> Violation:
    found = f"activations cut off at {upper}"
    return Violation("bound", node, found, "no upper bound", advice, severity="warning")


def _unkept(node: str, way: str, measured: Mapping[str, float], verdict: Verdict) -> str:
    """What is said of a bound that was rewritten, where decisions were lost all the same."""
    return (
        f"it cuts off {measured[f'cut off:{node}']:.1%} of the activations of calibration samples "
        f"and is {way} on the chip, which loses {100 * verdict.lost:.1f} points of the decisions: "
        "adapt with --phi 2 or more --time-steps, which make spikes finer, or train with ReLU"
    )


def _advice(bound: ClippedActivation, measured: Mapping[str, float]) -> str:
    share, changed = (measured.get(f"{what}:{bound.node}") for what in ("cut off", "decisions"))
    if share is None or changed is None:
        return (
            "adapt measures what that is worth, and gives channels that exceed it a second neuron "
            "where the chip has memory for it"
        )
    return (
        f"on calibration samples it cuts off {share:.1%} of the activations, and {changed:.1%} of "
        "the decisions are others without it; the chip has no place for second neurons here: use "
        "fewer channels, or train with ReLU"
    )


def _at(source: str) -> str:
    return f" ({source})" if source else ""


def layer_shapes(graph: LayerGraph) -> tuple[LayerShape, ...]:
    """All layers with weights as they stand in the model, for a network that cannot be folded.

    What cannot be said of a layer (a kernel in one dimension, a linear layer on no map) leaves it
    out; what is wrong with it stands among the violations.
    """
    found = (_layer_shape(graph, node) for node in graph.of_kind(*_WEIGHTED))
    return tuple(shape for shape in found if shape is not None)


def _layer_shape(graph: LayerGraph, node: Node) -> LayerShape | None:
    module, before = node.module, _map_before(graph, node)
    if before is None:
        return None
    if isinstance(module, nn.Linear):
        kernel, stride, padding = before[1:], (1, 1), (0, 0)
    elif isinstance(module, nn.Conv2d):
        (ky, kx), (sy, sx) = module.kernel_size, module.stride
        kernel, stride = (ky, kx), (sy, sx)
        padding = (ky // 2, kx // 2) if isinstance(module.padding, str) else _two(module.padding)
    else:
        return None
    out = node.shape if len(node.shape) == 3 else (*node.shape, 1, 1)
    return LayerShape(
        node.name, before, (out[0], out[1], out[2]), kernel, stride, padding, _pool(graph, node)
    )


def _two(pair: tuple[int, ...]) -> tuple[int, int]:
    return (pair[0], pair[-1])


def _map_before(graph: LayerGraph, node: Node) -> tuple[int, int, int] | None:
    """The map that a layer reads, before it was flattened."""
    shape = graph[node.inputs[0]].shape
    source = graph[node.inputs[0]]
    while len(source.shape) == 1 and source.kind in (Kind.FLATTEN, Kind.ACTIVATION):
        source = graph[source.inputs[0]]
    if len(source.shape) == 3:
        shape = source.shape
    if len(shape) == 1:
        return (shape[0], 1, 1)
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def _pool(graph: LayerGraph, node: Node) -> int:
    """The pooling between a layer and its next one; 1 where it is none that a core has."""
    edge, readers = 1, graph.consumers(node.name)
    while readers and readers[0].kind in (*_POOLS, Kind.ACTIVATION):
        if readers[0].kind in _POOLS:
            try:
                edge *= pool_edge(readers[0])
            except ModelError:
                return 1
        readers = graph.consumers(readers[0].name)
    return edge


def refused_layers(graph: LayerGraph) -> tuple[Violation, ...]:
    """A violation for every layer whose settings or place folding would refuse, one by one."""
    return tuple(
        structure(graph, refusal)
        for node in graph.nodes
        for part in (_geometry, _place)
        if (refusal := part(graph, node)) is not None
    )


def structure(graph: LayerGraph, error: ModelError) -> Violation:
    """What folding refused, as a violation."""
    found, _, fix = str(error).rstrip(".").partition("; ")
    where = next((node.name for node in graph.nodes if repr(node.name) in found), "the network")
    return Violation("structure", where, found, "what a core has", fix)


def _geometry(_: LayerGraph, node: Node) -> ModelError | None:
    """Kernels, strides, paddings and tiles that the chip does not have."""
    try:
        if isinstance(node.module, nn.Conv2d):
            conv_kernel(node, node.module)
        elif node.kind in (Kind.AVG_POOL, Kind.SUM_POOL):
            pool_edge(node)
    except ModelError as error:
        return error
    return None


def _place(graph: LayerGraph, node: Node) -> ModelError | None:
    """Whether a layer with weights ends in one activation."""
    if node.kind not in _WEIGHTED:
        return None
    try:
        after = sole_reader(graph, node)
    except ModelError as error:
        return error
    # What follows and is no operation of a core is a violation of its own.
    if after is None or after.kind not in (*_POOLS, *_WEIGHTED, Kind.FLATTEN, Kind.ADD):
        return None
    return not_activated(node, after)
