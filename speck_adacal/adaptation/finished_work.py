"""A folder of finished pieces of work, so that a killed search goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speck_adacal.ann.graph import LayerGraph

Arrays = dict[str, np.ndarray]


class FinishedWork:
    """Results by content: the key is a hash of everything that decides a result.

    Args:
        folder: where to keep them; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Arrays | None:
        """The result kept under `key`, or None (also where the file is damaged)."""
        if self._folder is None:
            return None
        path = self._folder / f"{key}.npz"
        try:
            with np.load(path, allow_pickle=False) as data:
                return {name: data[name] for name in data.files}
        except (OSError, ValueError, EOFError, KeyError):
            return None

    def put(self, key: str, result: Arrays) -> None:
        """Keep a result: written under a temporary name, then renamed."""
        if self._folder is None:
            return
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **result)  # type: ignore[arg-type]
        Path(temporary).replace(self._folder / f"{key}.npz")


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
