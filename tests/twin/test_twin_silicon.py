"""Against a real speck2f: layer 0 of the NIR paper's N-MNIST network, five recordings."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.twin import Twin


def test_layer_0_counts_match_the_silicon(
    nmnist_weights, silicon, make_nmnist_program, cut_recordings
):
    twin = Twin(make_nmnist_program(nmnist_weights, lower_clip=True))
    equal, measured_totals, totals = [], [], []
    for events, measured in zip(cut_recordings(silicon, 5), silicon["spike_counts"], strict=True):
        counts = twin.run(events).spikes[0].counts()
        equal.append(np.mean(counts == measured))
        measured_totals.append(int(measured.sum()))
        totals.append(int(counts.sum()))
    assert np.mean(equal) >= 0.97
    assert max(equal) == 1.0
    np.testing.assert_allclose(totals, measured_totals, rtol=0.003)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lower_clip", "accuracy", "million_synops"), [(True, 0.950, 10.83), (False, 0.980, 4.61)]
)
def test_300_recordings_give_the_known_accuracy_and_synops(
    nmnist_weights,
    nmnist_recordings,
    make_nmnist_program,
    cut_recordings,
    lower_clip,
    accuracy,
    million_synops,
):
    twin = Twin(make_nmnist_program(nmnist_weights, lower_clip=lower_clip))
    runs = twin.run_many(cut_recordings(nmnist_recordings, 300))
    decisions = np.array([np.argmax(run.output.counts()) for run in runs])
    assert np.mean(decisions == nmnist_recordings["labels"][:300]) == pytest.approx(accuracy)
    synops = np.mean([run.synops for run in runs])
    assert synops / 1e6 == pytest.approx(million_synops, abs=0.01)
