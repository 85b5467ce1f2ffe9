"""A chip that stands alone: its own sensor in, its own read-out out, on the virtual dev kit.

    python examples/09_at_a_camera.py

The network was trained on simulated events alone. It is adapted for a stream that is never reset,
deployed with sensor and read-out, shown a scene on the virtual dev kit, and the flash is run dry.
With N-MNIST on disk, `open_recordings("nmnist", "test")` gives real recordings in place of these.
"""

from itertools import islice

from speck_adacal import (
    ChipReadout,
    Events,
    SensorWiring,
    Spread,
    Wiring,
    adapt,
    calibrated_readout,
    demo_checkpoint_path,
    deploy,
    load_demo_digits,
    load_network,
    parse_device,
    plan_flash,
    read_bundle,
    save,
    show_scene,
    simulate,
    simulated_recordings,
    stored_configuration,
    verify,
)

digits = load_demo_digits()
network = load_network(demo_checkpoint_path("nmnist_cnn"))
known = list(islice(simulated_recordings(digits.calibration_images, spread=Spread()), 60))
shown = list(islice(simulated_recordings(digits.images, spread=Spread(), seed=1), 20))
labels = digits.calibration_labels[:60]

adapted = adapt(network, known, input_shape=(2, 34, 34), labels=labels)
wired = deploy(adapted, wiring=Wiring(sensor=SensorWiring(), readout=ChipReadout()))
alone, alarms = calibrated_readout(wired, known, labels, wrong_alarms=0.02)
sensor = alone.wiring.sensor
print(f"sensor: pooled by {sensor.pooling}, region from ({sensor.left}, {sensor.top})")
print(f"slow clock: {alone.slow_clock_hz:.1f} Hz, a decision above {alarms.threshold} spikes")
print(f"right {alarms.right:.1%}, wrong {alarms.wrong:.1%}, nothing {alarms.nothing:.1%} of looks")


def before_the_sensor(recording, sensor):
    """A recording as if it stood in the middle of the 128 x 128 pixels."""
    x = sensor.pooling * (sensor.left + recording.x)
    y = sensor.pooling * (sensor.top + recording.y)
    channel, duration_us = recording.channel, recording.duration_us
    return Events(recording.t_us, x, y, channel, (2, 128, 128), duration_us)


scenes = [before_the_sensor(recording, sensor) for recording in shown]
said = simulate(alone, scenes).chip_decisions
print(f"{sum((s.label >= 0).sum() for s in said)} decisions on {len(scenes)} scenes (simulated)")

path = save(alone, "alone.bundle", force=True)
print("known answers, through the sensor's stage, the same:", verify(path).same)

configuration = stored_configuration(read_bundle(path))
board = show_scene(configuration, parse_device("virtual"), scenes[0])
print(f"a virtual board, shown a {digits.labels[0]}:", ", ".join(map(str, board.label)))
twin = said[0].label[said[0].label >= 0]
print("the same as simulated:", board.label.tolist() == twin.tolist())

plan = plan_flash(configuration, parse_device("speck2fdevkit:0"))
print(f"flash, dry: {plan.payload_bytes:,} bytes, valid: {plan.valid} ({plan.validated_by} samna)")
