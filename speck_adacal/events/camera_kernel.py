"""The inner loop of the event camera's model."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(cache=True)
def pixel_events(
    light: npt.NDArray[np.float64],
    path: npt.NDArray[np.float64],
    times: npt.NDArray[np.float64],
    thresholds: npt.NDArray[np.float64],
    keep: float,
    refractory_us: float,
) -> npt.NDArray[np.int64]:
    """Events of all pixels, one pixel after another.

    Args:
        light: intensity of the scene, `[3 · height, 3 · width]`, the sensor in the middle third.
        path: position of the scene at each time, `[times, 2]` as x and y in pixels.
        times: microseconds.
        thresholds: `[2, height, width]`, for OFF and ON.
        keep: share of the low-passed value that is kept over one step.
        refractory_us: time without sight after an event.

    Returns:
        int64 `[n, 4]`, rows of t_us, x, y, channel (1 = ON), ordered in time within a pixel.
    """
    height, width = thresholds.shape[1], thresholds.shape[2]
    rows = np.empty((1024, 4), dtype=np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            seen = _light(light, x + width - path[0, 0], y + height - path[0, 1])
            level = math.log(seen)
            before = level
            reference = before
            blind_until = -1.0
            for k in range(1, len(times)):
                now = _light(light, x + width - path[k, 0], y + height - path[k, 1])
                if now != seen:
                    seen = now
                    level = math.log(now)
                after = level + keep * (before - level)
                start, slope = times[k - 1], (after - before) / (times[k] - times[k - 1])
                if blind_until > start:
                    if blind_until >= times[k]:
                        before = after
                        continue
                    start = blind_until
                    reference = before + slope * (start - times[k - 1])
                while True:
                    channel = 1 if after > reference else 0
                    sign = 1.0 if channel == 1 else -1.0
                    target = reference + sign * thresholds[channel, y, x]
                    if sign * (after - target) < 0.0 or slope * sign <= 0.0:
                        break
                    moment = max(start, times[k - 1] + (target - before) / slope)
                    if count == len(rows):
                        larger = np.empty((2 * len(rows), 4), dtype=np.int64)
                        larger[:count] = rows
                        rows = larger
                    rows[count, 0] = int(moment)
                    rows[count, 1] = x
                    rows[count, 2] = y
                    rows[count, 3] = channel
                    count += 1
                    reference = target
                    blind_until = moment + refractory_us
                    if blind_until >= times[k]:
                        break
                    if refractory_us > 0.0:
                        start = blind_until
                        reference = before + slope * (start - times[k - 1])
                before = after
    return rows[:count]


@njit(cache=True)
def _light(light: npt.NDArray[np.float64], x: float, y: float) -> float:
    """Light at a point between pixels (bilinear; the edge goes on outside)."""
    x = min(max(x, 0.0), light.shape[1] - 1.001)
    y = min(max(y, 0.0), light.shape[0] - 1.001)
    column, row = int(x), int(y)
    fx, fy = x - column, y - row
    upper = light[row, column] * (1 - fx) + light[row, column + 1] * fx
    lower = light[row + 1, column] * (1 - fx) + light[row + 1, column + 1] * fx
    return float(upper * (1 - fy) + lower * fy)
