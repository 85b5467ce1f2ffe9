"""The inner loops of specksim, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def convolve(
    feature: Any,
    y: Any,
    x: Any,
    t: Any,
    weights: Any,
    out_shape: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Any:
    """Weighted events of a convolution: for each input event, each output feature, each kernel
    row and column that lands on the map, in that order.

    Args:
        feature, y, x, t: int64 `[n]` input events.
        weights: float32 `[out][in][ky][kx]`.

    Returns:
        feature, y, x, t as int64 `[m]` and weight as float32 `[m]`.
    """
    out_features, _, kernel_y, kernel_x = weights.shape
    size = len(t) * out_features * kernel_y * kernel_x
    f_out = np.empty(size, np.int64)
    y_out = np.empty(size, np.int64)
    x_out = np.empty(size, np.int64)
    t_out = np.empty(size, np.int64)
    w_out = np.empty(size, np.float32)
    n = 0
    for i in range(len(t)):
        for f in range(out_features):
            for ky in range(kernel_y):
                row = y[i] + padding[0] - ky
                if row < 0 or row % stride[0] != 0 or row // stride[0] >= out_shape[0]:
                    continue
                for kx in range(kernel_x):
                    col = x[i] + padding[1] - kx
                    if col < 0 or col % stride[1] != 0 or col // stride[1] >= out_shape[1]:
                        continue
                    f_out[n] = f
                    y_out[n] = row // stride[0]
                    x_out[n] = col // stride[1]
                    t_out[n] = t[i]
                    w_out[n] = weights[f, feature[i], ky, kx]
                    n += 1
    return f_out[:n], y_out[:n], x_out[:n], t_out[:n], w_out[:n]


@njit(cache=True)
def integrate(
    feature: Any, y: Any, x: Any, weight: Any, state: Any, threshold: Any, lowest: Any
) -> Any:
    """Which weighted events make their neuron fire; the state `[c][y][x]` is updated in place.

    Returns:
        bool `[n]`.
    """
    fires = np.zeros(len(weight), np.bool_)
    for i in range(len(weight)):
        v = np.float32(state[feature[i], y[i], x[i]] + weight[i])
        if v < lowest:
            v = lowest
        if v >= threshold:
            fires[i] = True
            v = np.float32(v - threshold)
        state[feature[i], y[i], x[i]] = v
    return fires
