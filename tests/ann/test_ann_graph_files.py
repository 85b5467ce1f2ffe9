"""A graph from a bundle is the graph that was written: every setting of every module."""

from __future__ import annotations

import json

import pytest
import torch
from sinabs import layers as sl
from torch import nn

from speck_adacal.ann import trace
from speck_adacal.ann.graph_files import graph_from_data, graph_to_data
from speck_adacal.ann.modules import Normalised
from speck_adacal.ann.rewriting import merge_linear_maps

MODELS = {
    "average": (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 8, 8)),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), (2, 8, 8)),
    "sum": (sl.SumPool2d(3, 2, ceil_mode=True), (2, 8, 8)),
    "one axis": (nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 9)),
    "largest": (nn.MaxPool2d(3, 2, 1, dilation=1, ceil_mode=True), (2, 8, 8)),
    "largest on one axis": (nn.MaxPool1d(3, 2, 1, ceil_mode=True), (2, 8)),
    "padding": (nn.ZeroPad2d((1, 0, 2, 1)), (2, 8, 8)),
    "bound": (nn.Hardtanh(0, 0.5), (2, 8, 8)),
    "convolution": (nn.Conv2d(2, 4, (3, 1), 2, (1, 0), 2, 2), (2, 8, 8)),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_written_and_read_it_computes_the_same(name):
    layer, shape = MODELS[name]
    graph = trace(nn.Sequential(layer, nn.Hardtanh(0, 1)), shape)
    data, tensors = graph_to_data(graph)
    read = graph_from_data(json.loads(json.dumps(data)), tensors)
    x = torch.randn(2, *shape)
    assert torch.equal(read.run(x)[read.outputs[0]], graph.run(x)[graph.outputs[0]])


def test_an_edge_is_kept():
    model = Normalised(nn.Conv2d(2, 3, 3, padding=1), [0.3], [0.5])
    graph = merge_linear_maps(trace(model, (2, 6, 6)))
    data, tensors = graph_to_data(graph)
    read = graph_from_data(json.loads(json.dumps(data)), tensors)
    x = torch.randn(2, 2, 6, 6)
    expected = graph.run(x)[graph.outputs[0]]
    assert torch.equal(read.run(x)[read.outputs[0]], expected)
    torch.testing.assert_close(expected, model.eval()(x), atol=1e-5, rtol=1e-4)
