"""The AdaFire neuron, its fused kernels, and spiking networks made of it."""

from speck_adacal.snn.adafire import AdaFire
from speck_adacal.snn.adafire_squeeze import AdaFireSqueeze
from speck_adacal.snn.network import SpikingNetwork, repeat_in_time
from speck_adacal.snn.running_totals import RunningTotals

__all__ = ["AdaFire", "AdaFireSqueeze", "RunningTotals", "SpikingNetwork", "repeat_in_time"]
