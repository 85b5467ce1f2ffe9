"""Images to events by latency: one event a pixel, the brighter the earlier."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError, SettingsError
from speck_adacal.events.encode import spread_rank
from speck_adacal.events.types import Events


def latency_code(
    image: npt.ArrayLike, *, window_us: int = 10_000, threshold: float = 0.02, seed: int = 0
) -> Events:
    """Turn one image into a recording in which each pixel fires at most once.

    A pixel of intensity x fires at `(1 − x) / (1 − threshold) · window_us`, white at 0, if x is
    above the threshold. Pixels of the same time fire in an order that is spread over the image.

    Args:
        image: `[channels, height, width]` or `[height, width]`, intensities from 0 to 1.
        window_us: time by which the last pixel has fired.
        threshold: darker pixels do not fire.
        seed: of the order of pixels with the same time.

    Returns:
        Events of shape `(channels, height, width)` and duration `window_us`.

    Raises:
        DataError: the image has a wrong shape, is not finite, or leaves the range 0 to 1.
        SettingsError: a setting is out of range.
    """
    if window_us < 1 or not 0 <= threshold < 1:
        raise SettingsError(
            f"latency_code needs window_us of at least 1 and a threshold from 0 to below 1, "
            f"found {window_us} and {threshold}."
        )
    pixels = np.asarray(image, dtype=np.float64)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.size == 0:
        raise DataError(
            f"The image should have axes (channels, height, width), found shape {pixels.shape}."
        )
    if not (pixels.min() >= 0.0 and pixels.max() <= 1.0):
        raise DataError("Intensities must lie between 0 and 1; divide 8-bit images by 255.")
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    channel, y, x = np.nonzero(pixels > threshold)
    delay = (1.0 - pixels[channel, y, x]) / (1.0 - threshold)
    t_us = np.floor(delay * window_us).astype(np.int64)
    order = np.lexsort((spread_rank(shape, 0, seed)[channel, y, x], t_us))
    return Events(
        t_us=t_us[order],
        x=x[order].astype(np.int16),
        y=y[order].astype(np.int16),
        channel=channel[order].astype(np.int16),
        shape=shape,
        duration_us=window_us,
    )
