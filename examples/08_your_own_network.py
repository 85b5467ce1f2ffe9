"""Your own network and your own data: does a bar move left or right?

    python examples/08_your_own_network.py

Everything a project of yours needs: events from images, a small network trained on event counts,
a check of the chip's rules before training, and the way to the chip.
"""

import numpy as np
import torch
from torch import nn

from speck_adacal import (
    AdaptSettings,
    CameraSettings,
    Motion,
    Sweep,
    adapt,
    camera_events,
    deploy,
    simulate,
)

SHAPE = (2, 16, 16)
CAMERA = CameraSettings(height=16, width=16)


def recording(to_the_right, seed):
    """A bright bar that moves for 40 ms in front of the simulated camera."""
    rng = np.random.default_rng(seed)
    image = np.zeros((16, 16), dtype=np.float32)
    image[4:12, 7:9] = rng.uniform(0.6, 1.0)
    by = rng.uniform(4, 6) * (1 if to_the_right else -1)
    motion = Motion(-by / 2, 0.0, (Sweep(0, 40_000, by),), (), duration_us=40_000)
    return camera_events(image, motion=motion, settings=CAMERA, seed=seed)


labels = np.arange(160) % 2
recordings = [recording(label == 1, seed) for seed, label in enumerate(labels)]
counts = torch.from_numpy(np.stack([r.to_frames(1)[0] for r in recordings]))

torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(2, 8, 3, padding=1, bias=False),  # a bias would be leak on the chip
    nn.ReLU(),
    nn.AvgPool2d(2),
    nn.Flatten(),
    nn.Linear(8 * 64, 2, bias=False),
)
optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
for _ in range(60):
    loss = nn.functional.cross_entropy(network(counts[:100]), torch.from_numpy(labels[:100]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.no_grad():
    trained = (network(counts[100:]).argmax(1).numpy() == labels[100:]).mean()
settings = AdaptSettings(time_steps=8, reset_each=True)
deployment = deploy(adapt(network, recordings[:100], input_shape=SHAPE, settings=settings))
simulation = simulate(deployment, recordings[100:])
print(f"the trained network: {trained:.0%} of 60 recordings right")
print(f"on the simulated chip: {simulation.accuracy(labels[100:]):.0%}")
print(f"{simulation.synops.mean():,.0f} SynOps a recording (simulated)")
