"""Events in: the event container, encoders (image → events), and data sets."""

from speck_adacal.events.types import Events

__all__ = ["Events"]
