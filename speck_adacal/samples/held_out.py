"""Calibration samples that are kept from calibration, to judge what came of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FEWEST = 64  # of all samples; with fewer, each is needed for calibration
_ENOUGH = 256  # for calibration: what is left of more is free to judge
_MOST = 512
IN_JUDGEMENT = 4  # one in so many samples judges a fit on the others


def held_out_indices(samples: int, seed: int) -> tuple[int, ...]:
    """Indices to hold out: a quarter, more where 256 remain, at most half and 512; drawn at random,
    since samples may be sorted by class. None of fewer than 64.

    Args:
        samples: number of samples.
        seed: of the draw.
    """
    if samples < FEWEST:
        return ()
    count = min(max(samples // 4, samples - _ENOUGH), samples // 2, _MOST)
    drawn = np.random.default_rng(seed).permutation(samples)[:count]
    return tuple(sorted(drawn.tolist()))


def judges(samples: int) -> npt.NDArray[np.bool_]:
    """Which samples of a calibration set judge a fit on the others, bool `[samples]`: one in four,
    drawn at random, since samples may come in an order of their classes."""
    return np.asarray(np.random.default_rng(0).permutation(samples) % IN_JUDGEMENT == 0)


def samples_to_give(wanted: int) -> int:
    """How many samples leave so many for calibration, beside those held out."""
    count = wanted
    while count - len(held_out_indices(count, 0)) < wanted:
        count += 1
    return count


def remaining_indices(samples: int, held_out: tuple[int, ...]) -> tuple[int, ...]:
    """The others, in order."""
    kept = set(held_out)
    return tuple(index for index in range(samples) if index not in kept)
