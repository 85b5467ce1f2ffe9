"""What the outputs of a network are, as the user says it: one term for each, summed by weight."""

from __future__ import annotations

from typing import Annotated

from speck_adacal.errors import SettingsError
from speck_adacal.validation import Count, CountOrZero, OneOrMore, Positive, Text, checked, one_of

KINDS = ("class_kl", "pixel_kl", "point_kl", "box_head", "mse")
_HEAD = 3  # outputs of a head in parts: boxes, objectness, classes


@checked
class OutputTerm:
    """How far an output is from the trained network's, and what it decides.

    Attributes:
        kind: `"class_kl"`: KL over the soft-max of one class vector (eq. 9); `"pixel_kl"`: the same
            at each place of a map, `[classes, height, width]`, and its mean; `"point_kl"`: the same
            for points, `[classes, points]` or `[points, classes]`; `"box_head"`: KL of objectness
            and, weighted by the trained network's objectness so that background does not drown
            what is there, KL of the classes and squared error of the boxes; `"mse"`: mean squared
            error.
        outputs: names of the output nodes: one; or of a box head three, boxes `[4 · anchors, ...]`,
            objectness `[anchors, ...]` and classes `[classes, ...]` that anchors share, or one that
            holds for each anchor 4 numbers of its box, objectness, and classes.
        weight: of the term in the sum.
        class_axis: where the classes are in a sample, if not where the network's layers say.
        anchors: of a box head.
        exclusive: of a box head: whether its classes exclude one another (soft-max), or not
            (a sigmoid each).
        ignore: the label of places that count for nothing.

    Raises:
        SettingsError: naming the field, the value found and what is allowed.
    """

    kind: Annotated[str, one_of(*KINDS)]
    outputs: OneOrMore[Text]
    weight: Positive = 1.0
    class_axis: CountOrZero | None = None
    anchors: Count = 1
    exclusive: bool = True
    ignore: int | None = None

    def __post_init__(self) -> None:
        allowed = (1, _HEAD) if self.kind == "box_head" else (1,)
        if len(self.outputs) not in allowed:
            raise SettingsError(
                f"OutputTerm of kind {self.kind!r} takes {' or '.join(map(str, allowed))} outputs, "
                f"found {len(self.outputs)} ({', '.join(self.outputs)})"
                + ("; name boxes, objectness and classes." if self.kind == "box_head" else ".")
            )
