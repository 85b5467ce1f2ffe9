"""Networks that are spiking already: their layers as a layer graph, their neurons beside it."""

from speck_adacal.ann.spiking.network_reader import SpikingGraph, read_spiking
from speck_adacal.ann.spiking.neurons import Neurons, has_neurons

__all__ = ["Neurons", "SpikingGraph", "has_neurons", "read_spiking"]
