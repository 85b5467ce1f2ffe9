"""What the trained network itself decides: the target where a calibration set has no labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.chip.deploy import deploy_network
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.readout.objective import decided
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adapted import AdaptedNetwork


def reference_decisions(adapted: AdaptedNetwork, batches: Batches) -> npt.NDArray[np.int64]:
    """int64 `[samples]`, the trained float network's classes on the mean input of a step.

    Of a network that came spiking, its own decisions on the chip twin.
    """
    if adapted.recipe.came_spiking:
        counts = run_on_twin(deploy_network(adapted), batches.recordings()).class_counts
        return np.asarray(counts.argmax(1), dtype=np.int64)
    graph, terms = adapted.ann, adapted.recipe.settings.outputs
    with torch.no_grad():
        inputs = batches.network_inputs()
        found = [decided(graph, graph.run(batch), terms) for batch in inputs]
    return np.concatenate(found)
