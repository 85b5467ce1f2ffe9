"""Weights from files of several formats, told apart by their first bytes; no code is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from speck_adacal.bundle.array_files import is_array_file, read_arrays, refuse_bomb
from speck_adacal.errors import CheckpointError

_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE = b"\x80"
_RESAVE = (
    "load it where you trust it and save the weights alone: "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors'), "
    "then give --arch NAME or module:callable"
)


def is_nir(path: Path) -> bool:
    """Whether a file is NIR: by its ending or, for other endings, as HDF5."""
    return path.suffix in {".nir", ".h5", ".hdf5"} or _start(path, 8) == _HDF5


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a weights file.

    Returns:
        Tensors on the CPU by name; half-precision and double values become float32.

    Raises:
        CheckpointError: the file is a pickle, is damaged, or has no known format.
    """
    start = _start(path, 16)
    if start.startswith(_ZIP):
        state = _read_npz(path) if is_array_file(path) else _read_torch_zip(path)
    elif start[8:9] == b"{":  # after the header's length, whose first byte may be anything
        state = _read_safetensors(path)
    elif start.startswith(_PICKLE) or path.suffix in {".pkl", ".pickle"}:
        raise CheckpointError(f"{path} is a pickle, which can run any code; {_RESAVE}.")
    else:
        raise CheckpointError(
            f"{path} is no readable model file (it starts with {start[:8].hex(' ')!r}); known "
            "are safetensors, npz, a plain state dict saved by torch, and NIR."
        )
    return {name: _plain(name, tensor, path) for name, tensor in state.items()}


def _start(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from error


def _plain(name: str, tensor: torch.Tensor, path: Path) -> torch.Tensor:
    if tensor.is_complex() or tensor.is_sparse or tensor.is_quantized:
        raise CheckpointError(
            f"The tensor {name!r} in {path} is complex, sparse or quantised; save dense real "
            "numbers."
        )
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(
            f"The tensor {name!r} in {path} repeats its memory and says shape "
            f"{tuple(tensor.shape)}; save it after .contiguous()."
        )
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is a damaged safetensors file ({error}); copy or export it again."
        ) from error


def _read_npz(path: Path) -> dict[str, torch.Tensor]:
    arrays = read_arrays(path, error=CheckpointError)
    wrong = [name for name, values in arrays.items() if values.dtype.kind not in "iufb"]
    if wrong:
        raise CheckpointError(
            f"The array {wrong[0]!r} in {path} is of type {arrays[wrong[0]].dtype}; save one "
            "numeric array per tensor."
        )
    return {
        name: torch.from_numpy(values.astype(values.dtype.newbyteorder("="), copy=False))
        for name, values in arrays.items()
    }


def _read_torch_zip(path: Path) -> dict[str, torch.Tensor]:
    """A state dict that `torch.save` wrote, through torch's reader without code."""
    if _torch_version() < (2, 6):  # earlier ones could be made to run code even so
        raise CheckpointError(
            f"{path} was saved by torch.save, which this torch {torch.__version__} cannot read "
            f"safely (2.6 or later can); {_RESAVE}."
        )
    refuse_bomb(path, error=CheckpointError)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its reader raises many kinds; never retried
        raise CheckpointError(
            f"{path} holds more than plain weights (or is damaged) and may run code when "
            f"loaded; {_RESAVE}."
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path} holds {type(loaded).__name__}, no weights; {_RESAVE}.")
    strange = [k for k, v in loaded.items() if not isinstance(v, torch.Tensor)]
    if strange:
        raise CheckpointError(
            f"{path} is no plain state dict ({strange[0]!r} is no tensor); {_RESAVE}."
        )
    return {str(name): tensor.detach() for name, tensor in loaded.items()}


def _torch_version() -> tuple[int, ...]:
    return tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
