"""Make the golden vectors of the chip twin: `python scripts/make_twin_golden.py`.

Each file holds a small random configuration, the assumptions, the input, and what the plain oracle
(`tests/oracle`) makes of it: all monitored events in order, readout values,
states and SynOps. `tests/twin/test_twin_golden.py` runs the twin on them. The files are made anew
only when a rule of the chip changes on purpose.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from oracle.feeding import run_oracle  # noqa: E402
from oracle.program_files import program_to_arrays  # noqa: E402
from oracle.random_programs import (  # noqa: E402
    random_assumptions,
    random_board_program,
    random_stream,
)

from speck_adacal.bundle.atomic import new_file  # noqa: E402
from speck_adacal.twin import Assumptions  # noqa: E402

FOLDER = ROOT / "tests" / "twin" / "golden"
SEEDS = range(12)
CLOCK_HZ = 1234.5
BUDGET = 30_000  # SynOps, so that the files stay small


def vector(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    program = random_board_program(rng)
    assumptions = Assumptions() if seed % 2 == 0 else random_assumptions(rng)
    events, layer = random_stream(rng, program, 60)
    board, done, end_us = run_oracle(program, assumptions, CLOCK_HZ, events, layer, budget=BUDGET)
    rows = np.stack([events.t_us, layer, events.channel, events.y, events.x], axis=1).astype(int)
    expected = {
        "monitored": np.array(board.monitored, dtype=np.int64).reshape(-1, 5),
        "readout": np.array(board.readout, dtype=np.int64).reshape(-1, 3),
        "synops": np.array([[i, n] for i, n in sorted(board.chip.synops.items())]),
    }
    for core, state in board.chip.state.items():
        expected[f"state{core}"] = state.astype(np.int16)
    text = json.dumps(assumptions.to_dict()).encode()
    return {
        **program_to_arrays(program),
        "assumptions": np.frombuffer(text, dtype=np.uint8),
        "events": rows[:done],
        "clock_hz": np.array(CLOCK_HZ),
        "end_us": np.array(end_us),
        **{f"expected.{name}": array for name, array in expected.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    for seed in SEEDS:
        arrays = vector(seed)
        with new_file(folder / f"case{seed:02}.npz", force=True) as path, path.open("wb") as file:
            np.savez_compressed(file, **arrays)
        print(
            f"case{seed:02}.npz: {len(arrays['events'])} events, "
            f"{len(arrays['expected.monitored'])} monitored"
        )


if __name__ == "__main__":
    main()
