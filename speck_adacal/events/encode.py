"""Images to events by deterministic rate coding: low-discrepancy in time and in space.

A pixel of intensity x fires `x · max_events_per_step` events a step on average. The counts come
from error diffusion along time (accumulate the intensity, emit what is whole), started at a phase
of the pixel's own, so that neighbours fire at different steps. Inside a step, events are spread
over the step and over the image: the chip's neurons see them one by one, and in raster order
whole regions would arrive before others (this costs points of accuracy).

All arithmetic is in integers (16-bit fixed point), so counts are the same on every machine.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError
from speck_adacal.events.types import Events
from speck_adacal.validation import Count, CountOrZero, checked

_ONE = 1 << 16
# Fractions of the additive recurrence of lowest known discrepancy in 4 dimensions: powers of the
# inverse of the root of z^5 = z + 1 (a generalised golden ratio), in 1/65536.
_STEP_X, _STEP_Y, _STEP_CHANNEL, _STEP_SEED = (
    round(_ONE * 1.1673039782614187**-n) for n in (1, 2, 3, 4)
)


@checked
class RateCoding:
    """How images become events, as `rate_code` takes it: whole numbers.

    Raises:
        SettingsError: naming the field, the value found and what is allowed.
    """

    time_steps: Count
    max_events_per_step: Count = 1
    seed: CountOrZero = 0
    dt_us: Count = 1000


def rate_code(
    image: npt.ArrayLike,
    *,
    time_steps: int,
    dt_us: int = 1000,
    max_events_per_step: int = 1,
    seed: int = 0,
) -> Events:
    """Turn one image into a recording.

    `Events.to_frames(time_steps)` of the result equals `rate_code_frames` of the image.

    Args:
        image: `[channels, height, width]` or `[height, width]`, intensities from 0 to 1.
        time_steps: number of steps the image is shown for.
        dt_us: length of a step in microseconds.
        max_events_per_step: events of a pixel of intensity 1 in each step.
        seed: moves the phases of the pixels and the order inside the steps.

    Returns:
        Events of shape `(channels, height, width)` and duration `time_steps · dt_us − 1`.

    Raises:
        DataError: the image has a wrong shape, is not finite, or leaves the range 0 to 1.
        SettingsError: a setting is not what `RateCoding` allows.
    """
    RateCoding(time_steps, max_events_per_step, seed, dt_us)
    pixels = np.asarray(image)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    counts = _counts(_fixed_point(pixels[None], "image"), time_steps, max_events_per_step, seed)[0]
    parts = [
        _order_in_step(counts[step], step, dt_us, seed) for step in range(time_steps)
    ]  # each [n, 4]: t_us, x, y, channel
    t_us, x, y, channel = np.concatenate(parts).T
    shape = (int(pixels.shape[0]), int(pixels.shape[1]), int(pixels.shape[2]))
    return Events(
        t_us=t_us,
        x=x.astype(np.int16),
        y=y.astype(np.int16),
        channel=channel.astype(np.int16),
        shape=shape,
        duration_us=time_steps * dt_us - 1,
    )


def rate_code_frames(
    images: npt.ArrayLike, time_steps: int, *, max_events_per_step: int = 1, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Event counts per step of many images, without making the events.

    Args:
        images: `[batch, channels, height, width]`, intensities from 0 to 1.
        time_steps: number of steps the images are shown for.
        max_events_per_step: events of a pixel of intensity 1 in each step.
        seed: moves the phases of the pixels.

    Returns:
        float32 `[batch, time_steps, channels, height, width]`, whole numbers. Summed over time,
        a pixel of intensity x has `time_steps · max_events_per_step · x` events, rounded up or
        down.

    Raises:
        DataError: the images have a wrong shape, are not finite, or leave the range 0 to 1.
        SettingsError: a setting is not what `RateCoding` allows.
    """
    RateCoding(time_steps, max_events_per_step, seed)
    fixed = _fixed_point(np.asarray(images), "images")
    frames = np.empty((fixed.shape[0], time_steps, *fixed.shape[1:]), dtype=np.float32)
    for start in range(0, len(fixed), 256):  # keeps the integer arrays in the cache
        chunk = slice(start, start + 256)
        frames[chunk] = _counts(fixed[chunk], time_steps, max_events_per_step, seed)
    return frames


