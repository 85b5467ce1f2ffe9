"""The kernel's fast way against its careful one, in every length of vectors.

Keeping the highest potentials takes the careful way, which goes through the map with masked
vectors and fires neuron by neuron; the oracle confirms it in `test_twin_oracle`.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracle.random_programs import random_events

from speck_adacal.twin import Twin

RUNS = (1, 3, 7, 8, 10, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 96, 128, 160, 200, 256)


@pytest.mark.parametrize("features", RUNS)
@pytest.mark.parametrize(("kernel", "stride", "width"), [(1, 1, 1), (3, 1, 5), (5, 2, 6)])
def test_fast_and_careful_ways_agree(make_core, make_program, features, kernel, stride, width):
    rng = np.random.default_rng(features)
    padding = kernel // 2
    side = (width + 2 * padding - kernel) // stride + 1
    core = make_core(
        0,
        rng.integers(-128, 128, (features, 2, kernel, kernel)).astype(np.int8),
        in_shape=(2, width, width),
        out_shape=(features, side, side),
        padding=(padding, padding),
        stride=(stride, stride),
        threshold_high=int(rng.choice([1, 60, 300, 32767])),
        threshold_low=int(rng.choice([-32768, -200, -1])),
        return_to_zero=bool(rng.integers(2)),
        initial=rng.integers(-32768, 32768, (features, side, side)).astype(np.int16),
        monitor=True,
    )
    events = random_events(rng, core.in_shape, 200)
    fast, careful = Twin(make_program(core)), Twin(make_program(core), track_peaks=True)
    quick, slow = fast.run(events), careful.run(events)
    assert np.array_equal(quick.log.words, slow.log.words)
    assert np.array_equal(quick.log.step, slow.log.step)
    assert np.array_equal(fast.membrane(0), careful.membrane(0))
    assert quick.synops == slow.synops
    assert np.array_equal(quick.spikes_per_core, slow.spikes_per_core)
