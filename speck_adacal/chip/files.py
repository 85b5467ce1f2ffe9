"""Adapted networks and deployments as the files of a bundle, and back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from speck_adacal.adaptation.adapted import AdaptedNetwork
from speck_adacal.adaptation.recipe_files import recipe_from_data, recipe_to_data
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.ann.graph_files import graph_from_data, graph_to_data
from speck_adacal.bundle import Bundle, dump_json
from speck_adacal.chip.configuration_data import configuration_to_data
from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.fold import fold
from speck_adacal.chip.known_answers import make_known_answers
from speck_adacal.chip.quantise import QuantisedLayer
from speck_adacal.errors import BundleError, SpeckAdacalError

NETWORK, RECIPE, CHIP = "network.safetensors", "recipe.json", "chip.json"
CHIP_ARRAYS, KNOWN_ANSWERS = "chip.safetensors", "known_answers.npz"


def to_files(obj: AdaptedNetwork | Deployment) -> dict[str, bytes]:
    """The bundle's files by name, without the manifest."""
    adapted = obj.adapted if isinstance(obj, Deployment) else obj
    recipe, potentials = recipe_to_data(adapted.recipe)
    ann, ann_tensors = graph_to_data(adapted.ann)
    graph, graph_tensors = graph_to_data(adapted.graph)
    tensors = {
        **{f"recipe/{name}": value for name, value in potentials.items()},
        **{f"ann/{name}": value for name, value in ann_tensors.items()},
        **{f"graph/{name}": value for name, value in graph_tensors.items()},
    }
    files = {
        NETWORK: save_tensors(tensors, metadata={"format": "pt"}),
        RECIPE: dump_json({"recipe": recipe, "ann": ann, "graph": graph}),
    }
    return {**files, **_chip_files(obj)} if isinstance(obj, Deployment) else files


def from_files(bundle: Bundle) -> AdaptedNetwork | Deployment:
    """Rebuild what was saved.

    Raises:
        BundleError: a file is malformed, or what it describes does not fit together.
    """
    try:
        adapted = _adapted(bundle)
        if bundle.manifest.kind == "adapted":
            return adapted
        return _deployment(bundle, adapted)
    except BundleError:
        raise
    except (SafetensorError, SpeckAdacalError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"The bundle {bundle.path} does not fit together: {error}; make it again."
        ) from error


def _adapted(bundle: Bundle) -> AdaptedNetwork:
    data = bundle.json(RECIPE)
    tensors = load_tensors(bundle.member(NETWORK))

    def under(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    graphs: dict[str, LayerGraph] = {
        name: graph_from_data(data[name], under(f"{name}/")) for name in ("ann", "graph")
    }
    recipe = recipe_from_data(data["recipe"], under("recipe/"))
    return AdaptedNetwork(ann=graphs["ann"], graph=graphs["graph"], recipe=recipe)


def _chip_files(deployment: Deployment) -> dict[str, bytes]:
    cores = deployment.cores
    data, arrays = configuration_to_data(deployment.mapped.configuration, cores)
    data["chip"] = deployment.chip
    data["order"] = list(cores)
    data["layers"] = [
        {
            "name": layer.folded.name,
            "threshold_low": layer.threshold_low,
            "scale": layer.scale,
            "limited_by": layer.limited_by,
            "window_steps": layer.window_steps,
        }
        for layer in deployment.layers
    ]
    answers = io.BytesIO()
    np.savez_compressed(answers, **make_known_answers(deployment))  # type: ignore[arg-type]
    return {
        CHIP: dump_json(data),
        CHIP_ARRAYS: save_arrays(arrays),
        KNOWN_ANSWERS: answers.getvalue(),
    }


def _deployment(bundle: Bundle, adapted: AdaptedNetwork) -> Deployment:
    data = bundle.json(CHIP)
    arrays = load_arrays(bundle.member(CHIP_ARRAYS))
    cores = [int(core) for core in data["order"]]
    folded = fold(adapted.graph, adapted.recipe)
    if not len(folded) == len(cores) == len(data["layers"]):
        raise BundleError(f"{CHIP} in {bundle.path} describes another number of layers.")
    layers = []
    for layer, core, entry in zip(folded, cores, data["layers"], strict=True):
        fields = data["cores"][str(core)]
        layers.append(
            QuantisedLayer(
                folded=layer,
                weight=_swap_axes(arrays[f"core{core}.weights"]),
                threshold=int(fields["threshold_high"]),
                threshold_low=int(fields["threshold_low"]),
                initial=_swap_axes(arrays[f"core{core}.neurons_initial_value"]),
                scale=float(entry["scale"]),
                limited_by=str(entry["limited_by"]),
                window_steps=int(entry["window_steps"]),
            )
        )
    deployment = deploy_network(adapted, chip=data["chip"], quantised=layers, cores=cores)
    _compare(bundle, data, arrays, deployment)
    return deployment


def _compare(
    bundle: Bundle,
    data: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    deployment: Deployment,
) -> None:
    """What was stored and what would be sent to the chip must be the same."""
    found, found_arrays = configuration_to_data(deployment.mapped.configuration, deployment.cores)
    for core, fields in json.loads(dump_json(found["cores"])).items():
        for name, value in fields.items():
            if data["cores"][core].get(name) != value:
                raise BundleError(
                    f"{CHIP} in {bundle.path}: core {core} has {name} = "
                    f"{data['cores'][core].get(name)}, its network gives {value}; make it again."
                )
    for name, array in found_arrays.items():
        if not np.array_equal(array, arrays[name]):
            raise BundleError(
                f"{CHIP_ARRAYS} in {bundle.path}: {name} differs from the network's; make it again."
            )


def _swap_axes(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Between samna's `[..., x, y]` and our `[..., y, x]`."""
    return np.ascontiguousarray(np.swapaxes(array, -1, -2))
