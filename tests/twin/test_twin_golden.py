"""Golden vectors: made by the oracle with `scripts/make_twin_golden.py`, replayed by the twin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from oracle.program_files import program_from_arrays, program_to_arrays
from oracle.random_programs import random_board_program

from speck_adacal.errors import ConfigurationError
from speck_adacal.events.types import Events
from speck_adacal.twin import Assumptions, Twin

FILES = sorted((Path(__file__).parent / "golden").glob("*.npz"))


def test_there_are_golden_vectors():
    assert len(FILES) == 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_vector(path):
    with np.load(path, allow_pickle=False) as archive:
        case = {name: archive[name] for name in archive.files}
    program = program_from_arrays(case)
    assumptions = Assumptions(**json.loads(case["assumptions"].tobytes()))
    twin = Twin(program, assumptions=assumptions, slow_clock_hz=float(case["clock_hz"]))
    t_us, layer, channel, y, x = case["events"].T
    run = twin.run(Events(t_us, x, y, channel, (512, 128, 128), int(case["end_us"])), entry=layer)
    stream = run.monitored
    names = ("t_us", "layer", "channel", "y", "x")
    found = np.stack([getattr(stream, name).astype(np.int64) for name in names], axis=1)
    expected = case["expected.monitored"]
    silent = program.readout is not None and program.readout.monitor
    np.testing.assert_array_equal(found, expected[:0] if silent else expected)
    readout = np.stack([run.readout.t_us, run.readout.value, run.readout.interrupt], axis=1)
    np.testing.assert_array_equal(readout, case["expected.readout"])
    for core, synops in case["expected.synops"]:
        assert run.synops_per_core[core] == synops
        np.testing.assert_array_equal(twin.membrane(int(core)), case[f"expected.state{core}"])


@pytest.mark.parametrize("seed", range(10))
def test_programs_survive_being_stored(seed):
    program = random_board_program(np.random.default_rng(seed))
    again = program_from_arrays(program_to_arrays(program))
    assert again.dvs == program.dvs
    assert again.readout == program.readout
    first, second = program_to_arrays(program), program_to_arrays(again)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


@pytest.mark.parametrize(
    "damage",
    [
        lambda a: a.pop("program"),
        lambda a: a.update(program=a["program"][:-5]),
        lambda a: a.update(program=np.frombuffer(b'{"schema": 2}', np.uint8)),
        lambda a: a.update(program=np.frombuffer(b"[]", np.uint8)),
        lambda a: [a.pop(name) for name in list(a) if name.endswith("weights")],
    ],
)
def test_damaged_programs_are_refused(damage):
    arrays = program_to_arrays(random_board_program(np.random.default_rng(1)))
    damage(arrays)
    with pytest.raises(ConfigurationError):
        program_from_arrays(arrays)
