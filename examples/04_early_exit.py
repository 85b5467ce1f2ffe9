"""Stop as soon as the answer is sure: calibrate an early exit, and stream with it.

    python examples/04_early_exit.py

The bars of the exit are calibrated to lose at most one point of accuracy. They travel in the
bundle, so that `speck-adacal stream SOURCE --bundle nmnist_exit.bundle` stops early too.
"""

from itertools import islice

import numpy as np

from speck_adacal import (
    AdaptSettings,
    Session,
    Spread,
    TwinBackend,
    adapt,
    demo_checkpoint_path,
    deploy,
    exits,
    load_demo_digits,
    load_network,
    save,
    simulate,
    simulated_recordings,
    windows_of,
)

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WINDOW_US = 10_000

digits = load_demo_digits()
network = load_network(demo_checkpoint_path("nmnist_cnn"))
calibration = list(islice(simulated_recordings(digits.calibration_images, spread=Spread()), 96))
settings = AdaptSettings(time_steps=16, phi=4, reset_each=True)
deployment = deploy(adapt(network, calibration[:64], input_shape=(2, 34, 34), settings=settings))

readout, _ = exits(
    deployment,
    calibration,
    digits.calibration_labels[: len(calibration)],
    names=NAMES,
    window_us=WINDOW_US,
    loss=0.01,
)
save(deployment, "nmnist_exit.bundle", readout=readout, force=True)

shown = list(islice(simulated_recordings(digits.images, spread=Spread(), seed=1), 40))
with Session(TwinBackend(deployment), readout) as session:
    decisions = [session.decide(windows_of(recording, WINDOW_US)) for recording in shown]

labels = digits.labels[: len(shown)]
whole = simulate(deployment, shown).accuracy(labels)
right = np.mean([d.label for d in decisions] == labels)
share = [d.events / len(recording) for d, recording in zip(decisions, shown, strict=True)]
print(f"read to the end: {whole:.0%} of {len(shown)} right")
print(f"stopped early: {right:.0%} right, with {np.median(share):.0%} of the events (median)")
first = decisions[0]
print(f"the first one: {first.name} after {first.t_us / 1000:.0f} ms, {first.synops:,} SynOps")
