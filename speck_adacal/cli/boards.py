"""What `stream` reads from, and what runs it: twin, virtual dev kit, dev kit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speck_adacal.chip_description import usual_board
from speck_adacal.cli import early
from speck_adacal.errors import HardwareMissingError, SettingsError

if TYPE_CHECKING:
    from speck_adacal.chip.deploy import Deployment
    from speck_adacal.events.types import Events
    from speck_adacal.host import Backend, Moment
    from speck_adacal.host.sources import Source

_BACKENDS = ("twin", "virtual", "devkit")
_WINDOW_US, _FEWEST_WINDOWS = 10_000, 20


@dataclass(frozen=True, eq=False)
class Feed:
    """A source and the chip that it goes to.

    Attributes:
        backend: the chip.
        pieces: what the session reads.
        shown: the events to show.
        name: of the source.
        opened: the source, where it is known beforehand; None for a sensor.
    """

    backend: Backend
    pieces: Iterable[Events]
    shown: Events
    name: str
    opened: Source | None

    def source(self, moments: Sequence[Moment]) -> Source:
        """The source; a sensor's is what it saw."""
        if self.opened is not None:
            return self.opened
        from speck_adacal.host.sensor import joined
        from speck_adacal.host.sources import Source

        seen = [m.seen for m in moments if m.seen is not None]
        return Source(self.name, joined(seen, self.shown.shape, moments[-1].t_us))


def refuse_source(text: str, backend: str) -> None:
    """Say before anything slow is loaded that a back end or a file is not there.

    Raises:
        SettingsError: there is no such back end.
        DataError: there is no such file.
    """
    if backend not in _BACKENDS:
        raise SettingsError(f"--backend must be one of {', '.join(_BACKENDS)}, found {backend!r}.")
    if text != "devkit" and ":" not in text:
        early.need_file(Path(text), "a recording")


def source_feed(
    text: str,
    deployment: Deployment,
    backend: str,
    window_us: int | None,
    *,
    crop: tuple[int, int] | None = None,
    pool: int | None = None,
) -> Feed:
    """A recording, piece by piece, on the chip asked for."""
    from speck_adacal.host import windows_of
    from speck_adacal.host.sources import open_source

    settings = deployment.adapted.recipe.settings
    opened = open_source(
        text,
        deployment.input_shape,
        steps=settings.time_steps,
        burst=settings.input_burst,
        seed=settings.seed,
        crop=crop,
        pool=pool,
    )
    often_us = max(min(_WINDOW_US, opened.events.duration_us // _FEWEST_WINDOWS), 1)
    pieces = windows_of(opened.events, window_us or often_us)
    step_us = (opened.events.duration_us + 1) / settings.time_steps
    return Feed(_backend(backend, deployment, step_us), pieces, opened.events, text, opened)


def sensor_feed(deployment: Deployment, scene: str, window_us: int | None, seconds: float) -> Feed:
    """The sensor of a dev kit: a real one where samna is, else a virtual one that sees `scene`."""
    from speck_adacal.host import open_board
    from speck_adacal.host.sensor import SensorBackend, joined, silence
    from speck_adacal.virtual_samna import declare_boards, ensure_samna

    if ensure_samna().kind == "virtual":
        declare_boards(usual_board(deployment.chip), real_time=True, scene=scene)
    elif scene:
        raise SettingsError("--scene is for the virtual dev kit; a real one sees what is there.")
    backend = SensorBackend(deployment, open_board(deployment.chip))
    window_us = window_us or _WINDOW_US
    windows = max(round(seconds * 1e6 / window_us), 1)
    pieces = silence(backend.shape, window_us=window_us, windows=windows)
    return Feed(backend, pieces, joined([], backend.shape, windows * window_us), "devkit", None)


def _backend(name: str, deployment: Deployment, step_us: float) -> Backend:
    from speck_adacal.host import BoardBackend, TwinBackend, open_board
    from speck_adacal.virtual_samna import declare_boards, ensure_samna

    if name == "twin":
        return TwinBackend(deployment, step_us=step_us)
    kind = ensure_samna().kind
    if name == "devkit" and kind != "real":
        raise HardwareMissingError(
            "--backend devkit needs the vendor's samna library and a connected dev kit; use "
            "--backend virtual or twin."
        )
    if name == "virtual":
        if kind == "real":
            raise SettingsError(
                "--backend virtual needs the virtual samna, but the real one is in use; set "
                "SPECK_ADACAL_SAMNA=virtual."
            )
        declare_boards(usual_board(deployment.chip), real_time=False)
    return BoardBackend(deployment, open_board(deployment.chip), step_us=step_us)
