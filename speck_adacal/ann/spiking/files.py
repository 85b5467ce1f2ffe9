"""Spiking networks from files: NIR, or weights for an architecture with sinabs' spiking layers."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from speck_adacal.ann.checkpoint import load_network
from speck_adacal.ann.weight_files import is_nir
from speck_adacal.errors import CheckpointError, SettingsError


def load_spiking(
    path: Path, arch: str | None, input_shape: tuple[int, ...] | None
) -> tuple[nn.Module, tuple[int, ...]]:
    """Read a spiking network, with neurons.

    Args:
        path: a NIR file, or weights as `load_network` takes them.
        arch: builds the network that weights are for.
        input_shape: `(channels, height, width)`; a NIR file's own where it is not given.

    Returns:
        The network, and the shape of its input.

    Raises:
        CheckpointError: the file is missing, damaged or does not fit the architecture.
        ModelError: a NIR node has no counterpart.
        SettingsError: the input's shape is not known.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no model file {path}; check the path.")
    if is_nir(path):
        from speck_adacal.ann.spiking.nir import load_spiking_nir

        network, own = load_spiking_nir(path)
    else:
        network, own = load_network(path, arch), None
    shape = input_shape or own
    if shape is None:
        raise SettingsError(
            f"{path} does not say the shape of its input; give it: --input-shape 2,34,34."
        )
    return network, shape
