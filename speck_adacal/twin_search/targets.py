"""What the trained network itself decides: the target where a calibration set has no labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adapted import AdaptedNetwork


def reference_decisions(adapted: AdaptedNetwork, batches: Batches) -> npt.NDArray[np.int64]:
    """int64 `[samples]`, the trained float network's classes on the mean input of a step."""
    output = adapted.ann.outputs[0]
    with torch.no_grad():
        found = [
            adapted.ann.run(batch)[output].flatten(1).argmax(1).numpy()
            for batch in batches.network_inputs()
        ]
    return np.concatenate(found)
