"""Digits seen by an event camera, on the simulated chip.

    python examples/02_nmnist_to_chip.py

The network was trained on simulated events alone. Here the camera model looks at shipped digits;
with N-MNIST on disk, `open_recordings("nmnist", "test")` gives real recordings in their place.
Writes recordings.png.
"""

from itertools import islice

from matplotlib.figure import Figure

from speck_adacal import (
    AdaptSettings,
    Spread,
    adapt,
    demo_checkpoint_path,
    deploy,
    event_picture,
    load_demo_digits,
    load_network,
    save,
    simulate,
    simulated_recordings,
)

digits = load_demo_digits()
network = load_network(demo_checkpoint_path("nmnist_cnn"))

calibration = list(islice(simulated_recordings(digits.calibration_images, spread=Spread()), 64))
shown = list(islice(simulated_recordings(digits.images, spread=Spread(), seed=1), 100))

settings = AdaptSettings(time_steps=16, phi=4, reset_each=True)
adapted = adapt(network, calibration, input_shape=(2, 34, 34), settings=settings)
deployment = deploy(adapted, chip="speck2f")
simulation = simulate(deployment, shown)

print(f"{simulation.accuracy(digits.labels[:100]):.1%} of 100 simulated recordings right")
print(f"{simulation.synops.mean():,.0f} SynOps a recording (simulated), cores {deployment.cores}")
print("written:", save(deployment, "nmnist.bundle", force=True))

figure = Figure(figsize=(6.4, 2), layout="constrained")
for axes, recording in zip(figure.subplots(1, 4), shown, strict=False):
    axes.imshow(event_picture(recording, 70_000), cmap="inferno")
    axes.set_axis_off()
figure.savefig("recordings.png")
