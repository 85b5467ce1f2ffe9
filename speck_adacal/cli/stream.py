"""`speck-adacal stream`: watch a network decide, and stop early."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speck_adacal.cli import boards, common
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
    source: Annotated[
        str,
        typer.Argument(
            help="A recording (.npz, .bin, .aedat4, .raw, .dat; FILE.npz:K for one of many), "
            "digits:K (a shipped digit), camera:K or camera:IMAGES.npz:K (the simulated camera "
            "looks at it), DATASET:SPLIT:K such as nmnist:test:0, or devkit (the sensor of a dev "
            "kit, virtual where no real one is installed)."
        ),
    ],
    bundle: Annotated[Path, typer.Option("--bundle", help="What `deploy` wrote.")],
    backend: Annotated[
        str,
        typer.Option("--backend", help="twin, virtual (dev kit in software) or devkit (real)."),
    ] = "twin",
    readout: Annotated[
        str,
        typer.Option(
            "--readout",
            help="bundle (the bundle's own, else argmax_spike_count), argmax_spike_count, "
            "argmax_membrane, or first_to_threshold=N.",
        ),
    ] = "bundle",
    window_ms: Annotated[
        float | None,
        typer.Option(
            "--window-ms",
            min=0.001,
            help="How often to look; by default every 10 ms, or 20 times where that is shorter.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.01, help="How long to listen to a dev kit's sensor.")
    ] = 5.0,
    scene: Annotated[
        str, typer.Option("--scene", help="Recording that a virtual dev kit's sensor sees.")
    ] = "",
    speed: Annotated[
        float, typer.Option("--speed", min=0.0, help="Of the live view; 0 for no waiting.")
    ] = 0.25,
    record: Annotated[
        Path | None, typer.Option("--record", help="Write events, spikes and decision (.npz).")
    ] = None,
    save_video: Annotated[
        Path | None, typer.Option("--save-video", help="Write an animated GIF.")
    ] = None,
    save_html: Annotated[
        Path | None, typer.Option("--save-html", help="Write a replay as one HTML page.")
    ] = None,
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
        common.refuse_early(path, force=force)
    from speck_adacal import load_deployment

    with common.calm_libraries(quiet=quiet or as_json):
        deployment = load_deployment(bundle, seed=seed)
        chosen = _readout(readout, bundle, deployment)
        window_us = chosen.window_us or (None if window_ms is None else round(window_ms * 1000))
        if source == "devkit":
            feed = boards.sensor_feed(deployment, scene, window_us, seconds)
        else:
            feed = boards.source_feed(source, deployment, backend, window_us)
        recorded = _watch(feed, chosen, speed, silent=as_json or quiet)
    _write(recorded, record, save_video, save_html, force=force)
    from rich.text import Text

    from speck_adacal.reporting.live import verdict_text

    common.show(recorded.to_dict(), Text(verdict_text(recorded)), as_json=as_json, quiet=quiet)


def _watch(feed: boards.Feed, readout: Readout, speed: float, *, silent: bool) -> RecordedSession:
    from speck_adacal import RecordedSession, Session

    moments = []
    with (
        Session(feed.backend, readout) as session,
        _view(feed.shown, readout.names, speed, silent=silent) as show,
    ):
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
    if kind == "first_to_threshold" and number.isdecimal():
        return FirstToThreshold(names, int(number), class_of=class_of)
    raise SettingsError(f"--readout must be one of {', '.join(_READOUTS)}=N, found {text!r}.")


@contextmanager
def _view(events: Any, names: tuple[str, ...], speed: float, *, silent: bool) -> Iterator[Any]:
    """A function that shows a moment: live on a terminal, else a line, or nothing."""
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
            shown = moment.seen or events
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
