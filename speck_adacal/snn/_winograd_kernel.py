"""Compiled code of `winograd`: 3 × 3 convolutions at stride 1, four by four outputs at a time.

Tiles of 6 × 6 inputs are transformed (`Bᵀ d B`), multiplied channel by channel with transformed
weights, 36 small matrix products, and transformed back (`Aᵀ m A`); Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks", arXiv 1509.09308, section 4.3. A tile takes 36 multiplications
where a direct convolution takes 144.

All arguments are integers and addresses. Images lie `[frame][y][x][channel]`, float32.
"""

from __future__ import annotations

from pathlib import Path

from numba import njit, prange

from speck_adacal.kernel_cache import source_stamp
from speck_adacal.snn._winograd_vectors import (
    LANES,
    ROWS,
    TAPS,
    VECTOR_BYTES,
    clear_vector,
    copy_vector,
    multiply_one,
    multiply_two,
    transform_inputs,
    transform_outputs,
    will_read,
    will_write,
)

BLOCK = 24  # tiles transformed before they are multiplied; stays in the second-level cache
SPARE = 16  # floats between the 36 matrices, which keep them out of each other's cache lines
STAMP = source_stamp(Path(__file__).parent, ("_winograd_vectors.py", "_winograd_kernel.py"))


@njit
def _read_tile(image, height, width, step, y, x, edge, target, target_step):  # type: ignore[no-untyped-def]
    """Transform the 6 × 6 inputs from (y, x) on, zeros beyond the image, in `LANES` channels."""
    row_step = width * step
    if y >= 0 and x >= 0 and y + 6 <= height and x + 6 <= width:
        transform_inputs(image + y * row_step + x * step, row_step, step, target, target_step)
        return
    for i in range(6):
        for j in range(6):
            place = edge + (6 * i + j) * VECTOR_BYTES
            if 0 <= y + i < height and 0 <= x + j < width:
                copy_vector(image + (y + i) * row_step + (x + j) * step, place)
            else:
                clear_vector(place)
    transform_inputs(edge, 6 * VECTOR_BYTES, VECTOR_BYTES, target, target_step)


@njit
def _write_tile(source, source_step, bias, image, height, width, step, y, x, edge):  # type: ignore[no-untyped-def]
    """Transform back to the 4 × 4 outputs from (y, x) on; those beyond the image are dropped."""
    row_step = width * step
    place = image + y * row_step + x * step
    if y + 4 <= height and x + 4 <= width:
        transform_outputs(source, source_step, bias, place, row_step, step)
        return
    transform_outputs(source, source_step, bias, edge, 4 * VECTOR_BYTES, VECTOR_BYTES)
    for i in range(min(4, height - y)):
        for j in range(min(4, width - x)):
            copy_vector(edge + (4 * i + j) * VECTOR_BYTES, place + i * row_step + j * step)


@njit
def _multiply(  # type: ignore[no-untyped-def]
    inputs, input_step, weights, sums, sum_step, channels, features, images, read, outputs, written
):
    """The 36 matrix products of a block: `[BLOCK, channels]` times `[channels, features]`.

    Meanwhile `read` bytes of images, which the next block needs, and `written` bytes of outputs,
    which this one will write, come near: products wait for no memory, transforms would.
    """
    left_step, right_step = 4 * channels, 4 * features
    for tap in range(TAPS):
        right = weights + tap * channels * right_step
        for line in range(tap * read // TAPS, (tap + 1) * read // TAPS, 64):
            will_read(images + line)
        for line in range(tap * written // TAPS, (tap + 1) * written // TAPS, 64):
            will_write(outputs + line)
        for tile in range(0, BLOCK, ROWS):
            left = inputs + tap * input_step + tile * left_step
            target = sums + tap * sum_step + tile * right_step
            done = 0
            while features - done >= 2 * LANES:
                at = 4 * done
                multiply_two(
                    left, left_step, right + at, right_step, target + at, right_step, channels
                )
                done += 2 * LANES
            if done < features:
                at = 4 * done
                multiply_one(
                    left, left_step, right + at, right_step, target + at, right_step, channels
                )


@njit(cache=True, parallel=True)
def convolve(  # type: ignore[no-untyped-def]
    stamp,
    images,
    weights,
    bias,
    outputs,
    frames,
    height,
    width,
    pad_y,
    pad_x,
    channels,
    features,
    scratch,
    room,
    threads,
):
    """Convolve `frames` images of a size into `outputs`.

    Args:
        stamp: `STAMP`.
        images, outputs: addresses, `[frames][y][x][channel]`, `channels` and `features` of them,
            multiples of `LANES`.
        weights: address, float32 `[36, channels, features]`, transformed.
        bias: address, float32 `[features]`.
        height, width: of an input image.
        pad_y, pad_x: zeros on either side.
        scratch, room: address of `threads` times `room` bytes.
        threads: how many share the work.

    Returns:
        Whether it was done; not by a kernel that was compiled from other sources.
    """
    if stamp != STAMP:
        return False
    out_height, out_width = height + 2 * pad_y - 2, width + 2 * pad_x - 2
    across = (out_width + 3) // 4
    tiles = (out_height + 3) // 4 * across
    total = frames * tiles
    blocks = (total + BLOCK - 1) // BLOCK
    step_in, step_out = 4 * channels, 4 * features
    read = height * width * step_in // tiles  # bytes a tile, about
    written = out_height * out_width * step_out // tiles
    input_step, sum_step = BLOCK * step_in + 4 * SPARE, BLOCK * step_out + 4 * SPARE
    for thread in prange(threads):
        inputs = scratch + thread * room
        sums = inputs + TAPS * input_step
        edge = sums + TAPS * sum_step
        for block in range(thread * blocks // threads, (thread + 1) * blocks // threads):
            first = block * BLOCK
            count = min(BLOCK, total - first)
            for i in range(count):
                frame = (first + i) // tiles
                tile = first + i - frame * tiles
                y, x = tile // across * 4 - pad_y, tile % across * 4 - pad_x
                image = images + frame * height * width * step_in
                for c in range(0, step_in, VECTOR_BYTES):
                    target = inputs + i * step_in + c
                    _read_tile(image + c, height, width, step_in, y, x, edge, target, input_step)
            _multiply(
                inputs, input_step, weights, sums, sum_step, channels, features,
                images + (first + BLOCK) * read, BLOCK * read,
                outputs + first * written, BLOCK * written,
            )  # fmt: skip
            for i in range(count):
                frame = (first + i) // tiles
                tile = first + i - frame * tiles
                y, x = tile // across * 4, tile % across * 4
                image = outputs + frame * out_height * out_width * step_out
                for c in range(0, step_out, VECTOR_BYTES):
                    source, place = sums + i * step_out + c, image + c
                    _write_tile(
                        source, sum_step, bias + c, place, out_height, out_width, step_out,
                        y, x, edge,
                    )  # fmt: skip
    return True


def room_bytes(channels: int, features: int) -> int:
    """Scratch memory of a thread: two blocks of transformed tiles, and one tile at an edge."""
    floats = TAPS * (BLOCK * (channels + features) + 2 * SPARE + LANES)
    return 4 * (floats + -floats % 16)
