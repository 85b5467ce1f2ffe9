"""A plain sinabs script for a Speck dev kit, without a dev kit.

    speck-adacal virtual run examples/06_virtual_dev_kit.py
    python examples/06_virtual_dev_kit.py

Under `speck-adacal virtual run`, any script for samna or sinabs runs as it is. The two lines with
`ensure_samna` do the same for `python`; with the vendor's samna installed they change nothing.
"""

import warnings

import sinabs.layers as sl
import torch
from torch import nn

from speck_adacal import ensure_samna

print("samna:", ensure_samna().kind)

from sinabs.backend.dynapcnn import DynapcnnNetwork, io  # noqa: E402
from sinabs.backend.dynapcnn.chip_factory import ChipFactory  # noqa: E402

warnings.filterwarnings("ignore", message="Layer . has pooling")
torch.manual_seed(0)
layers = nn.Sequential(
    nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False),
    sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
    nn.Flatten(),
    nn.Linear(6 * 8 * 8, 5, bias=False),
    sl.IAFSqueeze(batch_size=1, min_v_mem=-1.0),
)
layers[0].weight.data.mul_(4)
layers[3].weight.data.abs_().mul_(4)
network = DynapcnnNetwork(layers, input_shape=(2, 16, 16), dvs_input=False)
network.to("speck2fmodule")

raster = (torch.rand(50, 2, 16, 16) < 0.01).float()
factory = ChipFactory("speck2fmodule")
events = factory.raster_to_events(raster, layer=network.layer2core_map[0], dt=1e-3)
spikes = network(events)
print(f"{len(events)} events in, {len(spikes)} output spikes")

network.device_input_graph.stop()
network.device_output_graph.stop()
io.get_device_map()
