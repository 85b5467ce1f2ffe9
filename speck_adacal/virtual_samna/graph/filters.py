"""The built-in filters that public programs use, by the driver's names and as Jit classes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from speck_adacal.chip_description import load_chip_description
from speck_adacal.virtual_samna.fields import FieldValueError, as_int
from speck_adacal.virtual_samna.graph.batch import Batch, Columns, as_list
from speck_adacal.virtual_samna.graph.nodes import Node


class EventTypeFilterNode(Node):
    """Passes events of one class; of every class until one is set."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = ""

    def set_desired_type(self, type_name: str) -> None:
        """Set the class by its full name, such as "speck2f::event::Spike"."""
        if not isinstance(type_name, str):
            raise FieldValueError(
                "set_desired_type takes a name such as 'speck2f::event::Spike', "
                f"found {type(type_name).__name__}."
            )
        self._wanted = type_name

    def process(self, batch: Batch) -> list[Batch]:
        """The events of the wanted class."""
        if not self._wanted:
            return [batch]
        if isinstance(batch, Columns):
            return [batch] if self._wanted == batch.event_class.QUALIFIED else []
        kept = [e for e in batch if self._wanted == getattr(type(e), "QUALIFIED", "")]
        return [kept] if kept else []


class MemberSelectNode(Node):
    """Passes events whose field has one of the listed values; all until a list is set."""

    def __init__(self) -> None:
        super().__init__()
        self._values: set[int] = set()
        self._member = ""

    def set_white_list(self, values: Sequence[int], member: str) -> None:
        """Set the values that pass, and the field they are compared with, such as "layer"."""
        self._values = {as_int("set_white_list", value) for value in values}
        self._member = member

    def process(self, batch: Batch) -> list[Batch]:
        """The events that pass; those without the field do not."""
        if not self._member:
            return [batch]
        if isinstance(batch, Columns):
            if self._member not in batch.event_class.FIELDS:
                return []
            chosen = batch.select(np.isin(batch.column(self._member), list(self._values)))
            return [chosen] if len(chosen) else []
        kept = [e for e in batch if getattr(e, self._member, None) in self._values]
        return [kept] if kept else []


class DvsToVizNode(Node):
    """Turns sensor events and spikes into `ui.DvsEvent`; anything else is left out."""

    def __init__(self) -> None:
        super().__init__()
        self._sensor_layer = load_chip_description().dvs_layer

    def process(self, batch: Batch) -> list[Batch]:
        """The events as `ui.DvsEvent`."""
        from speck_adacal.virtual_samna.ui import classes

        make = classes()["DvsEvent"]
        shown = [
            make(
                getattr(e, "layer", self._sensor_layer),
                int(getattr(e, "p", getattr(e, "feature", 0))),
                e.y,
                e.x,
                e.timestamp,
            )
            for e in as_list(batch)
            if hasattr(e, "x") and hasattr(e, "timestamp")
        ]
        return [shown] if shown else []


class SpikeToVizNode(DvsToVizNode):
    """Turns spikes into `ui.DvsEvent`; anything else, sensor events too, is left out."""

    def process(self, batch: Batch) -> list[Batch]:
        """The spikes as `ui.DvsEvent`."""
        spikes = [e for e in as_list(batch) if hasattr(e, "feature")]
        return super().process(spikes) if spikes else []


class SpikeCollectionNode(Node):
    """Collects spikes for an interval of wall-clock time and passes them on as one list."""

    def __init__(self) -> None:
        super().__init__()
        self._spikes: list[Any] = []
        self.poll_s = 0.5

    def set_interval_milli_sec(self, interval: int) -> None:
        """Set the interval in ms."""
        number = as_int("set_interval_milli_sec", interval)
        if number < 1:
            raise FieldValueError(f"set_interval_milli_sec takes at least 1, found {number}.")
        self.poll_s = number / 1000

    def process(self, batch: Batch) -> list[Batch]:
        """Keep the spikes until the interval ends."""
        self._spikes += [e for e in as_list(batch) if hasattr(e, "feature")]
        return []

    def poll(self) -> list[Batch]:
        """The collection of the interval, empty or not."""
        spikes, self._spikes = self._spikes, []
        return [[spikes]]


