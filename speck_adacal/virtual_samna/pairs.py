"""The x, y pairs of a configuration: `Vec2_unsigned_char` and `Vec2_bool`."""

from __future__ import annotations

from typing import Any, ClassVar

from speck_adacal.virtual_samna.fields import Bool, Int, Schema
from speck_adacal.virtual_samna.objects import SchemaObject


class _Vec2(SchemaObject):
    """A pair with fields `x` and `y`; prints as `(x,y)`."""

    __slots__ = ("x", "y")

    def __init__(self, x: Any = 0, y: Any = 0) -> None:
        self.x = x
        self.y = y

    def __repr__(self) -> str:
        return f"({self.x},{self.y})"


class Vec2_unsigned_char(_Vec2):
    """Two numbers from 0 to 255."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {"x": Int("uint8"), "y": Int("uint8")}
    QUALIFIED = "Vec2_unsigned_char"


class Vec2_bool(_Vec2):
    """Two switches."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {"x": Bool(), "y": Bool()}
    QUALIFIED = "Vec2_bool"


Vec2_unsigned_char.__module__ = "samna"
Vec2_bool.__module__ = "samna"
