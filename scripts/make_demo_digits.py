"""Cut the demo's digits out of MNIST: `datasets/mnist_digits.npz`.

    python scripts/make_demo_digits.py

40 test digits of each class for accuracy, and 256 training digits for calibration (25 or 26 of
each class), the first ones in the order of a seeded shuffle. The file is the same on every run.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from mnist_data import mnist_arrays

from speck_adacal.bundle import new_file


def balanced(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` samples, classes in turn, in a seeded random order within a class."""
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(np.flatnonzero(labels == c)) for c in range(10)]
    rounds = -(-count // 10)
    return np.array([columns[c][r] for r in range(rounds) for c in range(10)][:count])


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A compressed `.npz` without the time of day in it, so that it is reproducible."""
    with new_file(path, force=True) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, buffer.getvalue(), compresslevel=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with MNIST's four IDX files")
    parser.add_argument("--out", type=Path, default=Path("datasets/mnist_digits.npz"))
    args = parser.parse_args()
    data = mnist_arrays(args.data)
    test = balanced(data.test_labels, 400, seed=0)
    calibration = balanced(data.train_labels, 256, seed=0)
    write_npz(
        args.out,
        {
            "images": data.test_images[test],
            "labels": data.test_labels[test],
            "indices": test.astype(np.int32),
            "calibration_images": data.train_images[calibration],
            "calibration_labels": data.train_labels[calibration],
            "calibration_indices": calibration.astype(np.int32),
        },
    )
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
