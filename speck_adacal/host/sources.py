"""What a session can look at: recordings, data sets, and the simulated camera, by a short name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speck_adacal.datasets.camera_sets import simulated_recordings
from speck_adacal.datasets.catalogue import dataset_info, open_recordings
from speck_adacal.datasets.demo import load_demo_digits
from speck_adacal.errors import DataError
from speck_adacal.events.encode import rate_code
from speck_adacal.events.fit_to_input import Fitting, Shape, fit_events
from speck_adacal.events.recordings import read_recording
from speck_adacal.events.sample_files import load_samples
from speck_adacal.events.types import Events

HELP = (
    "a recording (.npz, .bin, .aedat4, .raw, .dat; FILE.npz:K for the K-th of many), "
    "digits:K (a shipped digit, rate-coded), camera:K (the simulated camera looks at it), "
    "camera:FILE.npz:K (at an image of yours), or DATASET:SPLIT:K such as nmnist:test:0"
)


@dataclass(frozen=True, eq=False)
class Source:
    """One sample to look at.

    Attributes:
        name: what was asked for.
        events: the recording, fitted to the network's input.
        label: its true class, where it is known.
        fitting: what was done to the recording so that the network takes it; None for a sensor.
    """

    name: str
    events: Events
    label: int | None = None
    fitting: Fitting | None = None


def open_source(
    text: str,
    shape: Shape,
    *,
    steps: int = 8,
    burst: int = 4,
    seed: int = 0,
    crop: tuple[int, int] | None = None,
    pool: int | None = None,
) -> Source:
    """Open a source by name.

    Args:
        text: see `HELP`.
        shape: `(channels, height, width)` of the network's input.
        steps, burst: time steps and events a step of rate-coded images.
        seed: of coding and camera.
        crop, pool: see `fit_events`.

    Raises:
        DataError: there is no such source, or it cannot be read, or has too few channels.
        SettingsError: the region to crop is not in it.
    """
    label: int | None
    kind, _, rest = text.partition(":")
    if kind == "digits":
        image, label = _digit(_number(rest, text))
        events = rate_code(image, time_steps=steps, max_events_per_step=burst, seed=seed)
    elif kind == "camera":
        image, label = _image(rest, text)
        events = next(simulated_recordings(image, seed=seed))
    elif Path(text).exists() or not rest:
        events, label = read_recording(text, _known_shape(Path(text), shape)), None
    elif Path(text.rpartition(":")[0]).is_file():
        path, _, number = text.rpartition(":")
        events, label = _of_many(Path(path), _number(number, text))
    else:
        events, label = _of_dataset(text)
    fitted, done = fit_events(events.from_own_start(), shape, crop=crop, pool=pool)
    return Source(text, fitted, label, done)


def _known_shape(path: Path, shape: Shape) -> Shape | None:
    """A `.bin` file does not say how large its sensor was: that of the network, if it fits."""
    return shape if path.suffix == ".bin" and shape[0] == 2 else None


def _number(text: str, source: str) -> int:
    if not text.isdecimal():
        raise DataError(f"The source {source!r} needs a number at its end; give {HELP}.")
    return int(text)


def _digit(index: int) -> tuple[np.ndarray, int]:
    digits = load_demo_digits()
    if index >= len(digits.images):
        raise DataError(f"There are {len(digits.images)} shipped digits, asked for was {index}.")
    return digits.images[index], int(digits.labels[index])


def _image(rest: str, text: str) -> tuple[np.ndarray, int | None]:
    path, _, number = rest.rpartition(":")
    if not path:
        image, label = _digit(_number(number, text))
        return image[None], label
    samples = load_samples(path).part(_only(_number(number, text)))
    if not isinstance(samples.inputs, np.ndarray):
        raise DataError(f"{path} holds recordings, the camera looks at images; leave out camera:.")
    return samples.inputs, None if samples.labels is None else int(samples.labels[0])


def _of_many(path: Path, index: int) -> tuple[Events, int | None]:
    samples = load_samples(path).part(_only(index))
    if isinstance(samples.inputs, np.ndarray):
        raise DataError(f"{path} holds images; look at them with camera:{path}:{index}.")
    return samples.inputs[0], None if samples.labels is None else int(samples.labels[0])


def _of_dataset(text: str) -> tuple[Events, int | None]:
    parts = text.split(":")
    if len(parts) != 3:
        raise DataError(f"There is no source {text!r}; give {HELP}.")
    name, split, number = parts
    dataset_info(name)
    recordings = open_recordings(name, split, complete=False)
    index = _number(number, text)
    if index >= len(recordings):
        raise DataError(f"{name} {split} has {len(recordings)} recordings, asked for was {index}.")
    events, label = recordings[index]
    return events, label


def _only(index: int) -> slice:
    return slice(index, index + 1)
