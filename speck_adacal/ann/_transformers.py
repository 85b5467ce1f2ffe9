"""PyTorch's own attention layers as plain operations, which can be traced."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.errors import ModelError


class PlainAttention(nn.Module):
    """What `nn.MultiheadAttention` computes at inference, without masks.

    Args:
        layer: with the batch axis first, and with as many features of keys as of queries.

    Raises:
        ModelError: it has settings that are not supported.
    """

    def __init__(self, layer: nn.MultiheadAttention) -> None:
        super().__init__()
        odd = {
            "batch_first=False": not layer.batch_first,
            "kdim or vdim": not layer._qkv_same_embed_dim,
            "add_bias_kv": layer.bias_k is not None,
            "add_zero_attn": layer.add_zero_attn,
        }
        if given := [name for name, value in odd.items() if value]:
            raise ModelError(
                f"nn.MultiheadAttention with {', '.join(given)} is not supported; build it with "
                "batch_first=True and features of one size."
            )
        self.heads, self.width = layer.num_heads, layer.embed_dim
        self.parts = nn.ModuleList(
            nn.Linear(self.width, self.width, layer.in_proj_bias is not None) for _ in "qkv"
        )
        weights = layer.in_proj_weight.detach().chunk(3)
        biases = (None,) * 3 if layer.in_proj_bias is None else layer.in_proj_bias.detach().chunk(3)
        for part, weight, bias in zip(self.parts, weights, biases, strict=True):
            part.weight = nn.Parameter(weight.clone())
            if bias is not None:
                part.bias = nn.Parameter(bias.clone())
        self.out_proj = nn.Linear(self.width, self.width, layer.out_proj.bias is not None)
        self.out_proj.load_state_dict(layer.out_proj.state_dict())

    def forward(
        self, query: Any, key: Any, value: Any, need_weights: bool = False, **masks: Any
    ) -> tuple[torch.Tensor, None]:
        """Attend; the weights are not given out."""
        if given := [name for name, mask in masks.items() if mask is not None and mask is not True]:
            raise ModelError(f"nn.MultiheadAttention is called with {', '.join(given)}; leave out.")
        q, k, v = (
            part(x).unflatten(-1, (self.heads, self.width // self.heads)).transpose(1, 2)
            for part, x in zip(self.parts, (query, key, value), strict=True)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.out_proj(mixed), None


class PlainEncoderLayer(nn.Module):
    """What `nn.TransformerEncoderLayer` computes at inference, without masks.

    Args:
        layer: its parts are shared.
    """

    def __init__(self, layer: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.self_attn = PlainAttention(layer.self_attn)
        self.linear1, self.linear2 = layer.linear1, layer.linear2
        self.norm1, self.norm2 = layer.norm1, layer.norm2
        self.norm_first, self.activation = layer.norm_first, layer.activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention and two linear layers, each beside a shortcut."""
        if self.norm_first:
            x = x + self._attend(self.norm1(x))
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x))
        result: torch.Tensor = self.norm2(x + self._feed(x))
        return result

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.self_attn(x, x, x)[0]
        return mixed

    def _feed(self, x: torch.Tensor) -> torch.Tensor:
        fed: torch.Tensor = self.linear2(self.activation(self.linear1(x)))
        return fed


class PlainEncoder(nn.Sequential):
    """`nn.TransformerEncoder` without masks: its layers, and the norm behind them."""

    def __init__(self, encoder: nn.TransformerEncoder) -> None:
        norm = [] if encoder.norm is None else [encoder.norm]
        super().__init__(*(PlainEncoderLayer(layer) for layer in encoder.layers), *norm)


_PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    nn.TransformerEncoder: PlainEncoder,
    nn.TransformerEncoderLayer: PlainEncoderLayer,
    nn.MultiheadAttention: PlainAttention,
}


def with_plain_attention(network: nn.Module) -> nn.Module:
    """The network (changed) with plain operations in the place of attention layers."""
    if type(network) in _PLAIN:
        return _PLAIN[type(network)](network).eval()
    for name, child in network.named_children():
        plain = with_plain_attention(child)
        if plain is not child:
            setattr(network, name, plain)
    return network
