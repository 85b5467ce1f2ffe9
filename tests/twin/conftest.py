"""Data and programs that several tests of the twin share."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.types import Events
from speck_adacal.twin import ChipProgram, CoreProgram, Destination


def quantised(weights: np.ndarray) -> tuple[np.ndarray, int]:
    """8-bit weights and the threshold that stands for 1, by one joint scale."""
    scale = float(min(127 / weights.max(), 128 / -weights.min()))
    return np.round(weights * scale).astype(np.int8), round(scale)


def recordings(data, count: int) -> list[Events]:
    """The first `count` N-MNIST recordings of an archive."""
    chosen = []
    for start, stop in zip(data["offsets"][:count], data["offsets"][1 : count + 1], strict=True):
        s = slice(start, stop)
        t_us, polarity = data["t"][s].astype(np.int64), data["p"][s].astype(np.int16)
        chosen.append(Events(t_us, data["x"][s], data["y"][s], polarity, (2, 34, 34)))
    return chosen


def nmnist_program(weights, *, lower_clip: bool) -> ChipProgram:
    """The NIR paper's N-MNIST network on cores 0, 1, 2, 5 and 3."""
    shapes = {
        0: ("0.weight", (2, 34, 34), (16, 16, 16), (5, 5), 2, 1, (1, 1)),
        1: ("2.weight", (16, 16, 16), (16, 16, 16), (3, 3), 1, 1, (2, 2)),
        2: ("5.weight", (16, 8, 8), (8, 8, 8), (3, 3), 1, 1, (5, 2)),
        5: ("9.weight", (8, 4, 4), (256, 1, 1), (4, 4), 1, 0, (3, 1)),
        3: ("11.weight", (256, 1, 1), (10, 1, 1), (1, 1), 1, 0, None),
    }
    cores = {}
    for index, (name, in_shape, out_shape, kernel, stride, padding, target) in shapes.items():
        integers, threshold = quantised(weights[name])
        cores[index] = CoreProgram(
            index=index,
            weights=integers.reshape(out_shape[0], in_shape[0], *kernel),
            in_shape=in_shape,
            out_shape=out_shape,
            threshold_high=threshold,
            threshold_low=-threshold if lower_clip else -32768,
            stride=(stride, stride),
            padding=(padding, padding),
            destinations=() if target is None else (Destination(*target),),
            monitor=index in (0, 3),
        )
    return ChipProgram(load_chip_description("speck2f"), cores)


@pytest.fixture(scope="session")
def make_nmnist_program():
    return nmnist_program


@pytest.fixture(scope="session")
def cut_recordings():
    return recordings


@pytest.fixture(scope="session")
def nmnist_weights(shared_data):
    return np.load(shared_data / "nmnist_cnn_nir_paper.npz", allow_pickle=False)


@pytest.fixture(scope="session")
def nmnist_recordings(shared_data):
    return np.load(shared_data / "nmnist_train1000.npz", allow_pickle=False)


@pytest.fixture(scope="session")
def silicon(shared_data):
    return np.load(shared_data / "speck2f_layer0_recording.npz", allow_pickle=False)


def simple_core(index=0, weights=((((1,),),),), **changes) -> CoreProgram:
    """A core of one pixel: `weights[out][in]` lead from features to neurons."""
    array = np.array(weights, dtype=np.int8)
    if array.ndim == 2:
        array = array[:, :, None, None]
    settings = {
        "in_shape": (array.shape[1], 1, 1),
        "out_shape": (array.shape[0], 1, 1),
        "threshold_high": 10,
        "threshold_low": -32768,
        "monitor": True,
        **changes,
    }
    return CoreProgram(index=index, weights=array, **settings)


@pytest.fixture(scope="session")
def make_core():
    return simple_core


@pytest.fixture(scope="session")
def make_program():
    def program(*cores: CoreProgram, **changes) -> ChipProgram:
        return ChipProgram(load_chip_description(), {c.index: c for c in cores}, **changes)

    return program


@pytest.fixture(scope="session")
def make_events():
    """Events from `(t_us, x, y, channel)` rows."""

    def events(rows, shape=(4, 8, 8), duration_us=-1) -> Events:
        t_us, x, y, channel = np.array(rows, dtype=np.int64).reshape(-1, 4).T
        return Events(t_us, x, y, channel, shape, duration_us)

    return events


@pytest.fixture(scope="session")
def pulses(make_events):
    """Events of one pixel, 1 ms apart from 1 ms (or `start_us`) on: a list of features."""

    def events(features, duration_us=-1, start_us=1000) -> Events:
        rows = [(1000 * i + start_us, 0, 0, f) for i, f in enumerate(features)]
        return make_events(rows, (16, 1, 1), duration_us)

    return events
