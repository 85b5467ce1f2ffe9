"""Convolutions of 3 × 3 at stride 1 by Winograd's method: on CPUs about twice as fast as direct.

Sensitivity tables and searches are little else than convolutions. PyTorch's on CPUs are direct
(oneDNN); NNPACK, which comes with it too and has this method, is slower than those.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from speck_adacal.ann.modules import Add, Rectifier
from speck_adacal.kernel_cache import compile_afresh
from speck_adacal.snn._winograd_kernel import STAMP, convolve, room_bytes
from speck_adacal.snn._winograd_vectors import LANES
from speck_adacal.snn.fused import use_torch_threads

# Rows of the transform of the weights (arXiv 1509.09308, section 4.3).
_WEIGHTS = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_LEAST_CHANNELS = 16  # with fewer the transforms take longer than what they save
_LEAST_USED = 0.6  # part of the 4 × 4 tiles that must lie on the map


class Winograd:
    """One convolution layer, run by Winograd's F(4 × 4, 3 × 3).

    Rounding is several times a direct convolution's: results are within 256 units of the last
    place of the largest sum of absolute products on the map (tested).

    Args:
        module: a layer that `suits` says can be run so.
    """

    def __init__(self, module: nn.Conv2d) -> None:
        self._weight = module.weight.detach().clone()
        taps = np.einsum(
            "ia,ocab,jb->ijco", _WEIGHTS, self._weight.double().numpy(), _WEIGHTS, optimize=True
        )
        self._taps = torch.from_numpy(taps.astype(np.float32, order="C"))

    @staticmethod
    def suits(module: nn.Module) -> bool:
        """Whether this is a layer for the method."""
        return (
            isinstance(module, nn.Conv2d)
            and module.kernel_size == (3, 3)
            and module.stride == module.dilation == (1, 1)
            and module.groups == 1
            and isinstance(module.padding, tuple)
            and module.padding_mode == "zeros"
            and min(module.in_channels, module.out_channels) >= _LEAST_CHANNELS
            and module.in_channels % LANES == module.out_channels % LANES == 0
            and module.weight.dtype is torch.float32
            and module.weight.device.type == "cpu"
        )

    def made_from(self, module: nn.Conv2d) -> bool:
        """Whether the layer's weights are still those that were transformed."""
        return torch.equal(module.weight.detach(), self._weight)

    def run(self, module: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        """`module(x)` for float32 `[frames, channels, y, x]`, channels last in memory."""
        frames, channels, height, width = x.shape
        features, (pad_y, pad_x) = module.out_channels, _padding(module)
        shape = (frames, features, *_map_size(module, x))
        out = torch.empty(shape, memory_format=torch.channels_last)
        bias = torch.zeros(features) if module.bias is None else module.bias.detach().contiguous()
        use_torch_threads()
        threads, room = torch.get_num_threads(), room_bytes(channels, features)
        scratch = torch.empty(threads * room + 64, dtype=torch.uint8)
        begin = scratch.data_ptr() + -scratch.data_ptr() % 64
        addresses = (x.data_ptr(), self._taps.data_ptr(), bias.data_ptr(), out.data_ptr())
        sizes = (frames, height, width, pad_y, pad_x, channels, features)
        while not convolve(STAMP, *addresses, *sizes, begin, room, threads):
            compile_afresh(convolve)
        return out


class Convolutions:
    """Runs modules, those that it suits by Winograd's method; keeps their transforms."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[nn.Module, Winograd] = weakref.WeakKeyDictionary()

    def __reduce__(self) -> tuple[type[Convolutions], tuple[()]]:
        """A copy, or what another process gets, knows nothing yet."""
        return Convolutions, ()

    def run(self, module: nn.Module, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """`module(*inputs)`; what a convolution of maps gives lies channels last in memory."""
        if isinstance(module, nn.Conv2d) and Winograd.suits(module) and _fits(module, inputs[0]):
            known = self._known.get(module)
            if known is None or not known.made_from(module):
                known = self._known[module] = Winograd(module)
            return known.run(module, inputs[0])
        out = module(*inputs)
        # With one channel in, PyTorch does not know that channels last is wanted.
        maps = isinstance(module, nn.Conv2d) and out.ndim == 4
        return out.contiguous(memory_format=torch.channels_last) if maps else out


def run_plain(
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    spare: bool,
    convolutions: Convolutions | None,
) -> torch.Tensor:
    """`module(*inputs)` for a module without neurons.

    Args:
        module: of a layer graph.
        inputs: `[frames, *shape]` each.
        spare: whether nobody else reads the first of them, which may then be overwritten.
        convolutions: run it, where channels come last in memory; None where they do not.
    """
    if spare and isinstance(module, Rectifier):
        return module.into_first(inputs)
    if spare and isinstance(module, Add) and module.fits_into_first(inputs):
        return module.into_first(inputs)
    return module(*inputs) if convolutions is None else convolutions.run(module, inputs)


def _fits(module: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether `x` lies in memory as the kernel needs it, and its map is not mostly edge."""
    if x.dtype is not torch.float32 or x.device.type != "cpu" or torch.is_grad_enabled():
        return False
    if x.ndim != 4 or not x.is_contiguous(memory_format=torch.channels_last) or not len(x):
        return False
    height, width = _map_size(module, x)
    covered = 16 * -(-height // 4) * -(-width // 4)
    return min(height, width) > 0 and height * width >= _LEAST_USED * covered


def _padding(module: nn.Conv2d) -> tuple[int, int]:
    pad_y, pad_x = (int(p) for p in module.padding)
    return pad_y, pad_x


def _map_size(module: nn.Conv2d, x: torch.Tensor) -> tuple[int, int]:
    pad_y, pad_x = _padding(module)
    return x.shape[2] + 2 * pad_y - 2, x.shape[3] + 2 * pad_x - 2
