"""Files of every format that the kit reads, made small and sound, and then damaged by a seed."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from aedat4_files import write_aedat4

Rng = np.random.Generator
ODD_NUMBERS = ("1e308", "-1", "9223372036854775808", "0", "null", "[]", '"x"', "1e-320", "true")


def fields(n: int = 200) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "t": np.sort(rng.integers(0, 60_000, n)),
        "x": rng.integers(0, 28, n),
        "y": rng.integers(0, 28, n),
        "p": rng.integers(0, 2, n),
    }


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _npy() -> bytes:
    v, buffer = fields(), io.BytesIO()
    array = np.zeros(200, dtype=[("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
    for name in "txyp":
        array[name] = v[name]
    np.save(buffer, array)
    return buffer.getvalue()


def _bin() -> bytes:
    v, rows = fields(), np.zeros((200, 5), np.uint8)
    rows[:, 0], rows[:, 1] = v["x"], v["y"]
    rows[:, 2], rows[:, 3] = v["p"] << 7 | v["t"] >> 16, v["t"] >> 8 & 255
    rows[:, 4] = v["t"] & 255
    return rows.tobytes()


def _dat() -> bytes:
    v, rows = fields(), np.empty((200, 2), dtype="<u4")
    rows[:, 0], rows[:, 1] = v["t"], v["x"] | v["y"] << 14 | v["p"] << 28
    return b"% Version 2\n% Width 28\n% Height 28\n\x00\x08" + rows.tobytes()


def _evt2() -> bytes:
    v = fields()
    words = []
    for t, x, y, p in zip(*(v[k].tolist() for k in "txyp"), strict=True):
        words += [8 << 28 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y]
    header = b"% evt 2.0\n% format EVT2;height=28;width=28\n% end\n"
    return header + np.array(words, dtype="<u4").tobytes()


def _evt3() -> bytes:
    v = fields()
    words = []
    for t, x, y, p in zip(*(v[k].tolist() for k in "txyp"), strict=True):
        words += [0x8000 | t >> 12, 0x6000 | t & 0xFFF, y, 0x2000 | p << 11 | x, 0x3000 | x, 0x5003]
    return b"% evt 3.0\n% geometry 40x28\n% end\n" + np.array(words, dtype="<u2").tobytes()


def _aedat2() -> bytes:
    v = fields()
    rows = np.empty((200, 2), dtype=">u4")
    rows[:, 0], rows[:, 1] = v["x"] << 1 | v["y"] << 8 | v["p"], v["t"]
    return b"#!AER-DAT2.0\r\n# DVS128\r\n" + rows.tobytes()


def _aedat3() -> bytes:
    v = fields()
    rows = np.empty((200, 2), dtype="<u4")
    rows[:, 0], rows[:, 1] = v["x"] << 17 | v["y"] << 2 | v["p"] << 1 | 1, v["t"]
    head = np.array([1], "<i2").tobytes() + np.array([1], "<i2").tobytes()
    head += np.array([8, 4, 0, 200, 200, 200], "<i4").tobytes()
    return b"#!AER-DAT3.1\r\n#DVS128\r\n#!END-HEADER\r\n" + head + rows.tobytes()


def _aedat4(folder: Path) -> bytes:
    path = folder / "sound.aedat4"
    write_aedat4(path, *(fields()[k] for k in "txyp"))
    data = path.read_bytes()
    path.unlink()
    return data


def _archive(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/1.bin", bytes(500))
            archive.writestr("a/2.bin", b"x" * 90)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            info = tarfile.TarInfo("a/1.bin")
            info.size = 500
            tar.addfile(info, io.BytesIO(bytes(500)))
    return buffer.getvalue()


def _idx() -> bytes:
    shape = np.array([20, 28, 28], ">u4").tobytes()
    return gzip.compress(b"\0\0\x08\x03" + shape + bytes(20 * 28 * 28))


def _weights(folder: Path) -> dict[str, bytes]:
    import torch

    from speck_adacal.ann.architectures import digits_cnn
    from speck_adacal.ann.checkpoint import save_checkpoint

    torch.manual_seed(0)
    network = digits_cnn()
    save_checkpoint(network, folder / "m.safetensors", {"arch": "digits_cnn"})
    torch.save(network.state_dict(), folder / "m.pt")
    state = {k: v.numpy() for k, v in network.state_dict().items()}
    found = {
        "weights.safetensors": (folder / "m.safetensors").read_bytes(),
        "weights.pt": (folder / "m.pt").read_bytes(),
        "weights.npz": _npz(**state),
    }
    for name in ("m.safetensors", "m.pt"):
        (folder / name).unlink()
    return found


def _nir(folder: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nir

    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "a": nir.Linear(np.ones((4, 4), np.float32)),
        "f": nir.IF(r=np.ones(4), v_threshold=np.ones(4)),
        "b": nir.Affine(np.ones((3, 4), np.float32), np.ones(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    nir.write(folder / "m.nir", nir.NIRGraph(nodes, list(pairwise(names))))
    data = (folder / "m.nir").read_bytes()
    (folder / "m.nir").unlink()
    return data


def _bundle(folder: Path) -> dict[str, bytes]:
    """Members of a deployed bundle of a very small network."""
    import torch
    from torch import nn

    import speck_adacal as sa
    from speck_adacal.bundle import read_bundle

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2, bias=False)
    )
    images = np.random.default_rng(0).random((8, 1, 6, 6), dtype=np.float32)
    deployment = sa.deploy(sa.adapt(net, images, input_shape=(1, 6, 6)))
    return read_bundle(sa.save(deployment, folder / "sound.bundle")).files


def sound_files(folder: Path) -> dict[str, bytes]:
    """Bytes by a name that says the format; `bundle/NAME` are members of one bundle."""
    labels = np.arange(6) % 3
    v = fields()
    found = {
        "images.npz": _npz(images=np.ones((6, 28, 28), np.uint8), labels=labels),
        "recordings.npz": _npz(**v, offsets=np.array([0, 90, 200]), labels=labels[:2]),
        "recording.npz": _npz(**v, sensor_size=np.array([28, 28, 2])),
        "events.npy": _npy(),
        "a.bin": _bin(),
        "a.dat": _dat(),
        "evt2.raw": _evt2(),
        "evt3.raw": _evt3(),
        "a.aedat": _aedat2(),
        "b.aedat": _aedat3(),
        "a.aedat4": _aedat4(folder),
        "idx.gz": _idx(),
        "cifar.batch": bytes(3073 * 2),
        "set.zip": _archive("zip"),
        "set.tar": _archive("tar"),
        "model.nir": _nir(folder),
        "work.npz": _npz(of=np.array("key"), table=np.ones(5)),
        **_weights(folder),
    }
    return found | {f"bundle/{name}": data for name, data in _bundle(folder).items()}


def damaged(name: str, data: bytes, rng: Rng) -> bytes:
    """The file with something wrong, as chance has it."""
    ways: list[Callable[[bytes, Rng], bytes]] = [_flipped, _cut, _longer, _stretched, _noise]
    if name.endswith(".npz"):
        ways += [_odd_arrays] * 4
    if name.endswith(".json"):
        ways += [_odd_numbers] * 4
    return ways[rng.integers(len(ways))](data, rng)


def _flipped(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        changed[place] = rng.integers(256)
    return bytes(changed)


def _cut(data: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(0, len(data))]


def _longer(data: bytes, rng: Rng) -> bytes:
    return data + bytes(rng.integers(0, 256, rng.integers(1, 99), dtype=np.uint8))


def _stretched(data: bytes, rng: Rng) -> bytes:
    """Four bytes in a row, as a size might be, become very large."""
    place = rng.integers(0, max(1, len(data) - 4))
    return data[:place] + (b"\xff\xff\xff\x7f", b"\0\0\0\x80")[rng.integers(2)] + data[place + 4 :]


def _noise(data: bytes, rng: Rng) -> bytes:
    start = data[: rng.integers(0, 64)]
    return start + bytes(rng.integers(0, 256, rng.integers(0, 400), dtype=np.uint8))


def _odd_arrays(data: bytes, rng: Rng) -> bytes:
    with np.load(io.BytesIO(data)) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    name = list(arrays)[rng.integers(len(arrays))]
    values = arrays[name]
    choices: list[Callable[[], Any]] = [
        lambda: values[None] if values.ndim else values.reshape(1, 1, 1),
        lambda: values.reshape(-1)[:0],
        lambda: np.array("text"),
        lambda: np.array(["a", "b"]),
        lambda: np.full(values.shape, np.nan),
        lambda: np.full(values.shape, np.iinfo(np.int64).max),
        lambda: np.full(values.shape, 1 << 40),
        lambda: np.full(values.shape, -7),
        lambda: np.full(values.shape, np.inf, np.float32),
        lambda: np.zeros(values.shape, complex),
        lambda: np.zeros(values.shape, bool),
        lambda: np.zeros(24 << 20, np.uint8),
        lambda: np.array([{}], dtype=object),
        lambda: np.zeros(3, dtype=[("t", "<i8"), ("x", "<i2")]),
        lambda: np.zeros(values.shape, "datetime64[s]"),
        lambda: values[::-1] if values.ndim else values,
        lambda: None,
    ]
    chosen = choices[rng.integers(len(choices))]()
    if chosen is None:
        del arrays[name]
    else:
        arrays[name] = chosen
    return _npz(**arrays)


def _odd_numbers(data: bytes, rng: Rng) -> bytes:
    """One value of a JSON file becomes something else."""
    value = json.loads(data)
    places: list[tuple[Any, Any]] = []

    def walk(item: Any) -> None:
        inside = item.items() if isinstance(item, dict) else enumerate(item)
        for key, part in inside:
            places.append((item, key))
            if isinstance(part, dict | list):
                walk(part)

    walk(value)
    owner, key = places[rng.integers(len(places))]
    owner[key] = json.loads(ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))])
    return json.dumps(value).encode()
