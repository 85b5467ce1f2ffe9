"""NIR files (HDF5) that may be damaged, hostile, or of another version of NIR, as plain nodes.

What a file declares is checked before memory is taken for it, and nothing outside it is read.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from speck_adacal.errors import CheckpointError, ModelError

_MOST_OBJECTS = 100_000
_HARMLESS_BYTES, _MOST_GROWTH = 16 << 20, 100
# Of nir 1.0.6 and later. The rate of a neuron that is reset to 0 is the same ReLU; another
# potential to reset to would be another function.
_RESET = "v_reset"


def read_nir_graph(path: Path) -> Any:
    """The `nir.NIRGraph` of a file that `nir.write` made, of nir 1.0.4 or a later 1.0.

    Raises:
        CheckpointError: the file is damaged, is not NIR, declares more than is sane, or points
            outside itself.
        ModelError: a neuron is reset to a potential other than 0.
    """
    import h5py
    import nir
    from nir.serialization import hdf2dict

    version = ""
    try:
        with h5py.File(path, "r") as file:
            _refuse_unsafe(file, path)
            version = _version(file)
            data = hdf2dict(file["node"])
        _without_resets(data)
        graph = nir.dict2NIRNode(data)
    except (CheckpointError, ModelError):
        raise
    except Exception as error:  # damaged HDF5 and NIR raise many kinds
        written = f", written by nir {version}," if version else ""
        raise CheckpointError(
            f"{path}{written} cannot be read as NIR ({type(error).__name__}: {error}); this reads "
            f"what nir {_installed()} knows, so export it again with nir.write of that version."
        ) from error
    if not isinstance(graph, nir.NIRGraph):
        raise CheckpointError(f"{path} holds a single NIR node, needed is a graph.")
    return graph


def _installed() -> str:
    from importlib import metadata

    return metadata.version("nir")


def _version(file: Any) -> str:
    if "version" not in file:
        return ""
    text = file["version"][()]
    return (text.decode("utf8") if isinstance(text, bytes) else str(text))[:20]


def _refuse_unsafe(file: Any, path: Path) -> None:
    """Links that lead elsewhere, too many objects, and more bytes than the file can stand for."""
    import h5py

    groups: list[Any] = [file]
    objects, declared = 0, 0
    while groups:
        group = groups.pop()
        for name in group:
            objects += 1
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise CheckpointError(
                    f"{path} has the link {name!r} to another place, which no NIR file has; "
                    "refused."
                )
            found = group[name]
            if isinstance(found, h5py.Group):
                groups.append(found)
            elif isinstance(found, h5py.Dataset):
                if found.external or found.is_virtual:
                    raise CheckpointError(
                        f"{path} keeps {found.name} in another file, which is not read; refused."
                    )
                declared += math.prod(found.shape or ()) * found.dtype.itemsize
            if objects > _MOST_OBJECTS:
                raise CheckpointError(f"{path} has more than {_MOST_OBJECTS} objects; refused.")
    size = path.stat().st_size
    if declared > max(_HARMLESS_BYTES, _MOST_GROWTH * size):
        raise CheckpointError(
            f"{path} has {size:,} bytes and declares {declared:,}, more than {_MOST_GROWTH} times "
            "as much; if it is yours, write it without compression."
        )


def _without_resets(data: Any) -> None:
    """Take out the potentials that neurons are reset to, where they are 0."""
    nodes = data.get("nodes")
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        if not isinstance(node, dict):
            continue
        _without_resets(node)
        if np.any(node.pop(_RESET, 0) != 0):
            raise ModelError(
                f"The NIR node {name!r} is reset to a potential other than 0 ({_RESET}), which "
                "has no ANN counterpart; set it to 0 and scale the threshold."
            )
