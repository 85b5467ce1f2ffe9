"""How a camera moves in front of a picture: saccades of smooth speed, as paths over time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.validation import Count, CountOrZero, Several, checked


@checked
class Sweep:
    """One movement along one axis, with the speed of least jerk (Flash and Hogan 1985).

    Attributes:
        start_us: time at which it starts.
        end_us: time at which it ends.
        by_px: how far the picture moves on the sensor, in pixels.
    """

    start_us: CountOrZero
    end_us: Count
    by_px: float

    def at(self, t_us: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Distance moved by each time, in pixels."""
        u = np.clip((t_us - self.start_us) / (self.end_us - self.start_us), 0.0, 1.0)
        return self.by_px * u**3 * (10 - 15 * u + 6 * u**2)


@checked
class Motion:
    """Where the picture stands on the sensor over time, relative to its centre.

    Attributes:
        x0_px: position at time 0, to the right.
        y0_px: position at time 0, downwards.
        x: movements along x, added up.
        y: movements along y, added up.
        duration_us: length of the recording.

    Raises:
        SettingsError: a movement ends before it starts or outside the recording.
    """

    x0_px: float
    y0_px: float
    x: Several[Sweep]
    y: Several[Sweep]
    duration_us: Count

    def __post_init__(self) -> None:
        for sweep in (*self.x, *self.y):
            if not 0 <= sweep.start_us < sweep.end_us <= self.duration_us:
                raise SettingsError(
                    f"A movement must start before it ends, within 0 to {self.duration_us} µs; "
                    f"found {sweep.start_us} to {sweep.end_us} µs."
                )

    def path(self, t_us: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Positions in pixels, float64 `[times, 2]` as x and y."""
        x = self.x0_px + sum((sweep.at(t_us) for sweep in self.x), np.zeros(len(t_us)))
        y = self.y0_px + sum((sweep.at(t_us) for sweep in self.y), np.zeros(len(t_us)))
        return np.stack([x, y], axis=1)


NMNIST_SACCADES = Motion(
    x0_px=-2.55,
    y0_px=-2.0,
    x=(
        Sweep(18_500, 100_000, 1.7),
        Sweep(86_000, 180_000, 2.95),
        Sweep(199_000, 210_000, 0.4),
        Sweep(213_500, 296_000, -5.35),
    ),
    y=(
        Sweep(5_500, 84_000, 5.7),
        Sweep(113_000, 192_000, -5.2),
        Sweep(181_000, 211_000, -0.25),
    ),
    duration_us=315_000,
)
"""The three saccades of N-MNIST, a triangle of about 100 ms each (Orchard et al. 2015). Sizes and
times were fitted to event statistics of the first 40 recordings of its training set;
`scripts/validate_camera_model.py` compares on others."""
