"""What a Speck's flash would be given: a dry run that writes to no device.

    python examples/07_flash_dry_run.py

The configuration is validated as samna does it, and its known answers are replayed. The bytes of
the flash are made by the vendor's samna alone (their layout is not public); without it, this says
so.
"""

from pathlib import Path

from speck_adacal import adapt, deploy, load, save
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.bundle import read_bundle
from speck_adacal.chip.verify import verify_bundle
from speck_adacal.errors import SpeckAdacalError
from speck_adacal.events.demo import demo_checkpoint_path, load_demo_digits
from speck_adacal.virtual_samna import ensure_samna

digits = load_demo_digits()
network = load_network(demo_checkpoint_path())
adapted = adapt(network, digits.calibration_images[:64], input_shape=(1, 28, 28))
path = save(deploy(adapted, chip="speck2f"), "to_flash.bundle", force=True)

deployment = load(path)
kind = ensure_samna().kind
import samna  # noqa: E402  (safe only after ensure_samna)

configuration = deployment.mapped.configuration
valid, message = samna.speck2f.validate_configuration(configuration)
print("configuration valid:", valid, message)
print("known answers the same:", verify_bundle(read_bundle(path)).same)

try:
    flash = bytes(samna.speck2f.configuration_to_flash_binary(configuration))
except SpeckAdacalError as error:
    print(f"no flash binary with the {kind} samna: {error}")
else:
    Path("flash.bin").write_bytes(flash)
    print(f"flash.bin: {len(flash):,} bytes, written to this folder and to no device")
