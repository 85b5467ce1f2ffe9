"""Event data sets from image data sets: many pictures through the camera model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from speck_adacal.events.camera import NMNIST_CAMERA, CameraSettings, camera_events
from speck_adacal.events.motion import NMNIST_SACCADES, Motion
from speck_adacal.events.types import Events
from speck_adacal.validation import PositiveOrZero, checked


@checked
class Spread:
    """How much the camera and its aim differ from recording to recording.

    Attributes:
        threshold: standard deviation of the logarithm of the threshold.
        black_level: the same of the black level.
        noise: the same of the noise rate.
        position_px: standard deviation of the aim, in pixels, along both axes.

    Raises:
        SettingsError: one of them is negative, or no number.
    """

    threshold: PositiveOrZero = 0.15
    black_level: PositiveOrZero = 0.1
    noise: PositiveOrZero = 0.5
    position_px: PositiveOrZero = 0.5


def simulated_recordings(
    images: npt.ArrayLike,
    *,
    motion: Motion = NMNIST_SACCADES,
    settings: CameraSettings = NMNIST_CAMERA,
    spread: Spread | None = None,
    seed: int = 0,
) -> Iterator[Events]:
    """One recording per image, lazily; the k-th depends on its image, `seed` and k alone.

    Args:
        images: `[n, height, width]` or `[n, channels, height, width]`, 0 to 1.
        motion: how the pictures move.
        settings: of the camera.
        spread: how recordings differ; `None` for one camera, well aimed, whose pixels and
            noise differ still.
        seed: of everything random.
    """
    for k, image in enumerate(np.asarray(images)):
        rng = np.random.Generator(np.random.PCG64([seed, k]))
        own, aimed = settings, motion
        if spread is not None:
            draw = rng.standard_normal(5)
            own = replace(
                settings,
                threshold=settings.threshold * float(np.exp(spread.threshold * draw[0])),
                black_level=settings.black_level * float(np.exp(spread.black_level * draw[1])),
                noise_hz=settings.noise_hz * float(np.exp(spread.noise * draw[2])),
            )
            aimed = replace(
                motion,
                x0_px=motion.x0_px + spread.position_px * float(draw[3]),
                y0_px=motion.y0_px + spread.position_px * float(draw[4]),
            )
        pixel_seed = int(rng.integers(1 << 62))
        yield camera_events(image, motion=aimed, settings=own, seed=pixel_seed)
