"""From any PyTorch network to one typed layer graph."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import fx, nn

from speck_adacal.ann._compare import random_batch, refuse_difference
from speck_adacal.ann._fold import fold_scales
from speck_adacal.ann._lower import Lowering, is_leaf
from speck_adacal.ann._operations import supports
from speck_adacal.ann._refusal import Refusal, refused
from speck_adacal.ann._shape_tracer import OneInput, ShapeTracer
from speck_adacal.ann._unwrap import private_copy
from speck_adacal.ann.edits import without_dead_code
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.ann.signed_neurons import with_signed_neurons
from speck_adacal.errors import ModelError

_BATCH = 2


def trace(module: nn.Module, input_shape: Sequence[int]) -> LayerGraph:
    """Trace a network in inference mode; batch norm is folded, dropout and identity removed.

    Args:
        module: the network; called with one float32 tensor `[batch, *input_shape]`. It is
            never changed: the graph holds copies of its parameters.
        input_shape: shape of one input without the batch axis, such as `(1, 28, 28)`.

    Returns:
        The layer graph in topological order; every module and functional form has its own
        node, also where the user's code uses one module twice.

    Raises:
        ModelError: operations are not supported, or hooks or patches make them compute something
            else (all named, with their source lines), a weight is NaN or infinite (the layer
            named), the input shape does not fit, or the control flow depends on the data.
    """
    graph, refusals = trace_whole(module, input_shape)
    if refusals:
        raise refused(refusals)
    return graph


def trace_whole(
    module: nn.Module, input_shape: Sequence[int]
) -> tuple[LayerGraph, tuple[Refusal, ...]]:
    """Trace a network to its end, whatever is in it: for looking at, not for running.

    Args:
        module, input_shape: as for `trace`.

    Returns:
        The layer graph with a stand-in (`Kind.UNSUPPORTED`) for each operation that is not
        supported, and these operations.

    Raises:
        ModelError: as for `trace`, unsupported operations left out.
    """
    shape = tuple(int(n) for n in input_shape)
    if not shape or min(shape) < 1:
        raise ModelError(
            f"input_shape must hold positive sizes without the batch axis, found {shape}; "
            "give for instance (1, 28, 28)."
        )
    model = private_copy(module)
    _refuse_bad_weights(model)
    tracer, fx_graph = _trace_fx(model, shape)
    lowering = Lowering(model, tracer, shape)
    for node in fx_graph.nodes:
        lowering.lower(node)
    graph = with_signed_neurons(fold_scales(without_dead_code(lowering.graph())))
    if not lowering.refusals:
        refuse_difference(graph, model)
    return graph, tuple(lowering.refusals)


def _refuse_bad_weights(model: nn.Module) -> None:
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise ModelError(
                f"{name} holds {bad} NaN or infinite values of {value.numel()}; "
                "all weights must be finite: check the checkpoint."
            )


def _trace_fx(model: nn.Module, shape: tuple[int, ...]) -> tuple[ShapeTracer, fx.Graph]:
    _refuse_several_inputs(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    tracer = ShapeTracer(random_batch(_BATCH, shape).to(device), is_leaf)
    try:
        graph = tracer.trace(OneInput(model))
    except fx.proxy.TraceError as error:
        raise ModelError(
            f"{type(model).__name__} decides on the values of its data while it runs ({error}); "
            "only decisions on shapes and on constants can be traced."
        ) from error
    except NameError as error:
        raise ModelError(
            f"{type(model).__name__} calls a layer that is none of its own modules ({error}): a "
            "replaced forward, or layers in a plain list; make them attributes, or a ModuleList."
        ) from error
    except Exception as error:  # the user's own forward may raise anything
        if refusals := _unsupported_modules(model):
            raise refused(refusals) from error
        raise ModelError(
            f"{type(model).__name__} cannot be traced with inputs of shape {shape}: {error}; "
            "check input_shape, and that forward takes one tensor."
        ) from error
    return tracer, graph


def _unsupported_modules(model: nn.Module) -> list[Refusal]:
    return [
        Refusal.of(type(module).__name__, path or "the network itself", "")
        for path, module in model.named_modules()
        if is_leaf(module) and not supports(module)
    ]


def _refuse_several_inputs(model: nn.Module) -> None:
    parameters = inspect.signature(model.forward).parameters.values()
    optional = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
    if len(needed) > 1:
        raise ModelError(
            f"{type(model).__name__}.forward needs {len(needed)} inputs ({', '.join(needed)}); "
            "one tensor is supported: wrap the network in a module that takes one."
        )
