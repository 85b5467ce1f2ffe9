"""Checkpoints: every accepted format, and what hostile or wrong files get."""

import json
import pickle
import struct
import sys

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal.ann import weight_files
from speck_adacal.ann.architectures import digits_cnn
from speck_adacal.ann.checkpoint import load_network, read_metadata, save_checkpoint
from speck_adacal.errors import CheckpointError

TOUCHED = []


class Bomb:
    """A pickle that runs code when it is loaded."""

    def __reduce__(self):
        return (TOUCHED.append, (1,))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return digits_cnn()


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(
        "import torch\n"
        "def tiny():\n    return torch.nn.Linear(2, 3)\n"
        "def fails():\n    raise RuntimeError('no weights today')\n"
        "def wrong():\n    return 3\n"
        "class Nets:\n    tiny = staticmethod(tiny)\n"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_nets", None)


def assert_same(one, other):
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_safetensors_round_trip_with_metadata(tmp_path, network):
    path = save_checkpoint(network, tmp_path / "new" / "a.safetensors", {"arch": "digits_cnn"})
    assert read_metadata(path) == {"arch": "digits_cnn"}
    assert_same(network, load_network(path))
    assert_same(network, load_network(path, "digits_cnn"))
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


def test_the_same_weights_give_the_same_bytes(tmp_path, network):
    metadata = {name: f"{name} φ" for name in "zyxabcdefgh"}
    written = set()
    for k in range(8):
        path = save_checkpoint(network, tmp_path / f"{k}.safetensors", metadata)
        written.add(path.read_bytes())
        assert read_metadata(path) == metadata
    assert len(written) == 1
    assert_same(network, load_network(path, "digits_cnn"))


def test_npz_and_plain_state_dicts(tmp_path, network):
    state = network.state_dict()
    np.savez(tmp_path / "a.npz", **{k: v.numpy() for k, v in state.items()})
    torch.save(state, tmp_path / "a.pt")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.pth")
    for name in ("a.npz", "a.pt", "a.pth"):
        assert_same(network, load_network(tmp_path / name, "digits_cnn"))


def test_half_precision_becomes_float32(tmp_path, network):
    path = save_checkpoint(network.half(), tmp_path / "a.safetensors", {"arch": "digits_cnn"})
    assert next(load_network(path).parameters()).dtype == torch.float32


def test_own_module_from_the_current_directory(user_module):
    path = save_checkpoint(nn.Linear(2, 3), user_module / "w.safetensors")
    before = list(sys.path)
    assert isinstance(load_network(path, "my_nets:tiny"), nn.Linear)
    assert isinstance(load_network(path, "my_nets:Nets.tiny"), nn.Linear)
    assert sys.path == before


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("my_nets:absent", "no callable 'absent'"),
        ("my_nets:fails", "no weights today"),
        ("my_nets:wrong", "returned int"),
        ("not_there:tiny", "cannot be imported"),
        (":", "cannot be imported"),
        ("nope", "no architecture 'nope'"),
        (None, "without an architecture"),
    ],
)
def test_architectures_that_cannot_be_built(user_module, arch, message):
    path = save_checkpoint(nn.Linear(2, 3), user_module / "w.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_network(path, arch)


@pytest.mark.parametrize("name", ["m.pkl", "m.pt", "m.pth", "m.safetensors", "m.nir.bin"])
def test_raw_pickles_are_refused_by_their_bytes(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=r"is a pickle.*safetensors\.torch\.save_file"):
        load_network(tmp_path / name, "digits_cnn")
    assert not TOUCHED


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_modules_are_refused_with_the_way_out(tmp_path, network, legacy):
    path = tmp_path / "model.pt"
    torch.save(network, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"safetensors\.torch\.save_file"):
        load_network(path, "digits_cnn")


def test_code_in_a_torch_archive_does_not_run(tmp_path):
    torch.save({"w": Bomb()}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="more than plain weights"):
        load_network(tmp_path / "m.pt", "digits_cnn")
    assert not TOUCHED


def test_old_torch_refuses_its_own_archives(tmp_path, network, monkeypatch):
    torch.save(network.state_dict(), tmp_path / "m.pt")
    monkeypatch.setattr(weight_files, "_torch_version", lambda: (2, 5))
    with pytest.raises(CheckpointError, match=r"2\.6 or later"):
        load_network(tmp_path / "m.pt", "digits_cnn")


def test_objects_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "m.npz", w=np.array([Bomb()], dtype=object))
    with pytest.raises(CheckpointError, match="pickled objects"):
        load_network(tmp_path / "m.npz", "digits_cnn")
    assert not TOUCHED


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], {}])
def test_archives_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"no weights|no plain state dict"):
        load_network(tmp_path / "m.pt", "digits_cnn")


