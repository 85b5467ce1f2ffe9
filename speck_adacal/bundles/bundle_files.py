"""Adapted networks and deployments as the files of a bundle, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.ann.graph_files import graph_from_data, graph_to_data
from speck_adacal.bundle import Bundle, dump_json
from speck_adacal.bundle.migrate import CHIP
from speck_adacal.bundles.chip_configuration import (
    ChipConfiguration,
    checked_configuration,
    configuration_of,
)
from speck_adacal.bundles.known_answers import KNOWN_ANSWERS, make_known_answers
from speck_adacal.chip.deploy import Deployment, deploy_network, spread_readout
from speck_adacal.chip.fold import fold
from speck_adacal.core_layers import QuantisedLayer
from speck_adacal.errors import BundleError, SpeckAdacalError
from speck_adacal.readout.class_map import class_map_of
from speck_adacal.recipe.recipe_files import recipe_from_data, recipe_to_data
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.virtual_samna import ensure_samna

NETWORK, RECIPE = "network.safetensors", "recipe.json"
REWRITTEN = "rewritten"  # the trained network as rewritten for the chip
CHIP_ARRAYS = "chip.safetensors"
SAMNA_JSON, FLASH_IMAGE = "samna.json", "flash.bin"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


def to_files(obj: AdaptedNetwork | Deployment) -> dict[str, bytes]:
    """The bundle's files by name, without the manifest."""
    adapted = obj.adapted if isinstance(obj, Deployment) else obj
    recipe, potentials = recipe_to_data(adapted.recipe)
    ann, ann_tensors = graph_to_data(adapted.ann)
    graph, graph_tensors = graph_to_data(adapted.graph)
    described = {"recipe": recipe, "ann": ann, "graph": graph}
    tensors = {
        **{f"recipe/{name}": value for name, value in potentials.items()},
        **{f"ann/{name}": value for name, value in ann_tensors.items()},
        **{f"graph/{name}": value for name, value in graph_tensors.items()},
    }
    if adapted.rewritten is not None:
        described[REWRITTEN], rewritten_tensors = graph_to_data(adapted.rewritten)
        tensors |= {f"{REWRITTEN}/{name}": value for name, value in rewritten_tensors.items()}
    files = {
        NETWORK: save_tensors(tensors, metadata={"format": "pt"}),
        RECIPE: dump_json(described),
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
    except (SpeckAdacalError, *_MALFORMED) as error:
        raise BundleError(
            f"The bundle {bundle.path} does not fit together: {_reason(error)}; make it again."
        ) from error


def _reason(error: Exception) -> str:
    said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return said.removesuffix(".").removesuffix("; make it again")


def _adapted(bundle: Bundle) -> AdaptedNetwork:
    data = bundle.json(RECIPE)
    tensors = _finite_tensors(bundle)

    def under(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    try:
        graphs: dict[str, LayerGraph] = {
            name: graph_from_data(data[name], under(f"{name}/"))
            for name in ("ann", "graph", REWRITTEN)
            if name in data or name != REWRITTEN
        }
        recipe = recipe_from_data(data["recipe"], under("recipe/"))
    except (SpeckAdacalError, *_MALFORMED) as error:
        raise BundleError(
            f"{RECIPE} in {bundle.path} is malformed, or does not fit {NETWORK}: "
            f"{_reason(error)}; make it again."
        ) from error
    return AdaptedNetwork(graphs["ann"], graphs["graph"], recipe, graphs.get(REWRITTEN))


def _finite_tensors(bundle: Bundle) -> dict[str, torch.Tensor]:
    try:
        tensors: dict[str, torch.Tensor] = load_tensors(bundle.member(NETWORK))
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise BundleError(
            f"{NETWORK} in {bundle.path} is damaged ({error}); make it again."
        ) from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BundleError(
                f"{NETWORK} in {bundle.path}: {name} holds NaN or infinity; make it again."
            )
    return tensors


def _chip_files(deployment: Deployment) -> dict[str, bytes]:
    configuration = configuration_of(deployment)
    seed = deployment.adapted.recipe.settings.seed
    return {
        CHIP: dump_json(configuration.data()),
        CHIP_ARRAYS: save_arrays(dict(configuration.arrays)),
        KNOWN_ANSWERS: make_known_answers(configuration, seed=seed),
        **_vendor_files(configuration),
    }


def _vendor_files(configuration: ChipConfiguration) -> dict[str, bytes]:
    """samna's own JSON and the flash image, which only the vendor's library can write."""
    if ensure_samna().kind != "real":
        return {}
    import samna

    target = configuration.to_samna()
    image = getattr(samna, configuration.chip).configuration_to_flash_binary(target)
    return {SAMNA_JSON: str(target.to_json()).encode(), FLASH_IMAGE: bytes(image)}


def stored_configuration(bundle: Bundle) -> ChipConfiguration:
    """The chip configuration that a bundle holds.

    Raises:
        BundleError: it was not deployed, or its configuration is malformed.
    """
    if bundle.manifest.kind != "deployment":
        raise BundleError(f"{bundle.path} is adapted but not deployed; run `deploy` on it first.")
    try:
        arrays = load_arrays(bundle.member(CHIP_ARRAYS))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(
            f"{CHIP_ARRAYS} in {bundle.path} is damaged ({error}); make it again."
        ) from error
    return checked_configuration(bundle.json(CHIP), arrays, f"{CHIP} in {bundle.path}")


def made_for_stream(bundle: Bundle) -> bool:
    """Was the bundle's network adapted for a stream that is never reset?

    Raises:
        BundleError: its recipe is malformed.
    """
    return _adapted(bundle).recipe.settings.never_reset


def _deployment(bundle: Bundle, adapted: AdaptedNetwork) -> Deployment:
    stored = stored_configuration(bundle)
    folded = fold(adapted.graph, adapted.recipe)
    if stored.wiring.readout is not None:
        folded, _ = spread_readout(folded, class_map_of(adapted.graph))
    if len(folded) != len(stored.order):
        raise BundleError(f"{CHIP} in {bundle.path} describes another number of layers.")
    layers = []
    for layer, core, entry in zip(folded, stored.order, stored.layers, strict=True):
        fields = stored.cores[str(core)]
        layers.append(
            QuantisedLayer(
                folded=layer,
                weight=_swap_axes(stored.tensor(core, "weights")),
                threshold=int(fields["threshold_high"]),
                threshold_low=int(fields["threshold_low"]),
                initial=_swap_axes(stored.tensor(core, "neurons_initial_value")),
                bias=stored.tensor(core, "biases"),
                scale=float(entry["scale"]),
                limited_by=str(entry["limited_by"]),
                window_steps=int(entry["window_steps"]),
            )
        )
    deployment = deploy_network(
        adapted, chip=stored.chip, quantised=layers, cores=stored.order, wiring=stored.wiring
    )
    _compare(bundle, stored, deployment)
    return replace(deployment, slow_clock_hz=stored.slow_clock_hz)


def _compare(bundle: Bundle, stored: ChipConfiguration, deployment: Deployment) -> None:
    """What was stored and what would be sent to the chip must be the same."""
    found = configuration_of(deployment)
    for core, fields in json.loads(dump_json(found.data()))["cores"].items():
        for name, value in fields.items():
            if stored.cores[core].get(name) != value:
                raise BundleError(
                    f"{CHIP} in {bundle.path}: core {core} has {name} = "
                    f"{stored.cores[core].get(name)}, its network gives {value}; make it again."
                )
    for name, array in found.arrays.items():
        if not np.array_equal(array, stored.arrays[name]):
            raise BundleError(
                f"{CHIP_ARRAYS} in {bundle.path}: {name} differs from the network's; make it again."
            )


def _swap_axes(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Between samna's `[..., x, y]` and our `[..., y, x]`."""
    return np.ascontiguousarray(np.swapaxes(array, -1, -2))
