"""A trained network becomes a spiking one and runs on the simulated chip, step by step.

    python examples/01_convert_digits.py

The network and the digits are shipped with the package. Every figure printed is simulated.
"""

from speck_adacal import (
    AdaptSettings,
    adapt,
    demo_checkpoint_path,
    deploy,
    load_demo_digits,
    load_network,
    simulate,
)

digits = load_demo_digits()
network = load_network(demo_checkpoint_path())

for time_steps in (2, 4, 8):
    settings = AdaptSettings(time_steps=time_steps)
    adapted = adapt(network, digits.calibration_images, input_shape=(1, 28, 28), settings=settings)
    deployment = deploy(adapted, chip="speck2f")
    simulation = simulate(deployment, digits.images)
    print(
        f"T = {time_steps}: {simulation.accuracy(digits.labels):7.2%} right, "
        f"{simulation.synops.mean():9,.0f} SynOps a digit, cores {deployment.cores}"
    )
