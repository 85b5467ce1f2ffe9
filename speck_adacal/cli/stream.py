"""`speck-adacal stream`: watch a network decide, and stop early."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speck_adacal.cli import boards, common, early, waiting
from speck_adacal.cli import stream_options as options
from speck_adacal.errors import SettingsError

if TYPE_CHECKING:
    from speck_adacal.chip.deploy import Deployment
    from speck_adacal.host import Moment, Readout
    from speck_adacal.host.recorded_session import RecordedSession

NAME = "stream"
EXAMPLE = (
    "Examples: speck-adacal stream digits:3 --bundle demo_out; speck-adacal stream rec.npz:7 "
    "--bundle nmnist.bundle --save-html replay.html"
)
_READOUTS = ("bundle", "argmax_spike_count", "argmax_membrane", "first_to_threshold")


def command(
    source: options.Source,
    bundle: options.Bundle,
    backend: options.Backend = "twin",
    readout: options.Readout = "bundle",
    window_ms: options.WindowMs = None,
    seconds: options.Seconds = 5.0,
    scene: options.Scene = "",
    speed: options.Speed = 0.25,
    crop: options.Crop = None,
    pool: options.Pool = None,
    record: options.Record = None,
    save_video: options.SaveVideo = None,
    save_html: options.SaveHtml = None,
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Show events, output spikes and confidence until the network has decided.

    On a terminal this is a live view, elsewhere one line for each piece of input. Figures of the
    twin and of the virtual dev kit are simulated.
    """
    for path in (record, save_video, save_html):
        early.refuse_early(path, force=force)
    early.need_bundle(bundle)
    boards.refuse_source(source, backend)
    _refuse_readout(readout)
    corner = None if crop is None else common.parse_pair(crop, "--crop")
    if source == "devkit" and (corner, pool) != (None, None):
        raise SettingsError("--crop and --pool are for recordings; `deploy --origin` for a sensor.")
    hushed = quiet or as_json
    with common.calm_libraries(quiet=hushed):
        deployment = _opened(bundle, seed, hushed=hushed)
        chosen = _readout(readout, bundle, deployment)
        window_us = chosen.window_us or (None if window_ms is None else round(window_ms * 1000))
        if source == "devkit":
            feed = boards.sensor_feed(deployment, scene, window_us, seconds)
        else:
            feed = boards.source_feed(
                source, deployment, backend, window_us, crop=corner, pool=pool
            )
        recorded = _watch(feed, chosen, speed, silent=hushed)
    _write(recorded, record, save_video, save_html, force=force)
    from rich.text import Text

    from speck_adacal.reporting.live import verdict_text

    made_for = deployment.adapted.recipe.settings.made_for
    begins = (
        "nobody resets the sensor" if source == "devkit" else "the recording began with a reset"
    )
    said = f"{verdict_text(recorded)} The network was made for {made_for}; here {begins}."
    results = {**recorded.to_dict(), "made_for": made_for}
    common.show(results, Text(said), as_json=as_json, quiet=quiet)


def _opened(bundle: Path, seed: int | None, *, hushed: bool) -> Deployment:
    with waiting.counting("Opening", quiet=hushed) as count:
        count(0, 0, waiting.LOADING)
        from speck_adacal import load_deployment

        return load_deployment(bundle, seed=seed)


def _watch(feed: boards.Feed, readout: Readout, speed: float, *, silent: bool) -> RecordedSession:
    from speck_adacal import RecordedSession, Session

    moments = []
    if feed.opened is not None and feed.opened.fitting is not None and not silent:
        fitting = feed.opened.fitting
        if fitting.changed:
            common.console().print(fitting.line())
    with Session(feed.backend, readout) as session, _view(feed, readout, speed, silent) as show:
        if feed.opened is not None:
            session.warm_up(feed.opened.events)
        for moment in session.watch(feed.pieces):
            moments.append(moment)
            show(moment)
    return RecordedSession(
        source=feed.source(moments),
        names=readout.names,
        class_of=readout.class_of,
        moments=tuple(moments),
        backend=feed.backend.name,
        grade=feed.backend.grade,
    )


def _refuse_readout(text: str) -> None:
    kind, _, number = text.partition("=")
    if kind not in _READOUTS or (kind == _READOUTS[-1]) != number.isdecimal():
        raise SettingsError(f"--readout must be one of {', '.join(_READOUTS)}=N, found {text!r}.")


def _readout(text: str, bundle: Path, deployment: Deployment) -> Readout:
    from speck_adacal.bundle import read_bundle
    from speck_adacal.host import ArgmaxMembrane, ArgmaxSpikeCount, FirstToThreshold
    from speck_adacal.readout.readout_files import readout_of_bundle

    own = readout_of_bundle(read_bundle(bundle))
    names = deployment.classes if own is None else own.names
    class_of = None if own is None else own.class_of
    kind, _, number = text.partition("=")
    if kind == "bundle":
        return own or ArgmaxSpikeCount(names)
    if kind == "argmax_spike_count":
        return ArgmaxSpikeCount(names, class_of=class_of)
    if kind == "argmax_membrane":
        return ArgmaxMembrane(names, deployment.layers[-1].threshold, class_of=class_of)
    return FirstToThreshold(names, int(number), class_of=class_of)


@contextmanager
def _view(feed: boards.Feed, readout: Readout, speed: float, silent: bool) -> Iterator[Any]:
    """A function that shows a moment: live on a terminal, else a line, or nothing."""
    names = readout.names
    from speck_adacal.reporting.live import moment_line, render_moment

    def say(moment: Moment) -> None:
        common.console().print(moment_line(moment, names), soft_wrap=True)

    if silent or not sys.stdout.isatty():
        yield (lambda moment: None) if silent else say
        return
    from rich.live import Live

    start = time.monotonic()
    with Live(console=common.console(), auto_refresh=False) as live:

        def show(moment: Moment) -> None:
            if speed > 0:
                ahead = moment.t_us * 1e-6 / speed - (time.monotonic() - start)
                time.sleep(max(ahead, 0.0))
            shown = moment.seen or feed.shown
            live.update(render_moment(moment, shown, names), refresh=True)

        yield show


def _write(
    recorded: RecordedSession,
    record: Path | None,
    video: Path | None,
    page: Path | None,
    *,
    force: bool,
) -> None:
    if record is not None:
        from speck_adacal.host.recorded_session import write_recorded_session

        write_recorded_session(recorded, record, force=force)
    if video is not None:
        from speck_adacal.reporting.video import write_gif

        write_gif(recorded, video, force=force)
    if page is not None:
        from speck_adacal.reporting.replay_page import write_replay

        write_replay(recorded, page, force=force)
