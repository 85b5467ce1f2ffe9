"""A folder of finished pieces of work, so that a killed search goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.bundle import new_file, read_arrays
from speck_adacal.errors import DataError

Arrays = dict[str, np.ndarray]
_KEY = "of"  # a result says which one it is


class FinishedWork:
    """Results by content: the key is a hash of everything that decides a result.

    Args:
        folder: where to keep them; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def get(self, key: str) -> Arrays | None:
        """The result kept under `key`, or None (also where the file is damaged)."""
        if self._folder is None:
            return None
        try:
            found = read_arrays(self._folder / f"{key}.npz")
        except DataError:
            return None
        return found if str(found.pop(_KEY, "")) == key else None

    def put(self, key: str, result: Arrays) -> None:
        """Keep a result, whole or not at all.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self._folder is None:
            return
        path = self._folder / f"{key}.npz"
        with new_file(path, force=True) as temporary, temporary.open("wb") as file:
            np.savez(file, **{_KEY: np.array(key)}, **result)  # type: ignore[arg-type]


def digest(*parts: Any) -> str:
    """A hash of tensors, arrays, layer graphs and plain values."""
    state = hashlib.sha256()
    for part in parts:
        _feed(state, part)
    return state.hexdigest()[:32]


def _feed(state: Any, part: Any) -> None:
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().numpy()
    if isinstance(part, np.ndarray):
        state.update(str((part.shape, part.dtype)).encode())
        state.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(part, LayerGraph):
        for node in part.nodes:
            state.update(repr((node.name, node.kind.value, node.inputs, node.module)).encode())
            for value in () if node.module is None else node.module.parameters():
                _feed(state, value)
    elif isinstance(part, dict):
        for name in sorted(part):
            state.update(str(name).encode())
            _feed(state, part[name])
    elif isinstance(part, list | tuple):
        state.update(b"(")
        for item in part:
            _feed(state, item)
    else:
        state.update(json.dumps(part).encode())
