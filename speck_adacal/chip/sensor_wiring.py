"""Which part of the chip's own sensor a network sees.

Sources: datasheet §3.2.3 (DVS stage); sinabs' `DVSLayer`. Origin and cut count pixels after
pooling; the order is filter, polarities, pooling, cut, mirroring, diagonal swap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from speck_adacal.chip_description import ChipDescription
from speck_adacal.rules.shapes import Violation
from speck_adacal.validation import Count, CountOrZero, checked, one_of

Shape = tuple[int, int, int]


@checked
class SensorWiring:
    """What part of the sensor the network's first core sees; None is filled in by `deploy`.

    Attributes:
        left, top: origin of the region, in pixels after pooling; the middle by default. Its size
            is that of the network's input.
        pooling: pixels of the sensor a side for one of the network's.
        mirror_x, mirror_y: flip columns, rows.
        diagonal: swap rows and columns, after mirroring.
        polarities: `"both"` as two channels, `"merge"` both to one channel, only `"on"`, only
            `"off"`; `"fit"`: both or merged, by the network's input channels.
        noise_filter: `"off"`; `"background"`: an event passes if there was one near it a short
            time ago; `"hot_pixel"`: the same, and a pixel is no company for itself.
        filter_size: edge of the neighbourhood in pixels.
        filter_ticks: how long ago is near, in ticks of the slow clock; 10 ms by default.
    """

    left: CountOrZero | None = None
    top: CountOrZero | None = None
    pooling: Count | None = None
    mirror_x: bool = False
    mirror_y: bool = False
    diagonal: bool = False
    polarities: Annotated[str, one_of("fit", "both", "merge", "on", "off")] = "fit"
    noise_filter: Annotated[str, one_of("off", "background", "hot_pixel")] = "off"
    filter_size: Count = 3
    filter_ticks: Count | None = None

    def fitted(self, shape: Shape, chip: ChipDescription) -> SensorWiring:
        """With sensible values for what was left open: the middle, pooled as far as it fits."""
        channels, height, width = self._region(shape)
        side = chip.limits.sensor_size
        fitting = [p for p in chip.limits.poolings if side // p >= max(height, width)]
        pooling = self.pooling or max(fitting, default=1)
        left = (side // pooling - width) // 2 if self.left is None else self.left
        top = (side // pooling - height) // 2 if self.top is None else self.top
        found = "merge" if channels == 1 else "both"
        polarities = found if self.polarities == "fit" else self.polarities
        return replace(
            self, left=max(left, 0), top=max(top, 0), pooling=pooling, polarities=polarities
        )

    def cut(self, shape: Shape) -> tuple[int, int]:
        """`(x, y)`, the last pixel of the region of a fitted wiring."""
        _, height, width = self._region(shape)
        return (self.left or 0) + width - 1, (self.top or 0) + height - 1

    def violations(self, shape: Shape, chip: ChipDescription) -> tuple[Violation, ...]:
        """Every rule that a fitted wiring breaks."""
        limits, pooling = chip.limits, self.pooling or 1
        found = []
        if pooling not in limits.poolings:
            allowed = f"one of {limits.poolings}"
            fix = "other poolings do not divide the sensor's pixels"
            found.append(Violation("sensor-pooling", "sensor", f"pooling {pooling}", allowed, fix))
        (right, bottom), most = self.cut(shape), limits.sensor_size // pooling - 1
        if max(right, bottom) > most:
            said = f"region ({self.left}, {self.top}) to ({right}, {bottom})"
            fix = "move the origin, or pool less" if pooling > 1 else "move the origin"
            allowed = f"0 to {most} after pooling by {pooling}"
            found.append(Violation("sensor-region", "sensor", said, allowed, fix))
        needed = {1: ("merge", "on", "off"), 2: ("both", "on", "off")}.get(shape[0], ())
        if self.polarities not in needed:
            said = f"polarities {self.polarities!r} for {shape[0]} input channels"
            allowed = " or ".join(needed) or "networks of 1 or 2 input channels"
            fix = "choose other polarities, or train for the sensor's one or two"
            found.append(Violation("sensor-polarities", "sensor", said, allowed, fix))
        if self.filter_size > limits.filter_size:
            said, allowed = f"a filter of {self.filter_size} pixels", f"1 to {limits.filter_size}"
            found.append(Violation("sensor-filter", "sensor", said, allowed, "take a smaller one"))
        return tuple(found)

    def _region(self, shape: Shape) -> Shape:
        """Shape of the region before the diagonal swap."""
        channels, height, width = shape
        return (channels, width, height) if self.diagonal else shape

    def fields(self, first: int, shape: Shape, *, internal: bool) -> dict[str, Any]:
        """What samna's configuration is told, by its own names.

        Args:
            first: the core that the sensor feeds.
            shape: `(channels, height, width)` of its input.
            internal: the filter follows the internal slow clock.
        """
        right, bottom = self.cut(shape)
        stage = {
            "pass_sensor_events": True,
            "merge": shape[0] == 1,
            "on_channel": self.polarities != "off",
            "off_channel": self.polarities != "on",
            "pooling": {"x": self.pooling, "y": self.pooling},
            "origin": {"x": self.left, "y": self.top},
            "cut": {"x": right, "y": bottom},
            "mirror": {"x": self.mirror_x, "y": self.mirror_y},
            "mirror_diagonal": self.diagonal,
            "destinations": [{"enable": True, "layer": first}],
        }
        if self.noise_filter == "off":
            return {"dvs_layer": stage}
        noise = {
            "enable": True,
            "hot_pixel_filter_enable": self.noise_filter == "hot_pixel",
            "filter_size": {"x": self.filter_size, "y": self.filter_size},
            "threshold": self.filter_ticks,
            "internal_slow_clk": internal,
        }
        return {"dvs_layer": stage, "dvs_filter": noise}
