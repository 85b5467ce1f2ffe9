"""What a Speck would be given: a dry run that writes to no device.

    python examples/07_flash_dry_run.py

The same as `speck-adacal verify` and `speck-adacal flash --dry-run`. The configuration is validated
as samna does it, and its known answers are replayed. The bytes of a flash image are made by the
vendor's samna alone (their layout is not public), so their number is not shown.
"""

from speck_adacal import (
    adapt,
    demo_checkpoint_path,
    deploy,
    load_demo_digits,
    load_network,
    parse_device,
    plan_flash,
    read_bundle,
    save,
    stored_configuration,
    verify,
)

digits = load_demo_digits()
network = load_network(demo_checkpoint_path())
adapted = adapt(network, digits.calibration_images[:64], input_shape=(1, 28, 28))
path = save(deploy(adapted, chip="speck2f"), "to_flash.bundle", force=True)

bundle = read_bundle(path)
print("known answers the same:", verify(path).same, "(simulated)")

plan = plan_flash(stored_configuration(bundle), parse_device("speck2fdevkit:0"))
print(f"{plan.device} would be given {plan.payload_bytes:,} bytes of weights, states and biases:")
for core in plan.cores:
    to = ", ".join(f"core {c}" for c in core.destinations) or "the readout"
    print(
        f"  core {core.core}: layer {core.layer}, {core.weights:,} weights, "
        f"{core.neurons:,} neurons, threshold {core.threshold}, to {to}"
    )
print(f"valid: {plan.valid} (validation of the {plan.validated_by} samna)")
