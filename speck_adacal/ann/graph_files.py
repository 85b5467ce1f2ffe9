"""A layer graph as plain data (for JSON) and named tensors (for safetensors), and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sinabs.layers as sl
import torch
from torch import nn

from speck_adacal.ann import functions, routing
from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import (
    Add,
    Affine,
    Concat,
    EdgedConv2d,
    Pad,
    Rectifier,
    Scale,
    Subsample,
)
from speck_adacal.ann.signed_neurons import Signed
from speck_adacal.errors import CheckpointError

_CONV = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "groups",
    "padding_mode",
)
_TRANSPOSED = (*_CONV[:5], "output_padding", "groups", "dilation")
_AVG = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_AVG_2D = (*_AVG, "divisor_override")
_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

# Constructor arguments that rebuild a module, by its type's name.
_ARGUMENTS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "Conv1d": (nn.Conv1d, _CONV),
    "Conv2d": (nn.Conv2d, _CONV),
    "EdgedConv2d": (EdgedConv2d, _CONV),
    "Linear": (nn.Linear, ("in_features", "out_features")),
    "Rectifier": (Rectifier, ("upper",)),
    "AvgPool1d": (nn.AvgPool1d, _AVG),
    "AvgPool2d": (nn.AvgPool2d, _AVG_2D),
    "SumPool2d": (sl.SumPool2d, ("kernel_size", "stride", "ceil_mode")),
    "MaxPool1d": (nn.MaxPool1d, _MAX),
    "MaxPool2d": (nn.MaxPool2d, _MAX),
    "Flatten": (nn.Flatten, ("start_dim", "end_dim")),
    "Add": (Add, ()),
    "Concat": (Concat, ()),
    "Subsample": (Subsample, ("slices",)),
    "Pad": (Pad, ("padding",)),
    "Scale": (Scale, ()),
    "Affine": (Affine, ()),
    "Signed": (Signed, ()),
    "ConvTranspose1d": (nn.ConvTranspose1d, _TRANSPOSED),
    "ConvTranspose2d": (nn.ConvTranspose2d, _TRANSPOSED),
    "Layout": (routing.Layout, ("shape", "strides", "offset")),
    "Gather": (routing.Gather, ()),
    "Join": (routing.Join, ("dim", "new")),
    "BroadcastSum": (routing.BroadcastSum, ()),
    "Difference": (routing.Difference, ()),
    "MeanOver": (routing.MeanOver, ("dims", "keep", "summed")),
    "MaxOver": (routing.MaxOver, ("dims", "keep")),
    "Resample": (routing.Resample, ("size", "mode", "align_corners", "scale")),
    "Product": (functions.Product, ()),
    "Quotient": (functions.Quotient, ()),
    "MatrixProduct": (functions.MatrixProduct, ()),
    "Attention": (functions.Attention, ("scale",)),
    "Softmax": (functions.Softmax, ("dim",)),
    "LayerNorm": (functions.LayerNorm, ("shape", "eps")),
    "GroupNorm": (functions.GroupNorm, ("groups", "channels", "eps")),
    "Largest": (functions.Largest, ("smaller",)),
    "Smooth": (functions.Smooth, ("name", "parameter")),
}
_BIASED = ("Conv1d", "Conv2d", "EdgedConv2d", "Linear", "ConvTranspose1d", "ConvTranspose2d")


def graph_to_data(graph: LayerGraph) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Split a graph into plain data and tensors named `"<node>.<parameter>"`.

    Raises:
        CheckpointError: a node holds a module that has no file form.
    """
    nodes, tensors = [], {}
    for node in graph.nodes:
        nodes.append(_node_to_data(node))
        if node.module is not None:
            for name, value in node.module.state_dict().items():
                tensors[f"{node.name}.{name}"] = value.detach().contiguous().clone()
    data = {
        "nodes": nodes,
        "outputs": list(graph.outputs),
        "input_shape": list(graph.input_shape),
    }
    return data, tensors


def graph_from_data(data: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> LayerGraph:
    """Rebuild a graph.

    Raises:
        CheckpointError: the data name an unknown module, or tensors are missing or of another
            shape; the message names the node.
    """
    try:
        return LayerGraph(
            nodes=tuple(_node_from_data(entry, tensors) for entry in data["nodes"]),
            outputs=tuple(data["outputs"]),
            input_shape=tuple(data["input_shape"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"The stored layer graph is incomplete or malformed ({error!r}); make it again."
        ) from error


def _node_to_data(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind.value,
        "inputs": list(node.inputs),
        "shape": list(node.shape),
        "source": node.source,
    }
    if node.relay:
        data["relay"] = node.relay
    if node.channel_axis:
        data["channel_axis"] = node.channel_axis
    if node.module is None:
        return data
    kind = type(node.module).__name__
    if kind not in _ARGUMENTS:
        raise CheckpointError(
            f"Node {node.name!r} holds a {kind}, which has no file form; known are "
            f"{', '.join(_ARGUMENTS)}."
        )
    data["module"] = {
        "type": kind,
        "arguments": {key: getattr(node.module, key) for key in _ARGUMENTS[kind][1]},
    }
    if kind in _BIASED:
        data["module"]["arguments"]["bias"] = node.module.bias is not None
    return data


def _node_from_data(entry: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Node:
    name = entry["name"]
    prefix = f"{name}."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    # A node "a" must not take the tensors of a node "a.b".
    state = {key: value for key, value in state.items() if "." not in key}
    module = _module_from_data(name, entry["module"], state) if "module" in entry else None
    return Node(
        name=name,
        kind=Kind(entry["kind"]),
        inputs=tuple(entry["inputs"]),
        module=module,
        shape=tuple(entry["shape"]),
        source=entry["source"],
        relay=float(entry.get("relay", 0.0)),
        channel_axis=int(entry.get("channel_axis", 0)),
    )


def _module_from_data(
    name: str, entry: Mapping[str, Any], state: dict[str, torch.Tensor]
) -> nn.Module:
    kind = entry["type"]
    if kind not in _ARGUMENTS:
        raise CheckpointError(f"Node {name!r} names an unknown module {kind!r}; make it again.")
    made_of = {"Scale": ("weight", "bias"), "Affine": ("weight", "bias"), "Gather": ("index",)}
    if kind in made_of:
        return _ARGUMENTS[kind][0](*(state[part] for part in made_of[kind]))
    build: Callable[..., nn.Module] = _ARGUMENTS[kind][0]
    arguments = {key: _as_tuples(value) for key, value in entry["arguments"].items()}
    if kind == "EdgedConv2d":
        arguments["edge"] = torch.zeros_like(state["edge"])
    module = build(**arguments)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"The stored tensors do not fit node {name!r}: {str(error).splitlines()[-1].strip()}"
        ) from error
    return module.eval().requires_grad_(False)


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value
