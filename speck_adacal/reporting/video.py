"""A session as an animated GIF: events, spikes by class, the decision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from speck_adacal.bundle import new_file
from speck_adacal.host.recorded_session import RecordedSession
from speck_adacal.readout.decision import Moment
from speck_adacal.reporting.live import event_picture

_COLOURS = np.array([[20, 24, 31], [53, 130, 230], [240, 140, 40], [240, 240, 240]], np.uint8)
_SIDE, _PANEL, _LINE, _LEFT = 320, 260, 18, 70
_SLOWER = 4
_HOLD_MS = 1500
_INK, _SOFT, _BLUE, _GREEN = (232, 235, 240), (150, 158, 170), (53, 130, 230), (60, 180, 100)


def write_gif(recorded: RecordedSession, path: Path, *, force: bool = False) -> None:
    """Write the session, four times slower than it was.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
        OutputError: it cannot be written.
    """
    frames = [_frame(recorded, moment) for moment in recorded.moments]
    times = np.diff([0, *(moment.t_us for moment in recorded.moments)]) * _SLOWER // 1000
    durations = [max(int(ms), 20) for ms in times]
    durations[-1] = _HOLD_MS
    with new_file(path, force=force) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
        )


def _frame(recorded: RecordedSession, moment: Moment) -> Image.Image:
    frame = Image.new("RGB", (_SIDE + _PANEL, _SIDE), tuple(_COLOURS[0].tolist()))
    picture = Image.fromarray(_COLOURS[event_picture(recorded.source.events, moment.t_us)])
    scale = _SIDE / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    frame.paste(picture.resize(size, Image.Resampling.NEAREST), (0, 0))
    _draw_panel(ImageDraw.Draw(frame), recorded, moment)
    return frame


def _draw_panel(draw: ImageDraw.ImageDraw, recorded: RecordedSession, moment: Moment) -> None:
    most, x = max(int(moment.counts.max(initial=0)), 1), _SIDE + 10
    shown = list(zip(recorded.names, moment.counts.tolist(), strict=True))[: (_SIDE - 80) // _LINE]
    for row, (name, count) in enumerate(shown):
        y = 8 + row * _LINE
        decided = moment.decision is not None and moment.decision.name == name
        draw.text((x, y), name[:9], fill=_INK)
        width = round((_PANEL - _LEFT - 60) * count / most)
        if width:
            left = x + _LEFT
            draw.rectangle((left, y, left + width, y + 11), fill=_GREEN if decided else _BLUE)
        draw.text((x + _PANEL - 40, y), str(count), fill=_SOFT)
    y = _SIDE - 58
    draw.text((x, y), f"{moment.t_us / 1000:.0f} ms, {moment.events} events", fill=_INK)
    if not np.isnan(moment.confidence):
        bar = "-" if moment.bar > 1 else f"{moment.bar:.3f}"
        draw.text((x, y + _LINE), f"confidence {moment.confidence:.3f} / {bar}", fill=_SOFT)
    if moment.decision is not None:
        draw.text((x, y + 2 * _LINE), f"decision: {moment.decision.name}", fill=_GREEN)
