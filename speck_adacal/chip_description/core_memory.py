"""How much of a core's memories a layer takes."""

from __future__ import annotations

from speck_adacal.chip_description.description import CoreMemory
from speck_adacal.errors import ConfigurationError


def kernel_memory_words(in_features: int, out_features: int, kernel_size: tuple[int, int]) -> int:
    """Kernel memory a core needs, in words of 8 bits.

    `c * 2**(ceil(log2(ky * kx)) + ceil(log2(f)))` (sinabs docs, speck/overview; the same as
    sinabs' `DynapcnnLayer.memory_summary`).

    Args:
        in_features: input features, c.
        out_features: output features, f.
        kernel_size: `(ky, kx)`.
    """
    taps = _log2_ceil("kernel_size", kernel_size[0] * kernel_size[1])
    outputs = _log2_ceil("out_features", out_features)
    return _positive("in_features", in_features) << (taps + outputs)


def neuron_memory_words(features: int, height: int, width: int) -> int:
    """Neuron memory a core needs, in words of 16 bits.

    `f * 2**(ceil(log2(height)) + ceil(log2(width)))` (sinabs docs, speck/overview).

    Args:
        features: output features, f.
        height: rows of the neuron map, before pooling.
        width: columns of the neuron map, before pooling.
    """
    rows, columns = _log2_ceil("height", height), _log2_ceil("width", width)
    return _positive("features", features) << (rows + columns)


def core_memory_use(
    in_features: int,
    out_shape: tuple[int, int, int],
    kernel_size: tuple[int, int],
    *,
    has_bias: bool = False,
) -> CoreMemory:
    """Memory that a convolution with its neurons needs on a core.

    Args:
        in_features: input features.
        out_shape: `(features, height, width)` of the neuron map, before pooling.
        kernel_size: `(ky, kx)`.
        has_bias: whether biases (leak) are stored, one word a feature.

    Raises:
        ConfigurationError: a size is below 1.
    """
    features, height, width = out_shape
    return CoreMemory(
        kernel=kernel_memory_words(in_features, features, kernel_size),
        neuron=neuron_memory_words(features, height, width),
        bias=features if has_bias else 0,
    )


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigurationError(
            f"A core's {name} is {value}, but must be at least 1; give the layer's true size."
        )
    return value


def _log2_ceil(name: str, value: int) -> int:
    return (_positive(name, value) - 1).bit_length()
