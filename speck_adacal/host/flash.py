"""Putting a bundle's configuration on a dev kit, and the image for a module's flash.

Only the vendor's samna knows the layout of a flash image, and it documents no call that writes one
into a module: `configuration_to_flash_binary` makes the bytes, and the vendor's tool burns them.
So flashing here is: the configuration goes onto the board (it runs until the board is reset), and
the image goes into a file. Nothing of this has run on a real board.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from speck_adacal.bundle import Bundle, new_file
from speck_adacal.bundles.bundle_files import made_for_stream
from speck_adacal.bundles.chip_configuration import ChipConfiguration
from speck_adacal.chip.wiring import Wiring
from speck_adacal.chip_description import DeviceName
from speck_adacal.errors import SettingsError
from speck_adacal.host.board_backend import device_errors
from speck_adacal.host.board_link import set_slow_clock
from speck_adacal.host.devices import open_real, require_real

_SETTLE_S = 1.0


@dataclass(frozen=True)
class CorePlan:
    """What one core would be given.

    Attributes:
        core: its index.
        layer: the network's layer on it.
        weights: 8-bit weights.
        neurons: 16-bit initial membrane potentials.
        biases: 16-bit biases.
        threshold: `threshold_high`.
        destinations: cores that it sends to; empty for the readout.
    """

    core: int
    layer: str
    weights: int
    neurons: int
    biases: int
    threshold: int
    destinations: tuple[int, ...]

    @property
    def payload_bytes(self) -> int:
        """Bytes of weights, states and biases; what the chip's own format adds is not public."""
        return self.weights + 2 * (self.neurons + self.biases)


@dataclass(frozen=True)
class FlashPlan:
    """What flashing would do.

    Attributes:
        device: the board.
        chip: the chip that the configuration is for.
        cores: in order of the signal.
        valid: what samna's validation says of the configuration.
        message: its message, where it does not hold.
        validated_by: `"real"` or `"virtual"`: whose validation that was.
        wiring: sensor and read-out on the chip.
        slow_clock_hz: rate of the external slow clock that it needs; None for none.
    """

    device: str
    chip: str
    cores: tuple[CorePlan, ...]
    valid: bool
    message: str
    validated_by: str
    wiring: Wiring
    slow_clock_hz: float | None

    @property
    def payload_bytes(self) -> int:
        """Bytes over all cores."""
        return sum(core.payload_bytes for core in self.cores)


@dataclass(frozen=True)
class Flashed:
    """What was done.

    Attributes:
        device: the board that runs the configuration now.
        image: the file with the flash image.
        image_bytes: its size.
        image_sha256: its SHA-256.
    """

    device: str
    image: str
    image_bytes: int
    image_sha256: str


def plan_flash(configuration: ChipConfiguration, device: DeviceName) -> FlashPlan:
    """What `flash` would do; touches no device."""
    from speck_adacal.virtual_samna import ensure_samna

    backend = ensure_samna()
    import samna

    module = getattr(samna, configuration.chip)
    valid, message = module.validate_configuration(configuration.to_samna())
    return FlashPlan(
        device=str(device),
        chip=configuration.chip,
        cores=tuple(_core_plan(configuration, core) for core in configuration.order),
        valid=bool(valid),
        message=str(message),
        validated_by=backend.kind,
        wiring=configuration.wiring,
        slow_clock_hz=configuration.slow_clock_hz,
    )


def refuse_resets(bundle: Bundle) -> None:
    """Make sure that a flashed chip needs no resets.

    Raises:
        SettingsError: its network was made for a reset before each sample.
    """
    if not made_for_stream(bundle):
        raise SettingsError(
            f"{bundle.path} was made for samples with a reset before each, and nobody resets a "
            "flashed chip between two scenes; adapt the network on recordings of events without "
            "--reset-each (one that came spiking: import it with --never-reset), or flash it as it "
            "is with --reset-each."
        )


def refuse_host_fed(configuration: ChipConfiguration, bundle: Path) -> None:
    """Make sure that a flashed chip needs no host.

    Raises:
        SettingsError: it would see nothing, or tell nobody; the message has the two commands that
            make a bundle which stands alone.
    """
    wiring = configuration.wiring
    lacking = [
        said
        for said, found in (("input", wiring.sensor), ("decisions", wiring.readout))
        if found is None
    ]
    if lacking:
        alone = bundle.with_name(f"{bundle.stem}-alone.bundle")
        raise SettingsError(
            f"{bundle} waits for a host, which gives it or takes from it its "
            f"{' and '.join(lacking)}, and after flashing there is none; make one that stands "
            f"alone: speck-adacal deploy {bundle} --input sensor --readout chip --out {alone} && "
            f"speck-adacal flash {alone}; or flash it as it is with --host-fed."
        )


def flash(
    configuration: ChipConfiguration, device: DeviceName, image: Path, *, force: bool = False
) -> Flashed:
    """Write the flash image to `image`, and put the configuration on the board.

    Raises:
        HardwareMissingError: the vendor's samna, or the board, is not there.
        DeviceError: the board refused the configuration.
        OutputExistsError: `image` exists and `force` is False.
    """
    require_real(device)
    import samna

    board = open_real(device)
    target = configuration.to_samna()
    try:
        with device_errors("making the flash image"):
            data = bytes(getattr(samna, configuration.chip).configuration_to_flash_binary(target))
        with new_file(image, force=force) as temporary:
            temporary.write_bytes(data)
        with device_errors("configuring"):
            set_slow_clock(board, configuration.slow_clock_hz)
            board.get_model().apply_configuration(target)
            time.sleep(_SETTLE_S)  # a board applies it in its own time
    finally:
        with device_errors("closing"):
            samna.device.close_device(board)
    return Flashed(str(device), str(image), len(data), hashlib.sha256(data).hexdigest())


def _core_plan(configuration: ChipConfiguration, core: int) -> CorePlan:
    return CorePlan(
        core=core,
        layer=str(configuration.layers[configuration.order.index(core)]["name"]),
        weights=configuration.tensor(core, "weights").size,
        neurons=configuration.tensor(core, "neurons_initial_value").size,
        biases=configuration.tensor(core, "biases").size,
        threshold=int(configuration.cores[str(core)]["threshold_high"]),
        destinations=configuration.destinations(core),
    )