def _fixed_point(images: npt.NDArray[np.generic], what: str) -> npt.NDArray[np.int64]:
    """Intensities in 1/65536, `[batch, channels, height, width]`."""
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise DataError(
            f"The {what} should have axes (channels, height, width), found shape "
            f"{images.shape[1:] if what == 'image' else images.shape}; add the missing axes."
        )
    values = images.astype(np.float64)
    if values.size and not (values.min() >= 0.0 and values.max() <= 1.0):
        found = "NaN" if np.isnan(values).any() else f"{values.min():g} to {values.max():g}"
        raise DataError(
            f"Intensities must lie between 0 and 1, found {found}; divide 8-bit images by 255."
        )
    return np.rint(values * _ONE).astype(np.int64)


def _counts(
    fixed: npt.NDArray[np.int64], time_steps: int, max_events: int, seed: int
) -> npt.NDArray[np.int64]:
    """int64 `[batch, time_steps, channels, height, width]` events per step."""
    rate = fixed[:, None] * max_events
    time = np.arange(time_steps + 1, dtype=np.int64)[:, None, None, None]
    phase = _phase(fixed.shape[1], fixed.shape[2], fixed.shape[3], seed)
    return np.diff((rate * time + phase) >> 16, axis=1)


@lru_cache(maxsize=16)
def _phase(channels: int, height: int, width: int, seed: int) -> npt.NDArray[np.int64]:
    """Phase of each pixel in 1/65536, `[channels, height, width]`."""
    c, y, x = np.indices((channels, height, width), dtype=np.int64)
    phase: npt.NDArray[np.int64] = (
        c * _STEP_CHANNEL + y * _STEP_Y + x * _STEP_X + seed % _ONE * _STEP_SEED + _ONE // 2
    ) % _ONE
    phase.flags.writeable = False
    return phase


def _order_in_step(
    counts: npt.NDArray[np.int64], step: int, dt_us: int, seed: int
) -> npt.NDArray[np.int64]:
    """Events of one step as `[n, 4]` rows of t_us, x, y, channel, in the order of firing.

    A pixel with k events fires once in each k-th of the step; where in it is given by the
    pixel's rank in a low-discrepancy order of the image.
    """
    channel, y, x = np.nonzero(counts)
    repeats = counts[channel, y, x]
    pixel = np.repeat(np.arange(len(x)), repeats)
    first = np.repeat(np.cumsum(repeats) - repeats, repeats)
    turn = np.arange(len(pixel)) - first  # 0 .. k - 1
    rank = spread_rank(counts.shape, step, seed)[channel, y, x]
    position = (turn + (rank[pixel] + 0.5) / counts.size) / repeats[pixel]
    order = np.lexsort((rank[pixel], position))
    pixel = pixel[order]
    t_us = step * dt_us + np.arange(len(pixel), dtype=np.int64) * dt_us // max(len(pixel), 1)
    return np.stack([t_us, x[pixel], y[pixel], channel[pixel]], axis=1)


@lru_cache(maxsize=256)
def spread_rank(shape: tuple[int, int, int], step: int, seed: int) -> npt.NDArray[np.int32]:
    """Rank of each pixel in a spatial low-discrepancy order, `[channels, height, width]`.

    The order of a Bayer matrix: bit-reversed Morton order, whose every beginning covers the
    image evenly. Each step and channel gets the order under another exclusive-or of the
    coordinates, which keeps that property.
    """
    channels, height, width = shape
    bits = max(height - 1, width - 1, 1).bit_length()
    c, y, x = np.indices(shape, dtype=np.int64)
    scramble = np.random.Generator(np.random.PCG64([seed, step])).integers(
        0, 1 << bits, size=(2, channels)
    )
    sx, sy = x ^ scramble[0][c], y ^ scramble[1][c]
    key = np.zeros(shape, dtype=np.int64)
    for bit in range(bits):
        pair = ((sx ^ sy) >> bit & 1) << 1 | (sy >> bit & 1)
        key = key << 2 | pair
    order = np.lexsort((x.ravel(), y.ravel(), c.ravel(), key.ravel()))
    rank = np.empty(key.size, dtype=np.int32)
    rank[order] = np.arange(key.size, dtype=np.int32)
    rank = rank.reshape(shape)
    rank.flags.writeable = False
    return rank
