"""Every settings class refuses what its types do not allow, in a sentence that names the field."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import speck_adacal
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.chip.policy import ChipPolicy
from speck_adacal.errors import BundleError, SettingsError
from speck_adacal.events.camera import CameraSettings
from speck_adacal.events.motion import Motion
from speck_adacal.host.limits import SessionLimits
from speck_adacal.readout.early_exit import ExitRule
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin_search.front_search import FrontSettings
from speck_adacal.validation import Count, check_value, checked, from_data

NAN = float("nan")
SETTINGS = [
    *(AdaptSettings(), AdaptPlan(), ChipPolicy(), FrontSettings(), CameraSettings()),
    *(SessionLimits(), Assumptions(), ExitRule((0.5,)), Motion(0, 0, (), (), 10)),
]
ODD = [
    *((AdaptSettings, fields) for fields in (
        *({"percentile": "99"}, {"percentile": NAN}, {"percentile": 0}, {"per_channel": "no"}),
        *({"ridge": "a"}, {"ridge": NAN}, {"ridge": 0.0}, {"seed": "x"}, {"seed": -1}),
        *({"max_synops": "1e6", "estimator": "twin"}, {"max_synops": 1e6}, {"phi": 2.0}),
        *({"chip_correction": "off"}, {"chip_correction": 1}, {"threshold_method": ["mse"]}),
        *({"time_steps": True}, {"time_step": 8}, {"estimator": "twin", "input_coding": "analog"}),
    )),
    *((AdaptPlan, fields) for fields in (
        *({"mode": "foo"}, {"evaluations": -1}, {"epsilon": -1.0}, {"phis": ()}),
        *({"temperature": -1.0}, {"temperature": 0.0}, {"phis": (1.5,)}, {"phis": (True,)}),
        *({"rhos": ("a",)}, {"rhos": 2.0}, {"kl_ratio": NAN}, {"table_samples": 1}),
        *({"exit_loss": NAN}, {"search_samples": 2.5}, {"validation_samples": 1}),
    )),
    *((ChipPolicy, fields) for fields in (
        *({"lower_clip": "a"}, {"lower_clip": NAN}, {"lower_clip": 0}, {"window_us": "5"}),
        *({"window_us": 1.5}, {"bias": None}),
    )),
    *((FrontSettings, fields) for fields in (
        *({"prices": 0.1}, {"prices": (NAN,)}, {"prices": "0.1"}, {"rounds": 1.5}, {"seed": -1}),
        *({"held_out": "x"}, {"held_out": 1.0}, {"factor": 1}, {"channel_factor": 0.5}),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields"), ODD)
def test_an_odd_value_is_refused_by_the_name_of_its_field(kind, fields):
    with pytest.raises(SettingsError, match=rf"{kind.__name__}\W.*{next(iter(fields))}"):
        kind(**fields)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: type(s).__name__)
@given(data=st.data())
def test_any_value_is_taken_or_refused_with_a_typed_error(settings, data):
    field = data.draw(st.sampled_from(dataclasses.fields(settings)))
    value = data.draw(
        st.one_of(
            *(st.none(), st.booleans(), st.integers(-2, 2), st.floats(), st.text(max_size=3)),
            *(st.lists(st.integers(-1, 1) | st.floats() | st.text(max_size=1), max_size=2),),
            *(st.binary(max_size=2), st.dictionaries(st.text(max_size=1), st.none(), max_size=1)),
            *(st.just(np.float32(0.5)), st.just(np.arange(3)), st.just(object())),
        )
    )
    try:
        made = dataclasses.replace(settings, **{field.name: value})
    except SettingsError:
        return
    taken = getattr(made, field.name)
    assert isinstance(taken, bool | int | float | str | tuple | None)
    assert not isinstance(value, bool) or taken is value


def test_what_is_as_clear_is_taken():
    plan = AdaptPlan(phis=[1, np.int64(2)], rhos=np.array([1.0, 2.0]), kl_ratio=2)
    assert plan.phis == (1, 2)
    assert plan.rhos == (1.0, 2.0)
    assert AdaptSettings(phi=np.int32(3)).phi == 3
    assert ChipPolicy(lower_clip=float("inf")).lower_clip == float("inf")


def test_checked_classes_are_ordinary_frozen_dataclasses():
    plan = AdaptPlan(phis=(1, 2))
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert dataclasses.replace(plan, refinements=1).phis == (1, 2)
    assert hash(plan) == hash(AdaptPlan(phis=(1, 2)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.refinements = 3


def test_every_settings_class_is_checked():
    """A class whose name says that users set its fields is not a bare dataclass."""
    ends = ("Settings", "Plan", "Policy", "Rule", "Limits", "Assumptions", "Motion")
    known_otherwise = {"CorePlan", "FlashPlan", "ChipLimits"}  # results, and what a file says
    bare = set()
    for module in pkgutil.walk_packages(speck_adacal.__path__, "speck_adacal."):
        if ".shim" in module.name:
            continue
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            ours = kind.__module__.startswith("speck_adacal.") and dataclasses.is_dataclass(kind)
            if ours and name.endswith(ends) and not hasattr(kind, "__pydantic_validator__"):
                bare.add(name)
    assert bare <= known_otherwise | {"Plan"}


@checked
class _Inner:
    size: Count


@checked
class _File:
    inner: _Inner
    sizes: tuple[int, ...] = ()


def test_a_file_is_read_by_the_same_rules():
    def read(data):
        return from_data(_File, data, "box.json", BundleError, "make it again")

    assert read({"inner": {"size": 2}, "sizes": [1, 2]}) == _File(_Inner(2), (1, 2))
    with pytest.raises(BundleError, match=r"box.json.inner.size must be .*'2'.*; make it again.$"):
        read({"inner": {"size": "2"}})
    with pytest.raises(BundleError, match=r"box.json lacks the field 'inner'"):
        read({})
    with pytest.raises(BundleError, match=r"box.json.inner has no field 'width'; it has size"):
        read({"inner": {"size": 2, "width": 3}})
    with pytest.raises(BundleError, match=r"box.json must be of type _File"):
        read([1, 2])


def test_an_argument_is_checked_by_its_type():
    assert check_value(Count, np.int64(3), "time_steps") == 3
    with pytest.raises(SettingsError, match="time_steps must be a whole number of at least 1"):
        check_value(Count, "x", "time_steps")
