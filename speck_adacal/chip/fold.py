"""Fold a calibrated network into the form of the chip: one convolution and one neuron per core.

Every layer is expressed in units of its own threshold: a weight of 1 lifts the membrane potential
by exactly one firing threshold. Thresholds (per layer or per channel), threshold ratios and the
factor of average pooling all end up in the weights; linear layers become convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import nn

from speck_adacal.ann.graph import NO_CORE, Kind, LayerGraph, Node
from speck_adacal.ann.modules import EdgedConv2d
from speck_adacal.chip.branches import (
    equalised,
    is_idle,
    meeting_names,
    sole_reader,
    unspiking_source,
)
from speck_adacal.chip.geometry import (
    conv_kernel,
    conv_shape,
    linear_kernel,
    place,
    pool_edge,
)
from speck_adacal.chip.no_core import refuse_operations, refused_operation
from speck_adacal.chip.threshold_choice import balance_channels, fine_readout
from speck_adacal.core_layers import FoldedLayer
from speck_adacal.errors import ModelError
from speck_adacal.recipe.recipe import LayerRecipe, Recipe

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Signal:
    """What flows between layers: the value of one spike, per channel, the map's shape, its
    sources, the pooling behind each of them and the channel at which each begins."""

    amplitude: Floats
    shape: tuple[int, int, int]
    sources: tuple[int, ...] = ()
    pools: tuple[int, ...] = ()
    shifts: tuple[int, ...] = ()


def fold(graph: LayerGraph, recipe: Recipe) -> tuple[FoldedLayer, ...]:
    """Fold the layers of a network with its recipe.

    Spikes that meet at an addition pass through the same weights, so their sources are given one
    common threshold first (`branches.equalised`). An activation behind a sum of spikes has
    nothing to cut off and needs no core.

    Returns:
        The layers in order of the signal; the last one is the readout.

    Raises:
        ModelError: an operation has no counterpart on the chip; the message names it, its place
            in the model and what to use instead.
    """
    _one_output(graph)
    refuse_operations(graph, NO_CORE)
    recipe = equalised(graph, recipe)
    meeting = meeting_names(graph)
    shape = _as_map(graph.input_shape)
    start = _Signal(np.full(shape[0], recipe.input_amplitude), shape)
    signals = {graph.nodes[0].name: start}
    layers: list[FoldedLayer] = []
    reads: list[tuple[FoldedLayer, _Signal]] = []
    for node in graph.nodes[1:]:
        if node.name in signals:
            continue  # the activation of the layer before it
        ins = [signals[name] for name in node.inputs if name in signals]
        if len(ins) != len(node.inputs):
            raise unspiking_source(graph, node)
        if node.kind in (Kind.CONV, Kind.LINEAR):
            after = sole_reader(graph, node)
            shared = after is not None and after.name in meeting
            layer = _fold_weights(node, after, recipe, ins[0], shared=shared)
            reads.append((layer, ins[0]))
            layers.append(layer)
            if not layer.recipe.readout:
                amplitude = _per_channel(layer.recipe, layer.out_shape[0])
                own = _Signal(amplitude, layer.out_shape, (len(layers) - 1,), (1,), (0,))
                signals[node.name if after is None else after.name] = own
        elif node.kind in (Kind.AVG_POOL, Kind.SUM_POOL):
            signals[node.name] = _fold_pool(node, layers, ins[0])
        elif node.kind is Kind.ADD:
            signals[node.name] = _add(node, ins)
        elif node.kind is Kind.CONCAT:
            signals[node.name] = _side_by_side(node, ins)
        elif node.kind is Kind.FLATTEN or is_idle(graph, node):
            signals[node.name] = ins[0]
        else:
            raise refused_operation(node)
    _same_pooling(layers, reads)
    return tuple(layers)


def _one_output(graph: LayerGraph) -> None:
    if len(graph.outputs) != 1:
        raise ModelError(
            f"The network has {len(graph.outputs)} outputs ({', '.join(graph.outputs)}); "
            "deployment handles one: wrap the model so that it returns only the one to be read."
        )
    readers = graph.consumers(graph.nodes[0].name)
    if len(readers) > 1:
        raise ModelError(
            f"The network's input is read by {', '.join(place(node) for node in readers)}; "
            "deployment sends input events to one core: put one convolution before the branches."
        )


def _add(node: Node, ins: list[_Signal]) -> _Signal:
    shapes = [signal.shape for signal in ins]
    if len(set(shapes)) > 1:
        raise ModelError(
            f"{place(node)} adds maps of shapes {', '.join(map(str, shapes))}; cores can only "
            "send to the same core if their maps have one shape: use a strided 1×1 convolution."
        )
    if not all(np.allclose(signal.amplitude, ins[0].amplitude) for signal in ins):
        raise ModelError(
            f"{place(node)} adds spikes of different values, which one core's weights cannot "
            "tell apart; put a convolution with a ReLU behind the addition that is shared."
        )
    sources = tuple(source for signal in ins for source in signal.sources)
    if len(set(sources)) != len(sources) or not all(signal.sources for signal in ins):
        raise ModelError(
            f"{place(node)} adds one map to itself, or the network's input; a core sends each "
            "spike once to a core: scale the weights, or put a convolution on one branch."
        )
    pools = tuple(pool for signal in ins for pool in signal.pools)
    shifts = tuple(shift for signal in ins for shift in signal.shifts)
    return _Signal(ins[0].amplitude, ins[0].shape, sources, pools, shifts)


def _side_by_side(node: Node, ins: list[_Signal]) -> _Signal:
    sizes = [signal.shape[1:] for signal in ins]
    sources = tuple(source for signal in ins for source in signal.sources)
    if len(set(sizes)) > 1 or len(set(sources)) != len(sources) or not all(s.sources for s in ins):
        raise ModelError(
            f"{place(node)} puts maps of sizes {', '.join(map(str, sizes))} side by side; a core "
            "takes maps of one size, each from another core and none from the network's input: "
            "put a convolution with a ReLU on the branch that differs."
        )
    starts = np.cumsum([0, *(signal.shape[0] for signal in ins)]).tolist()
    shifts = tuple(
        start + shift for start, signal in zip(starts, ins, strict=False) for shift in signal.shifts
    )
    pools = tuple(pool for signal in ins for pool in signal.pools)
    amplitude = np.concatenate([signal.amplitude for signal in ins])
    return _Signal(amplitude, (starts[-1], *ins[0].shape[1:]), sources, pools, shifts)


def _same_pooling(layers: list[FoldedLayer], reads: list[tuple[FoldedLayer, _Signal]]) -> None:
    for reader, signal in reads:
        for source, pool in zip(signal.sources, signal.pools, strict=True):
            if layers[source].pool != pool:
                raise ModelError(
                    f"Layer {layers[source].name!r} is pooled by {layers[source].pool} for one "
                    f"branch and by {pool} for {reader.name!r}; deployment pools a layer's spikes "
                    "the same for all: pool before the branches part, or use a stride."
                )


def _fold_weights(
    node: Node, after: Node | None, recipe: Recipe, signal: _Signal, *, shared: bool
) -> FoldedLayer:
    layer_recipe = _neuron_recipe(node, after, recipe)
    relays = int(after is not None and after.relay > 0)
    module = node.module
    if isinstance(module, nn.Linear):
        kernel, stride, padding = linear_kernel(node, module, signal.shape)
    elif isinstance(module, nn.Conv2d):
        kernel, stride, padding = conv_kernel(node, module)
    else:
        raise ModelError(
            f"{place(node)} is a {type(module).__name__}, which no Speck core can do; "
            "use a two-dimensional convolution or a linear layer."
        )
    out_channels = kernel.shape[0]
    kernel = kernel * signal.amplitude[None, :, None, None]
    if layer_recipe.as_is:
        pass  # its thresholds are its own
    elif layer_recipe.readout:
        layer_recipe = fine_readout(layer_recipe, kernel)
    elif not shared and _differ(layer_recipe, relays):
        layer_recipe = balance_channels(layer_recipe, kernel, relays)
    threshold = _per_channel(layer_recipe, out_channels)
    bias = module.bias.detach().double().numpy() if module.bias is not None else 0.0
    out_shape = conv_shape(node, signal.shape, kernel.shape, stride, padding)
    return FoldedLayer(
        name=node.name,
        recipe=layer_recipe,
        weight=kernel / threshold[:, None, None, None],
        bias=np.broadcast_to(bias, (out_channels,)) / threshold,
        initial=_start(layer_recipe, module, out_shape, recipe) / threshold[:, None, None],
        in_shape=signal.shape,
        out_shape=out_shape,
        stride=stride,
        padding=padding,
        sources=signal.sources,
        shifts=signal.shifts,
    )


def _neuron_recipe(node: Node, after: Node | None, recipe: Recipe) -> LayerRecipe:
    if after is None:
        return recipe[node.name]
    if after.kind is not Kind.ACTIVATION:
        raise not_activated(node, after)
    return recipe[after.name]


def not_activated(node: Node, after: Node) -> ModelError:
    """The error for a layer with weights whose values go on without having become spikes."""
    return ModelError(
        f"{place(node)} is followed by {place(after)} ({after.kind.value}) instead of an "
        "activation; every core of the chip ends in spiking neurons, so put a ReLU behind "
        "it, and pooling behind the ReLU."
    )


def _fold_pool(node: Node, layers: list[FoldedLayer], signal: _Signal) -> _Signal:
    edge = pool_edge(node)
    if not signal.sources:
        raise ModelError(
            f"{place(node)} pools the network's input, which no core does; "
            "pool the images or recordings before they are encoded, or use the DVS stage's pooling."
        )
    pools = tuple(pool * edge for pool in signal.pools)
    for source, pool in zip(signal.sources, pools, strict=True):
        layers[source] = replace(layers[source], pool=pool)
    channels, height, width = signal.shape
    divisor = edge * edge if node.kind is Kind.AVG_POOL else 1
    shape = (channels, height // edge, width // edge)
    return _Signal(signal.amplitude / divisor, shape, signal.sources, pools, signal.shifts)


def _differ(recipe: LayerRecipe, relays: int) -> bool:
    """Whether channels have thresholds of their own, beside one that relays a constant."""
    own = np.atleast_1d(recipe.threshold)
    return bool(recipe.threshold.ndim and np.ptp(own[: len(own) - relays]) > 0)


def _per_channel(recipe: LayerRecipe, channels: int) -> Floats:
    return np.broadcast_to(recipe.firing_threshold, (channels,)).astype(np.float64)


def _start(
    layer: LayerRecipe, module: nn.Module, out_shape: tuple[int, int, int], recipe: Recipe
) -> Floats:
    """Initial potentials, and what a window's worth of constants at the map's edge adds to them."""
    start = _initial_map(layer, out_shape)
    if not isinstance(module, EdgedConv2d):
        return start
    return np.asarray(start + recipe.settings.time_steps * module.edge.double().numpy())


def _initial_map(recipe: LayerRecipe, out_shape: tuple[int, int, int]) -> Floats:
    initial = np.asarray(recipe.initial_potential, dtype=np.float64)
    if initial.size == np.prod(out_shape):
        return initial.reshape(out_shape)
    return np.broadcast_to(initial.reshape(-1, 1, 1), out_shape).copy()


def _as_map(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    if len(shape) == 1:
        return (shape[0], 1, 1)
    raise ModelError(
        f"The network's input shape is {shape}; the chip takes (channels, height, width)."
    )