class SpikeCountNode(Node):
    """Counts the spikes of a collection by feature."""

    def __init__(self) -> None:
        super().__init__()
        self._features = 0

    def set_feature_count(self, count: int) -> None:
        """Set the number of features to count."""
        self._features = as_int("set_feature_count", count)

    def process(self, batch: Batch) -> list[Batch]:
        """One `ui.SpikeCount` for each collection."""
        from speck_adacal.virtual_samna.ui import classes

        make = classes()["SpikeCount"]
        return [[make(int(time.time() * 1e3), self._counts(c)) for c in collections(batch)]]

    def _counts(self, spikes: list[Any]) -> list[int]:
        count = Counter(spike.feature for spike in spikes)
        features = self._features or max(count, default=-1) + 1
        return [count[feature] for feature in range(features)]


class MajorityReadoutNode(Node):
    """Reports the most frequent feature of a collection, or the default one."""

    def __init__(self) -> None:
        super().__init__()
        self._features = 0
        self._default = 0
        self._low = 0
        self._high = 2**31 - 1

    def set_feature_count(self, count: int) -> None:
        """Set the number of features; higher ones are not looked at."""
        self._features = as_int("set_feature_count", count)

    def set_default_feature(self, feature: int) -> None:
        """Set the feature reported when there is no single winner."""
        self._default = as_int("set_default_feature", feature)

    def set_threshold_low(self, threshold: int) -> None:
        """Set the fewest spikes of a collection for a decision."""
        self._low = as_int("set_threshold_low", threshold)

    def set_threshold_high(self, threshold: int) -> None:
        """Set the most spikes of a collection for a decision."""
        self._high = as_int("set_threshold_high", threshold)

    def process(self, batch: Batch) -> list[Batch]:
        """One `ui.Readout` for each collection, once the feature count is set."""
        from speck_adacal.virtual_samna.ui import classes

        if not self._features:
            return []
        return [[classes()["Readout"](self._winner(c)) for c in collections(batch)]]

    def _winner(self, spikes: list[Any]) -> int:
        if not self._low <= len(spikes) <= self._high:
            return self._default
        count = Counter(s.feature for s in spikes if s.feature < self._features)
        top = count.most_common(2)
        if not top or (len(top) == 2 and top[0][1] == top[1][1]):
            return self._default
        return int(top[0][0])


class CustomFilterNode(Node):
    """Calls a Python function with each collection (or batch) and passes on what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self._function: Callable[[list[Any]], Any] | None = None

    def set_filter_function(self, function: Callable[[list[Any]], Any]) -> None:
        """Set the function: a list of events in, a list of events (or None) out."""
        if not callable(function):
            raise FieldValueError("set_filter_function takes a function of one list of events.")
        self._function = function

    def stop(self) -> bool:
        """Call the function no more."""
        self._function = None
        return True

    def process(self, batch: Batch) -> list[Batch]:
        """What the function makes of the batch; its exceptions are logged by the graph."""
        if self._function is None:
            return []
        results: list[Batch] = []
        for events in collections(batch):
            returned = self._function(events)
            if returned:
                results.append(list(returned))
        return results


class MeasurementToVizNode(Node):
    """Turns power measurements into `ui.Measurement`."""

    def process(self, batch: Batch) -> list[Batch]:
        """The measurements for the live view."""
        from speck_adacal.virtual_samna.ui import classes

        make = classes()["Measurement"]
        shown = [make(e.timestamp, e.channel, e.value) for e in as_list(batch)]
        return [shown] if shown else []


def collections(batch: Batch) -> list[list[Any]]:
    """The collections in a batch; a batch of plain events is one collection."""
    events = as_list(batch)
    if events and all(isinstance(item, list) for item in events):
        return events
    return [events]
