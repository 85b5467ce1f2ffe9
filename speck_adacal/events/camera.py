"""A model of an event camera that looks at a moving picture.

Each pixel follows the logarithm of the light (through a first-order low-pass) and fires when it
has changed by a threshold since the last event: ON for brighter, OFF for darker. Thresholds differ
from pixel to pixel, a pixel is blind for a while after each event, and there is background noise.

Source of the model: Lichtsteiner, Posch, Delbruck 2008 (the sensor); Rebecq et al. 2018 and Hu et
al. 2021 (simulation by threshold crossings with mismatch, bandwidth and noise).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from speck_adacal.errors import DataError
from speck_adacal.events.camera_kernel import pixel_events
from speck_adacal.events.motion import NMNIST_SACCADES, Motion
from speck_adacal.events.types import Events
from speck_adacal.validation import Count, PositiveOrZero, Share, checked

CAMERA_MODEL = 1
"""Number of the model: it goes up when the same settings and seed give other events."""


@checked
class CameraSettings:
    """Properties of the camera and of the scene.

    Attributes:
        height: rows of the sensor.
        width: columns of the sensor.
        threshold: change of log intensity that makes an event.
        mismatch: standard deviation of the thresholds between pixels, relative to `threshold`.
        black_level: light from a black picture element, relative to a white one.
        blur_px: standard deviation of the optics' blur, in pixels.
        time_constant_us: of the pixels' low-pass; 0 for none.
        refractory_us: time after an event in which a pixel sees nothing.
        noise_hz: background events of a pixel in a second.
        noise_on_share: share of ON events among them.
        negative: show the picture as a negative (white background).
        swap_polarity: call falling brightness polarity 1.
        step_us: step of the light's path; event times are interpolated to the microsecond.

    Raises:
        SettingsError: a value is outside its range.
    """

    height: Count = 34
    width: Count = 34
    threshold: Annotated[float, Field(ge=1e-3)] = 0.25
    mismatch: PositiveOrZero = 0.1
    black_level: Annotated[float, Field(ge=1e-6)] = 0.1
    blur_px: PositiveOrZero = 0.6
    time_constant_us: PositiveOrZero = 2000.0
    refractory_us: PositiveOrZero = 1000.0
    noise_hz: PositiveOrZero = 0.5
    noise_on_share: Share = 0.5
    negative: bool = False
    swap_polarity: bool = False
    step_us: Count = 1000


def camera_events(
    image: npt.ArrayLike,
    *,
    motion: Motion = NMNIST_SACCADES,
    settings: CameraSettings | None = None,
    seed: int = 0,
) -> Events:
    """What the camera records of a picture that moves.

    Args:
        image: `[height, width]`, `[1, height, width]`, or colour `[3, height, width]` (its
            luminance is taken), intensities from 0 to 1; shown pixel for pixel around the
            centre of the sensor, on a black background.
        motion: how the picture moves.
        settings: of the camera; the default is `NMNIST_CAMERA`.
        seed: of thresholds and noise.

    Returns:
        Events of shape `(2, settings.height, settings.width)`, times in microseconds, of
        `motion.duration_us`; channel 1 is ON.

    Raises:
        DataError: the image has a wrong shape or leaves the range 0 to 1.
    """
    settings = NMNIST_CAMERA if settings is None else settings
    light = _light(_luminance(image), settings)
    rng = np.random.Generator(np.random.PCG64(seed))
    thresholds = settings.threshold * np.clip(
        1 + settings.mismatch * rng.standard_normal((2, settings.height, settings.width)), 0.2, 5
    )
    steps = -(-motion.duration_us // settings.step_us)
    times = np.minimum(np.arange(steps + 1) * settings.step_us, motion.duration_us).astype(float)
    keep = 0.0
    if settings.time_constant_us > 0:
        keep = float(np.exp(-settings.step_us / settings.time_constant_us))
    rows = pixel_events(
        light, motion.path(times), times, thresholds, keep, float(settings.refractory_us)
    )
    rows = np.concatenate([rows, _noise(rng, motion, settings)])
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    channel = 1 - rows[:, 3] if settings.swap_polarity else rows[:, 3]
    return Events(
        t_us=rows[:, 0],
        x=rows[:, 1].astype(np.int16),
        y=rows[:, 2].astype(np.int16),
        channel=channel.astype(np.int16),
        shape=(2, settings.height, settings.width),
        duration_us=motion.duration_us,
    )


def _luminance(image: npt.ArrayLike) -> npt.NDArray[np.float64]:
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim == 3 and len(pixels) == 1:
        pixels = pixels[0]
    elif pixels.ndim == 3 and len(pixels) == 3:
        pixels = np.tensordot(np.array([0.2126, 0.7152, 0.0722]), pixels, axes=1)
    if pixels.ndim != 2 or 0 in pixels.shape:
        raise DataError(
            f"The camera looks at an image [height, width], [1, height, width] or [3, height, "
            f"width], found shape {np.shape(image)}."
        )
    if not (pixels.min() >= 0.0 and pixels.max() <= 1.0 + 1e-9):
        raise DataError("Intensities must lie between 0 and 1; divide 8-bit images by 255.")
    return pixels


def _light(image: npt.NDArray[np.float64], settings: CameraSettings) -> npt.NDArray[np.float64]:
    """Light of the blurred scene, with a margin as large as the sensor on every side."""
    from scipy.ndimage import gaussian_filter

    height, width = settings.height, settings.width
    scene = np.zeros((3 * height, 3 * width))
    rows, columns = image.shape
    if rows > 3 * height or columns > 3 * width:
        raise DataError(
            f"The image of {rows} × {columns} is more than three times the sensor of "
            f"{height} × {width}; shrink it, or give a larger sensor."
        )
    top, left = (3 * height - rows) // 2, (3 * width - columns) // 2
    scene[top : top + rows, left : left + columns] = image
    if settings.negative:
        scene = 1.0 - scene
    if settings.blur_px > 0:
        scene = gaussian_filter(scene, settings.blur_px)
    return scene + settings.black_level


def _noise(
    rng: np.random.Generator, motion: Motion, settings: CameraSettings
) -> npt.NDArray[np.int64]:
    """Background events as rows of t_us, x, y, channel."""
    mean = settings.noise_hz * settings.height * settings.width * motion.duration_us * 1e-6
    count = rng.poisson(mean)
    high = (motion.duration_us, settings.width, settings.height)
    columns = [rng.integers(0, limit, size=count) for limit in high]
    columns.append((rng.random(count) < settings.noise_on_share).astype(np.int64))
    return np.stack(columns, axis=1)


NMNIST_CAMERA = CameraSettings(
    height=34,
    width=34,
    threshold=0.131,
    mismatch=0.03,
    black_level=0.675,
    blur_px=0.5,
    time_constant_us=1840.0,
    refractory_us=170.0,
    noise_hz=0.38,
    noise_on_share=1.0,
    negative=True,
)
"""Settings under which simulated N-MNIST resembles the recorded one most: fitted, like
`NMNIST_SACCADES`, to statistics of the first 40 training recordings. Only ratios are certain (the
black level and the threshold together say how many events an edge makes). The recordings call the
trailing edge of a digit ON, which is what a dark digit on a bright ground gives. Far from the
digits, all background events of the recordings are ON."""
