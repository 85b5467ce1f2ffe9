"""Trained networks from files, safely: safetensors, `.npz`, plain state dicts and NIR.

A file never decides what code runs: weights come without code, and the architecture is named
beside them. A pickled module would run code of its own and is refused.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from speck_adacal.ann.architectures import ARCHITECTURES, architecture
from speck_adacal.ann.state_names import without_prefix
from speck_adacal.ann.weight_files import is_nir, read_state
from speck_adacal.bundle import new_file
from speck_adacal.errors import CheckpointError

# Buffers of spiking layers: where a run left off, no weights.
_STATES = ("v_mem", "i_syn")


def load_network(model_file: str | Path, arch: str | None = None) -> nn.Module:
    """Load a trained network.

    Args:
        model_file: `.safetensors`; `.npz` with one array per tensor; `.pt` or `.pth` that holds a
            plain state dict; or `.nir`, which brings its own architecture.
        arch: name of a reference architecture (`speck_adacal.ann.architectures`), or
            `"module:callable"`, a function without arguments that returns an `nn.Module`; the
            module is looked for in the current directory too. Not used for NIR. Where it is not
            given, the `arch` entry of a safetensors file's metadata is taken, which may name a
            reference architecture and nothing else: a file never decides what code runs.

    Returns:
        The network with its weights, in evaluation mode, float32, on the CPU.

    Raises:
        CheckpointError: the file is missing, unsafe, damaged, or does not fit the architecture;
            the message names the first tensors that do not.
    """
    path = Path(model_file)
    if not path.is_file():
        raise CheckpointError(f"There is no model file {path}; check the path.")
    if is_nir(path):
        from speck_adacal.ann.nir_import import load_nir

        return load_nir(path)
    state = read_state(path)
    name = arch or _named_by_file(path)
    if not name:
        raise CheckpointError(
            f"{path} holds weights without an architecture; say which one they are for: "
            "--arch NAME, or --arch module:callable for your own."
        )
    network = build_architecture(name)
    _load_state(network, state, path, name)
    return network.eval()


def _named_by_file(path: Path) -> str | None:
    """The reference architecture that the file's metadata name, if any."""
    name = read_metadata(path).get("arch")
    if name and name not in ARCHITECTURES:
        raise CheckpointError(
            f"The metadata of {path} name the architecture {name[:80]!r}; a file may name a "
            f"reference architecture ({', '.join(ARCHITECTURES)}) and no code of its own. "
            "If you trust that code, name it yourself: --arch module:callable."
        )
    return name


def save_checkpoint(
    network: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a network's weights as safetensors, whole or not at all; same weights, same bytes.

    Args:
        network: its `state_dict` is written.
        path: ends in `.safetensors`; its folder is made where it is missing.
        metadata: texts stored in the file's header; `arch` names the architecture.

    Returns:
        The path.

    Raises:
        OutputError: it cannot be written.
    """
    from safetensors.torch import save_file

    path = Path(path)
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
    with new_file(path, force=True) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata or {}))
        _sort_metadata(temporary)
    return path


def _sort_metadata(path: Path) -> None:
    """Bring the header's texts, which the library writes in a random order, into a fixed one."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts in a safetensors file's header; empty for other formats.

    Raises:
        CheckpointError: the file is a damaged safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if Path(path).suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file ({error}).") from error


def build_architecture(name: str) -> nn.Module:
    """Build a network by name, or by `"module:callable"`.

    Raises:
        CheckpointError: the name is unknown, the module cannot be imported, or the callable
            fails or returns something else than an `nn.Module`.
    """
    if name.endswith(".py"):
        raise CheckpointError(
            f"--arch {name} names a file and nothing in it; give {name}:make_net, where make_net "
            "is a function without arguments that returns an nn.Module."
        )
    if ":" not in name:
        return architecture(name).build()
    module_name, _, attribute = name.rpartition(":")
    if module_name.endswith(".py"):
        module_name = _beside_its_file(Path(module_name), name)
    factory: object = _import_module(module_name, name)
    for part in attribute.split("."):
        factory = getattr(factory, part, None)
    if not callable(factory):
        raise CheckpointError(
            f"--arch {name}: the module {module_name!r} has no callable {attribute!r}; give "
            "module:callable, a function without arguments that returns an nn.Module."
        )
    try:
        network = factory()
    except Exception as error:  # the user's own code may raise anything
        raise CheckpointError(
            f"--arch {name}: calling it failed ({type(error).__name__}: {error}); it must work "
            "without arguments."
        ) from error
    if not isinstance(network, nn.Module):
        raise CheckpointError(
            f"--arch {name} returned {type(network).__name__}, needed is a torch.nn.Module."
        )
    return network


def _beside_its_file(path: Path, name: str) -> str:
    """The module of a file in the current directory, as one would import it.

    Raises:
        CheckpointError: the file is not there, or in another directory, from which its own imports
            would not work.
    """
    if not path.is_file():
        raise CheckpointError(f"--arch {name}: there is no file {path}; check the path.")
    if path.resolve().parent != Path.cwd():
        raise CheckpointError(
            f"--arch {name}: {path} is in another folder, where what it imports may be too; run "
            f"from {path.resolve().parent}, with --arch {path.stem}:{name.rpartition(':')[2]}."
        )
    return path.stem


def _import_module(module_name: str, name: str) -> object:
    """Import a module, the current directory first, leaving `sys.path` as it was."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(module_name)
    except Exception as error:  # the user's own module may raise anything
        raise CheckpointError(
            f"--arch {name}: the module {module_name!r} cannot be imported "
            f"({type(error).__name__}: {error}); run from its folder, or install it."
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _load_state(
    network: nn.Module, state: Mapping[str, torch.Tensor], path: Path, name: str
) -> None:
    own = network.state_dict()
    state = {k: v for k, v in without_prefix(state, own).items() if not k.endswith(_STATES)}
    needed = {k for k in own if not k.endswith(("num_batches_tracked", *_STATES))}
    problems = [f"missing {_listed(needed - state.keys())}"] if needed - state.keys() else []
    if state.keys() - own.keys():
        problems.append(f"unexpected {_listed(state.keys() - own.keys())}")
    problems += [
        f"{key} has shape {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ][:3]
    if problems:
        raise CheckpointError(
            f"The weights in {path} do not fit the architecture {name}: {'; '.join(problems)}; "
            "give the architecture that they were trained with."
        )
    for key, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"The tensor {key} in {path} has NaN or infinite values; train again, or "
                "export an earlier checkpoint."
            )
    network.load_state_dict(dict(state), strict=False)


def _listed(names: set[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + more
