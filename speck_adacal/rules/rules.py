"""The chip's design rules: a table of small functions over the shapes of the layers.

Each rule looks at one layer's shape (so a network can be checked before it is trained) and
returns what it found against which limit, with a fix. All violations are reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from speck_adacal.chip_description import ChipDescription
from speck_adacal.rules.competition import find_competition, fitting_cores
from speck_adacal.rules.shapes import LayerShape, Violation

Rule = Callable[[LayerShape, ChipDescription], "Violation | None"]


def check_layers(
    layers: Iterable[LayerShape], description: ChipDescription
) -> tuple[Violation, ...]:
    """Apply every rule to every layer, and where they hold, the rules on the whole network."""
    layers = tuple(layers)
    return check_each_layer(layers, description) or find_competition(layers, description)


def check_each_layer(
    layers: Iterable[LayerShape], description: ChipDescription
) -> tuple[Violation, ...]:
    """Apply every rule to every layer."""
    found = [rule(layer, description) for layer in layers for rule in LAYER_RULES]
    return tuple(violation for violation in found if violation is not None)


def _rule_input_size(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """A core reads maps of limited width and height."""
    limit = description.limits.input_size
    if max(layer.in_shape[1:]) <= limit:
        return None
    return Violation(
        "input-size",
        layer.name,
        f"input map of {_size(layer.in_shape)} pixels",
        f"{limit}×{limit}",
        "crop or pool the input before this layer",
    )


def _rule_map_size(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """A core's neuron map, before pooling, is limited in width and height."""
    limit = description.limits.map_size
    if max(layer.out_shape[1:]) <= limit:
        return None
    return Violation(
        "map-size",
        layer.name,
        f"neuron map of {_size(layer.out_shape)}",
        f"{limit}×{limit}",
        f"use stride {_next(description.limits.strides, max(layer.stride))} in the convolution",
    )


def _rule_features(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """A core has a limited number of input and output features."""
    limit, most = description.limits.features, max(layer.in_shape[0], layer.out_shape[0])
    if most <= limit:
        return None
    return Violation(
        "features", layer.name, f"{most} features", f"{limit}", f"use at most {limit} channels"
    )


def _rule_kernel(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """Kernels are square and of limited size."""
    limit, (ky, kx) = description.limits.kernel_size, layer.kernel
    if ky == kx and ky <= limit:
        return None
    fix = "use a square kernel" if ky != kx else f"use a kernel of {limit} or less, or pool before"
    return Violation("kernel", layer.name, f"kernel {ky}×{kx}", f"square, to {limit}×{limit}", fix)


def _rule_stride(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """Strides come from a short list."""
    allowed = description.limits.strides
    if set(layer.stride) <= set(allowed):
        return None
    return Violation(
        "stride",
        layer.name,
        f"stride {layer.stride}",
        _list(allowed),
        f"use stride {_nearest(allowed, max(layer.stride))}",
    )


def _rule_padding(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """Padding is limited."""
    limit = description.limits.padding
    if max(layer.padding) <= limit:
        return None
    return Violation(
        "padding",
        layer.name,
        f"padding {layer.padding}",
        f"0 to {limit}",
        f"pad by at most {limit}",
    )


def _rule_pool(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """Sum pooling behind the neurons has one of a few sizes, and tiles the map."""
    allowed = description.limits.poolings
    if layer.pool not in allowed:
        return Violation(
            "pool",
            layer.name,
            f"pooling by {layer.pool}",
            _list(allowed),
            f"pool by {_nearest(allowed, layer.pool)}, or use a strided convolution",
        )
    if any(size % layer.pool for size in layer.out_shape[1:]):
        return Violation(
            "pool-tiles",
            layer.name,
            f"a {_size(layer.out_shape)} map pooled by {layer.pool}",
            "maps that the pooling divides",
            "change the padding so that the map's size is a multiple of the pooling",
        )
    return None


def _rule_kernel_memory(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """The weights must fit the kernel memory of at least one core."""
    limit = max(core.kernel for core in description.cores)
    if layer.kernel_words <= limit:
        return None
    features = layer.in_shape[0] * limit // layer.kernel_words
    fix = f"use at most {features} input channels" if features else "use a smaller kernel"
    return Violation(
        "kernel-memory",
        layer.name,
        f"{layer.kernel_words} words of kernel memory ({layer.kernel_words / limit:.1f}×)",
        f"{limit} words (the largest core)",
        fix + ", or fewer output channels (memory counts in powers of two)",
    )


def _rule_neuron_memory(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """The membrane potentials must fit the neuron memory of at least one core."""
    limit = max(core.neuron for core in description.cores)
    if layer.neuron_words <= limit:
        return None
    features = layer.out_shape[0] * limit // layer.neuron_words
    return Violation(
        "neuron-memory",
        layer.name,
        f"{layer.neuron_words} words of neuron memory ({layer.neuron_words / limit:.1f}×)",
        f"{limit} words (the largest core)",
        f"use at most {features} output channels, or a larger stride",
    )


def _rule_core(layer: LayerShape, description: ChipDescription) -> Violation | None:
    """One and the same core must offer the kernel and the neuron memory."""
    biggest = max(core.kernel for core in description.cores)
    largest = max(core.neuron for core in description.cores)
    if layer.kernel_words > biggest or layer.neuron_words > largest:
        return None  # the memory rules speak of it
    if fitting_cores(layer, description):
        return None
    neurons = max(c.neuron for c in description.cores if c.kernel >= layer.kernel_words)
    return Violation(
        "core",
        layer.name,
        f"{layer.kernel_words} kernel words and {layer.neuron_words} neuron words",
        f"{neurons} neuron words on the cores with that much kernel memory",
        "use fewer channels, or a larger stride, so that one core offers both",
    )


LAYER_RULES: tuple[Rule, ...] = (
    _rule_input_size,
    _rule_map_size,
    _rule_features,
    _rule_kernel,
    _rule_stride,
    _rule_padding,
    _rule_pool,
    _rule_kernel_memory,
    _rule_neuron_memory,
    _rule_core,
)


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[1]}×{shape[2]}"


def _list(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values)


def _nearest(values: Sequence[int], target: int) -> int:
    return min(values, key=lambda value: abs(value - target))


def _next(values: Sequence[int], above: int) -> int:
    return min((value for value in values if value > above), default=max(values))
