"""`samna.specksim.nodes`: the layers as filters of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from speck_adacal.errors import BackendError
from speck_adacal.virtual_samna.graph.batch import Batch
from speck_adacal.virtual_samna.graph.nodes import Node
from speck_adacal.virtual_samna.specksim.layers import Convolution2d, IntegrateAndFire, SumPooling


class _LayerNode(Node):
    """A node around a layer that `set_parameters` makes."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: Any = None

    def get_layer(self) -> Any:
        """The layer.

        Raises:
            BackendError: `set_parameters` has not been called.
        """
        if self._layer is None:
            raise BackendError(f"{type(self).__name__} has no layer; call set_parameters first.")
        return self._layer

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Run the layer on a batch; a large one leaves in pieces, one at a time."""
        layer = self.get_layer()
        for part in layer.parts(batch):
            result = layer.columns(part)
            if len(result):
                yield result


class SpecksimConvolutionalFilterNode(_LayerNode):
    """Convolution: spikes in, weighted events out."""

    def set_parameters(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        in_shape: Any,
        stride: Any,
        padding: Any,
    ) -> None:
        """Make the layer; pairs are (y, x)."""
        self._layer = Convolution2d(
            in_channels, out_channels, kernel_size, in_shape, stride, padding
        )
        self._layer.columns([])  # compile now, not when the first events come

    def set_weights(self, weights: Any) -> None:
        """Set the weights `[out][in][ky][kx]`."""
        self.get_layer().set_weights(weights)

    def get_weights(self) -> Any:
        """The weights as nested lists."""
        return self.get_layer().get_weights()


class SpecksimIAFFilterNode(_LayerNode):
    """Integrate-and-fire neurons: weighted events in, spikes out."""

    def set_parameters(
        self, channels: int, in_shape: Any, threshold: float, min_v_mem: float
    ) -> None:
        """Make the layer; the shape is (y, x)."""
        self._layer = IntegrateAndFire(channels, in_shape, threshold, min_v_mem)
        self._layer.columns([])  # compile now, not when the first events come


class SpecksimSumPoolingFilterNode(_LayerNode):
    """Sum pooling: spikes in, spikes out."""

    def set_parameters(self, kernel_size: Any, in_shape: Any) -> None:
        """Make the layer; both are (y, x)."""
        self._layer = SumPooling(kernel_size, in_shape)
