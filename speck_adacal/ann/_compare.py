"""Whether a layer graph computes what its network computes, on a random batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import ModelError

# Sums are rounded in another order, and folded batch norms differ in the last bits of float32.
_ONE_OPERATION, _WHOLE_NETWORK = 1e-4, 1e-3
_ANOTHER_BATCH = 3  # not the batch of the trace, so that a batch size read as a constant shows


def random_batch(count: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Inputs float32 `[count, *shape]`: the first like an image in 0..1, the others normal."""
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn((count, *shape), generator=generator)
    batch[0] = torch.rand(shape, generator=generator)
    return batch


def difference(
    found: torch.Tensor, expected: torch.Tensor, tolerance: float = _ONE_OPERATION
) -> str | None:
    """How two values that should be equal differ, in words; None where they are equal.

    Args:
        found: `[batch, *shape]`.
        expected: the same values, its shape possibly with ones at its end.
        tolerance: the largest gap allowed, in largest expected values.
    """
    size = float(expected.abs().max()) if expected.numel() else 0.0
    gap = (
        float((found.reshape(expected.shape) - expected).abs().max())
        if size or found.any()
        else 0.0
    )
    if gap <= tolerance * size + 1e-6:
        return None
    return f"its result differs by {gap:.3g} (of {size:.3g}) from what its operation gives"


def refuse_difference(graph: LayerGraph, model: nn.Module) -> None:
    """Compare the finished graph with the network.

    Raises:
        ModelError: they differ.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    x = random_batch(_ANOTHER_BATCH, graph.input_shape).to(device)
    with torch.no_grad():
        found = graph.run(x)
        try:
            expected = list(_tensors(model(x)))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ModelError(
                f"{type(model).__name__} fails on a batch of {_ANOTHER_BATCH} ({error}); its "
                "forward must work for any number of samples."
            ) from error
    for name, value in zip(graph.outputs, expected, strict=True):
        same = value.shape[:1] == found[name].shape[:1] and value.numel() == found[name].numel()
        gap = difference(found[name], value, _WHOLE_NETWORK) if same else "its shape differs"
        if gap is not None:
            raise ModelError(
                f"The layer graph of {type(model).__name__} does not compute what the network "
                f"does: at its output {name!r} {gap} on a random batch, though every operation "
                "agrees by itself; something outside the traced operations changes it (a hook on "
                "the network, a value kept between calls, samples that depend on each other)."
            )


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    members = value.values() if isinstance(value, dict) else value
    return [tensor for member in members for tensor in _tensors(member)]
