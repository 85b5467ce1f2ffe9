"""The sensor stage: polarity selection, merging, pooling, region of interest, mirroring.

Order as in sinabs' own description of the stage (merge, pool, cut, mirror); the diagonal swap comes
last. The noise filter is not simulated here (docs, "Virtual samna").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.twin.program import DvsProgram

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StageOutput:
    """What comes out of the stage.

    Attributes:
        index: int64 `[m]`, which input events passed.
        feature, y, x: int64 `[m]`, where they go.
    """

    index: Ints
    feature: Ints
    y: Ints
    x: Ints


def selected(stage: DvsProgram, p: Ints) -> npt.NDArray[np.bool_]:
    """Which events have a polarity that passes."""
    return np.where(p > 0, stage.on_channel, stage.off_channel)


def preprocess(stage: DvsProgram, p: Ints, y: Ints, x: Ints) -> StageOutput:
    """Take events through the stage.

    Args:
        p: 0 or 1. y, x: pixel.
    """
    row, column = y // stage.pooling[0], x // stage.pooling[1]
    inside = selected(stage, p)
    inside &= (row >= stage.origin[0]) & (row <= stage.cut[0])
    inside &= (column >= stage.origin[1]) & (column <= stage.cut[1])
    index = np.flatnonzero(inside)
    row, column = row[index] - stage.origin[0], column[index] - stage.origin[1]
    if stage.mirror[0]:
        row = stage.cut[0] - stage.origin[0] - row
    if stage.mirror[1]:
        column = stage.cut[1] - stage.origin[1] - column
    if stage.mirror_diagonal:
        row, column = column, row
    feature = np.zeros_like(index) if stage.merge else (p[index] > 0).astype(np.int64)
    return StageOutput(index, feature, row, column)
