"""Networks that are spiking already: their layers as a layer graph, their neurons beside it."""

from speck_adacal.ann.spiking.neurons import Neurons
from speck_adacal.ann.spiking.reading import SpikingGraph, read_spiking

__all__ = ["Neurons", "SpikingGraph", "read_spiking"]
