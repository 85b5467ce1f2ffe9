"""What differs between two bundles, or two chip configurations, in the user's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from speck_adacal.bundle import Bundle
from speck_adacal.bundles.bundle_files import NETWORK, RECIPE, stored_configuration
from speck_adacal.bundles.chip_configuration import ChipConfiguration
from speck_adacal.errors import BundleError

_ABSENT = "none"
_MOST_SHOWN = 9
_NAMES = {"threshold_high": "threshold", "threshold_low": "lower bound"}
_TENSORS = {"neurons_initial_value": "initial values"}


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        place: such as `settings`, `layer conv1` or `core 3`.
        name: what differs there.
        before: in the first bundle.
        after: in the second.
        changed: for arrays, how many values differ; None otherwise, or where shapes differ.
        largest: for arrays, the largest absolute change.
    """

    place: str
    name: str
    before: Any
    after: Any
    changed: int | None = None
    largest: float | None = None

    def __str__(self) -> str:
        if self.changed is None:
            return f"{self.place}: {self.name} {_short(self.before)} → {_short(self.after)}"
        return (
            f"{self.place}: {self.name}, {self.changed:,} of {self.before} changed, "
            f"at most by {self.largest:g}"
        )


def diff_bundles(one: Bundle, other: Bundle) -> tuple[Difference, ...]:
    """Settings, recipe, float network and chip configuration compared; empty where all agree.

    Versions of tools, commands and times are not compared: they change nothing that runs.

    Raises:
        BundleError: a bundle is malformed.
    """
    found = [*_recipes(_recipe(one), _recipe(other)), *_networks(_network(one), _network(other))]
    kinds = one.manifest.kind, other.manifest.kind
    if kinds[0] != kinds[1]:
        found.append(Difference("bundle", "kind", kinds[0], kinds[1]))
    elif kinds[0] == "deployment":
        found += diff_configurations(stored_configuration(one), stored_configuration(other))
    return tuple(found)


def diff_configurations(one: ChipConfiguration, other: ChipConfiguration) -> tuple[Difference, ...]:
    """Two chip configurations, core by core in order of the signal."""
    found = list(_values("chip", {"name": one.chip}, {"name": other.chip}))
    found += _values("cores", {"in order": list(one.order)}, {"in order": list(other.order)})
    found += _values("readout", {"core": one.order[-1]}, {"core": other.order[-1]})
    for core in dict.fromkeys((*one.order, *other.order)):
        key = str(core)
        if key not in one.cores or key not in other.cores:
            uses = ["used" if key in side.cores else "unused" for side in (one, other)]
            found.append(Difference(f"core {core}", "use", uses[0], uses[1]))
            continue
        place = f"core {core}"
        found += _values(place, _flat(one.cores[key]), _flat(other.cores[key]))
        names = ("weights", "biases", "neurons_initial_value")
        for name in names:
            said = _TENSORS.get(name, name)
            found += _arrays(place, said, one.tensor(core, name), other.tensor(core, name))
    return tuple(found)


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A core's fields in words: destinations as `core 4, pooling 2`."""
    plain = {k: v for k, v in fields.items() if k not in ("dimensions", "destinations")}
    flat = {_NAMES.get(name, name): value for name, value in plain.items()}
    flat.update(fields["dimensions"])
    for index, entry in enumerate(fields["destinations"]):
        shift = f", shift {entry['feature_shift']}" if entry["feature_shift"] else ""
        said = f"core {entry['layer']}, pooling {entry['pooling']}{shift}"
        flat[f"destination {index}"] = said if entry["enable"] else _ABSENT
    return flat


def _recipe(bundle: Bundle) -> Mapping[str, Any]:
    try:
        recipe: Mapping[str, Any] = bundle.json(RECIPE)["recipe"]
        [dict(layer)["name"] for layer in recipe["layers"]]
        dict(recipe["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{RECIPE} in {bundle.path} is malformed ({error!r}); make it again."
        ) from error
    return recipe


def _network(bundle: Bundle) -> dict[str, npt.NDArray[Any]]:
    try:
        return dict(load_arrays(bundle.member(NETWORK)))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(
            f"{NETWORK} in {bundle.path} is damaged ({error}); make it again."
        ) from error


def _recipes(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    yield from _values("settings", one["settings"], other["settings"])
    whole = ("input_amplitude",)
    yield from _values("recipe", {k: one.get(k) for k in whole}, {k: other.get(k) for k in whole})
    layers = [{layer["name"]: layer for layer in recipe["layers"]} for recipe in (one, other)]
    symbols = {"phi": "φ", "rho": "ρ", "threshold": "V_th"}
    for name in dict.fromkeys((*layers[0], *layers[1])):
        rows = [
            {symbols.get(k, k): v for k, v in side.get(name, {}).items() if k != "name"}
            for side in layers
        ]
        yield from _values(f"layer {name}", *rows)


def _networks(
    one: Mapping[str, npt.NDArray[Any]], other: Mapping[str, npt.NDArray[Any]]
) -> Iterator[Difference]:
    for name in sorted({*one, *other}):
        if name in one and name in other:
            yield from _arrays("network", name, one[name], other[name])
        else:
            yield Difference("network", name, _shape_of(one.get(name)), _shape_of(other.get(name)))


def _values(place: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*one, *other)):
        before, after = one.get(name, _ABSENT), other.get(name, _ABSENT)
        if _many_numbers(before) and _many_numbers(after):
            yield from _arrays(place, name, np.asarray(before), np.asarray(after))
        elif before != after:
            yield Difference(place, name, before, after)


def _arrays(
    place: str, name: str, one: npt.NDArray[Any], other: npt.NDArray[Any]
) -> Iterator[Difference]:
    if one.shape != other.shape:
        yield Difference(place, name, _shape_of(one), _shape_of(other))
        return
    change = np.abs(other.astype(np.float64) - one.astype(np.float64))
    changed = int(np.count_nonzero(change))
    if changed:
        yield Difference(
            place, name, f"{one.size:,}", f"{other.size:,}", changed, float(change.max())
        )


def _shape_of(array: npt.NDArray[Any] | None) -> str:
    return _ABSENT if array is None else "×".join(map(str, array.shape)) or "one value"


def _many_numbers(value: Any) -> bool:
    """Such as a threshold per channel, which no line of text can hold."""
    return (
        isinstance(value, list)
        and len(value) > _MOST_SHOWN
        and all(isinstance(number, (int, float)) for number in value)
    )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