def header(entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


HOSTILE = {
    "empty": b"",
    "text": b"these are not weights",
    "short": b"\x08\0\0",
    "length beyond the file": struct.pack("<Q", 1 << 60) + b'{"a":1}',
    "no json": struct.pack("<Q", 8) + b"{nojson!",
    "offsets beyond the data": header(
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    ),
    "overlap": header(
        {
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        }
    )
    + bytes(12),
    "shape against size": header({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}})
    + bytes(4),
    "unknown type": header({"w": {"dtype": "F7", "shape": [1], "data_offsets": [0, 4]}}) + bytes(4),
    "zip without end": b"PK\x03\x04" + bytes(50),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_damaged_files_are_refused(tmp_path, case):
    path = tmp_path / "m.safetensors"
    path.write_bytes(HOSTILE[case])
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load_network(path, "digits_cnn")


def test_every_truncation_of_a_real_file_is_refused(tmp_path):
    whole = save_checkpoint(nn.Linear(3, 2), tmp_path / "m.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            load_network(path, "digits_cnn")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match="no model file"):
        load_network(tmp_path / "absent.safetensors", "digits_cnn")
    with pytest.raises(CheckpointError, match="no model file"):
        load_network(tmp_path, "digits_cnn")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv2.weight"), r"missing conv2\.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected extra"),
        (
            lambda s: s.update({"linear.weight": torch.zeros(10, 511)}),
            r"linear\.weight has shape \(10, 511\) instead of \(10, 512\)",
        ),
        (lambda s: s["conv1.weight"].fill_(float("nan")), r"conv1\.weight .* NaN"),
        (lambda s: s["conv1.weight"].fill_(float("inf")), r"conv1\.weight .* infinite"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, network, change, message):
    from safetensors.torch import save_file

    state = {k: v.detach().clone() for k, v in network.state_dict().items()}
    change(state)
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path / "m.safetensors", "digits_cnn")


def test_a_failed_save_leaves_nothing(tmp_path, network, monkeypatch):
    import safetensors.torch

    def fail(*_args, **_kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(network, tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arch", ["my_nets:tiny", "os:abort", "my_nets", "../digits_cnn", "\x1b[J"])
def test_a_file_never_decides_what_code_runs(user_module, arch):
    (user_module / "my_nets.py").write_text("open('RAN', 'w').write('x')\n")
    path = save_checkpoint(nn.Linear(2, 3), user_module / "m.safetensors", {"arch": arch})
    with pytest.raises(CheckpointError, match="and no code of its own") as caught:
        load_network(path)
    assert "\x1b" not in str(caught.value)
    assert not (user_module / "RAN").exists()


def test_a_bomb_in_a_torch_archive_is_refused_before_it_grows(tmp_path, network):
    import zipfile

    torch.save(network.state_dict(), tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data/99", bytes(64 << 20))
    with pytest.raises(CheckpointError, match="zip bomb"):
        load_network(tmp_path / "m.pt", "digits_cnn")


def test_tensors_that_repeat_their_memory_are_refused(tmp_path):
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="repeats its memory"):
        load_network(tmp_path / "m.pt", "digits_cnn")


def test_complex_weights_and_other_byte_orders(tmp_path, network):
    arrays = {name: value.numpy() for name, value in network.state_dict().items()}
    np.savez(tmp_path / "m.npz", **{name: v.astype(">f8") for name, v in arrays.items()})
    assert_same(load_network(tmp_path / "m.npz", "digits_cnn"), network)
    np.savez(tmp_path / "m.npz", **{name: v.astype(complex) for name, v in arrays.items()})
    with pytest.raises(CheckpointError, match="of type complex128"):
        load_network(tmp_path / "m.npz", "digits_cnn")
