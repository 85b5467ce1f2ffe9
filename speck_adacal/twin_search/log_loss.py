"""How good an outcome is: the log loss of its output counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speck_adacal.events.labels import checked_labels

Floats = npt.NDArray[np.float64]
# Logit of a class that has all output spikes. Fixed: one that is fitted would call few errors
# certainty, and reward whatever memorises the calibration set.
_SHARPNESS = 10.0


def log_losses(counts: npt.NDArray[np.int64], targets: Floats) -> Floats:
    """Cross entropy of each recording, float64 `[n]`; see `log_loss`."""
    logits = _SHARPNESS * counts / max(float(counts.sum(axis=1).mean()), 1.0)
    logits = logits - logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.asarray(-(targets * log_p).sum(axis=1), dtype=np.float64)


def log_loss(counts: npt.NDArray[np.int64], targets: Floats) -> float:
    """Mean cross entropy of the soft-max of output counts, in units of their mean total.

    Args:
        counts: int64 `[n, classes]` output spikes.
        targets: float64 `[n, classes]`, each row a distribution.
    """
    return float(log_losses(counts, targets).mean())


def one_hot(labels: npt.NDArray[np.int64], classes: int) -> Floats:
    """Labels, or a reference's decisions, as distributions."""
    return np.eye(classes)[checked_labels(labels, len(labels), classes)]
