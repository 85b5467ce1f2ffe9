"""What `deploy` is told of sensor and read-out, as a wiring and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.cli import common
from speck_adacal.errors import SettingsError

if TYPE_CHECKING:
    from speck_adacal.chip.deploy import Deployment
    from speck_adacal.chip.sensor_wiring import SensorWiring
    from speck_adacal.chip.wiring import Wiring
    from speck_adacal.inspection.alarms import Alarms
    from speck_adacal.inspection.core_load import LoadChange

SynopsLimit = Annotated[
    float | None,
    typer.Option(
        "--synops-limit",
        min=0,
        help="SynOps/s that a core may do on --samples-from; says what would help beyond it.",
    ),
]
Source = Annotated[
    str,
    typer.Option("--input", help="Where input comes from: 'host', or the chip's 'sensor'."),
]
Origin = Annotated[
    str | None,
    typer.Option("--origin", help="X,Y of the region on the sensor, pooled [the middle]."),
]
Pooling = Annotated[
    int | None, typer.Option("--pooling", help="Of the sensor: 1, 2, 4 [as far as it fits].")
]
Mirror = Annotated[str, typer.Option("--mirror", help="x, y, diagonal, or several: x,diagonal.")]
Polarities = Annotated[str, typer.Option("--polarities", help="fit, both, merge, on or off.")]
NoiseFilter = Annotated[str, typer.Option("--noise-filter", help="off, background or hot_pixel.")]
Readout = Annotated[
    str, typer.Option("--readout", help="Who decides: 'host', or the 'chip' itself.")
]
ReadoutWindow = Annotated[
    int, typer.Option("--readout-window", help="Slow clock cycles: 1, 16 or 32.")
]
ReadoutThreshold = Annotated[
    int, typer.Option("--readout-threshold", min=0, help="The chip says nothing up to it.")
]
WrongAlarms = Annotated[
    float | None,
    typer.Option(
        "--wrong-alarms",
        min=0,
        max=1,
        help="Find that threshold: most wrong decisions, of all looks, on --samples-from.",
    ),
]
SlowClockHz = Annotated[
    float | None, typer.Option("--slow-clock-hz", help="Of filter and read-out.")
]
ClockDivider = Annotated[
    int | None,
    typer.Option(
        "--clock-divider", help="The chip's own slow clock: a tick every 2^N sensor events."
    ),
]
_MIRRORS = ("x", "y", "diagonal")


@dataclass(frozen=True)
class Asked:
    """The options as they were typed."""

    source: str
    origin: str | None
    pooling: int | None
    mirror: str
    polarities: str
    noise_filter: str
    readout: str
    window: int
    threshold: int
    slow_clock_hz: float | None
    clock_divider: int | None


def wiring_of(asked: Asked) -> Wiring:
    """The wiring that the options ask for.

    Raises:
        SettingsError: an option is none of its choices.
    """
    from speck_adacal.chip.chip_readout import ChipReadout
    from speck_adacal.chip.wiring import Wiring

    for name, found, allowed in (
        ("--input", asked.source, ("host", "sensor")),
        ("--readout", asked.readout, ("host", "chip")),
    ):
        if found not in allowed:
            raise SettingsError(f"{name} must be one of {', '.join(allowed)}, found {found!r}.")
    return Wiring(
        sensor=_sensor(asked) if asked.source == "sensor" else None,
        readout=ChipReadout(asked.window, asked.threshold) if asked.readout == "chip" else None,
        slow_clock_hz=asked.slow_clock_hz,
        clock_divider=asked.clock_divider,
    )


def _sensor(asked: Asked) -> SensorWiring:
    from speck_adacal.chip.sensor_wiring import SensorWiring

    mirrors = [m for m in asked.mirror.replace(" ", "").split(",") if m]
    if set(mirrors) - set(_MIRRORS):
        raise SettingsError(
            f"--mirror takes {', '.join(_MIRRORS)}, joined by commas, found {asked.mirror!r}."
        )
    left, top = (
        (None, None) if asked.origin is None else common.parse_pair(asked.origin, "--origin")
    )
    return SensorWiring(
        left=left,
        top=top,
        pooling=asked.pooling,
        mirror_x="x" in mirrors,
        mirror_y="y" in mirrors,
        diagonal="diagonal" in mirrors,
        polarities=asked.polarities,
        noise_filter=asked.noise_filter,
    )


def wiring_lines(deployment: Deployment, alarms: Alarms | None) -> list[str]:
    """What stands around the cores, and what was measured of the read-out."""
    lines = lines_of(deployment.wiring)
    if alarms is not None:
        lines.append(
            f"Simulated on recordings on end, {alarms.looks} looks: right {alarms.right:.1%}, "
            f"wrong {alarms.wrong:.1%}, nothing {alarms.nothing:.1%}"
        )
    return lines


def lines_of(wiring: Wiring) -> list[str]:
    """What stands around the cores, one line each; none where a host does it all."""
    lines = []
    if (sensor := wiring.sensor) is not None:
        turned = [n for n in ("mirror_x", "mirror_y", "diagonal") if getattr(sensor, n)]
        lines.append(
            f"Sensor: pooled by {sensor.pooling}, region from ({sensor.left}, {sensor.top}), "
            f"polarities {sensor.polarities}, noise filter {sensor.noise_filter}"
            + (f", {', '.join(turned)}" if turned else "")
        )
    if (readout := wiring.readout) is not None:
        lines.append(
            f"Read-out on the chip: mean of {readout.window} slow clock cycle(s), a decision above "
            f"{readout.threshold} spikes, else nothing"
        )
    if wiring.ticks:
        divider = wiring.clock_divider
        rate = f"{wiring.slow_clock_hz:g} Hz, external" if divider is None else ""
        lines.append(f"Slow clock: {rate or f'internal, every {2 ** (divider or 0):,} events'}")
    return lines


def change_lines(changes: Sequence[LoadChange]) -> list[str]:
    """What would lower a load that is over its limit, one line each."""
    return [
        f"With {change.change}: {change.worst_synops_per_s:,.0f} SynOps/s at worst, "
        f"{change.input_events_per_s:,.0f} input events/s (simulated; decisions change too)"
        for change in changes
    ]
