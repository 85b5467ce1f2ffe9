"""Names of weights, without the prefix that wrappers and training frameworks put before them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

V = TypeVar("V")


def without_prefix(state: Mapping[str, V], wanted: Collection[str]) -> dict[str, V]:
    """Weights under the names that a network has.

    DataParallel saves `module.conv.weight`, torch.compile `_orig_mod.conv.weight`, Lightning
    `model.conv.weight`: a prefix that every name begins with (or several, one inside the other),
    and that the network does not have, is taken off.

    Args:
        state: weights by name, as a file has them.
        wanted: the network's own names.

    Returns:
        The same weights; renamed only if one more of the network's names is found by that.
    """
    found = dict(state)
    while not found.keys() & set(wanted):
        prefixes = {name.partition(".")[0] for name in found if "." in name}
        if len(prefixes) != 1 or not all("." in name for name in found):
            return dict(state)
        found = {name.partition(".")[2]: value for name, value in found.items()}
    return found
