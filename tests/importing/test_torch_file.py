"""The reader of .pth files: what sound files hold, and that hostile and damaged ones do nothing at all."""

import os
import resource
import struct
import sys
import zipfile

import numpy as np
import pytest

from sagan_tf.importing import npz_file, torch_file
from sagan_tf.importing.pickles import MAX_OPCODES
from sagan_tf.system.errors import UserError
from tests.importing import torch_files as make

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([[7], [8]])}
WRITE = {"zip": make.write_zip, "legacy": make.write_legacy}
VALUES = np.arange(6, dtype=np.float32).tobytes()


def write(form, path, tree=None, data=None):
    if tree is None:
        tree, data = make.state_dict(ARRAYS, legacy=form == "legacy")
    return WRITE[form](path, tree, data)


def one(form, path, data=VALUES, count=6, **tensor):
    """A file of one tensor of which only what differs is given."""
    tensor = {"shape": (2, 3), "strides": (3, 1)} | tensor
    tree = make.dictionary({"a": make.tensor("0", count, legacy=form == "legacy", **tensor)})
    return write(form, path, tree, {"0": data})


def refusal(path):
    """The one line with which a file is refused, at the latest when its values are read."""
    with pytest.raises(UserError) as error:
        for value in torch_file.read(path).values():
            value.read("a")
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("form", WRITE)
def test_a_sound_file(tmp_path, form):
    tree = torch_file.read(write(form, tmp_path / "a.pth"))
    assert list(tree) == ["a", "b"] and tree["a"].shape == (2, 3)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tree[name].read(name), array)


@pytest.mark.parametrize("form", WRITE)
def test_offsets_and_strides(tmp_path, form):
    path = one(form, tmp_path / "a.pth", shape=(2, 2), strides=(1, 2), offset=1)
    np.testing.assert_array_equal(torch_file.read(path)["a"].read("a"), [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    "kind, values", [("HalfStorage", "<f2"), ("DoubleStorage", "<f8"), ("LongStorage", "<i8")]
)
def test_types(tmp_path, kind, values):
    path = one("zip", tmp_path / "a.pth", np.arange(6).astype(values).tobytes(), kind=kind)
    array = torch_file.read(path)["a"].read("a")
    np.testing.assert_array_equal(array, ARRAYS["a"])
    assert array.dtype == (np.int64 if kind == "LongStorage" else np.float32)


def test_bfloat16(tmp_path):
    raw = (np.arange(6, dtype=np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    path = one("zip", tmp_path / "a.pth", raw, kind="BFloat16Storage")
    np.testing.assert_array_equal(torch_file.read(path)["a"].read("a"), ARRAYS["a"])


def test_other_objects_become_opaque(tmp_path):
    """Real files hold NumPy scalars, nn.ReLU and sets in their metadata."""
    scalar = make.name("numpy.core.multiarray", "scalar") + make.items(
        make.name("numpy", "dtype") + make.items(make.text("f8")) + b"R", make.text("x")
    )
    relu = make.name("torch.nn.modules.activation", "ReLU") + b")\x81}b"
    tree = make.dictionary({"best": scalar + b"R", "act": relu, "set": b"\x8f(K\x01\x90"})
    found = torch_file.read(write("zip", tmp_path / "a.pth", tree, {}))
    assert [value.name for value in found.values()] == [
        "numpy.core.multiarray.scalar",
        "torch.nn.modules.activation.ReLU",
        "set",
    ]


# Each would run a command that makes a file, if anything ran it.
COMMAND = "touch executed"
HOSTILE = {
    "REDUCE": make.name("os", "system") + make.items(make.text(COMMAND)) + b"R",
    "REDUCE of posix": make.name("posix", "system") + make.items(make.text(COMMAND)) + b"R",
    "eval": make.name("builtins", "eval")
    + make.items(make.text(f"__import__('os').system('{COMMAND}')"))
    + b"R",
    "getattr": make.name("builtins", "getattr")
    + make.items(make.name("os", "path") + make.text("join"))
    + b"R",
    "INST": b"(" + make.text(COMMAND) + b"ios\nsystem\n",
    "OBJ": b"(" + make.name("os", "system") + make.text(COMMAND) + b"o",
    "STACK_GLOBAL": make.text("os") + make.text("system") + b"\x93" + make.items(make.text(COMMAND)) + b"R",
    "NEWOBJ": make.name("subprocess", "Popen") + make.items(make.text(COMMAND)) + b"\x81",
    "NEWOBJ_EX": make.name("subprocess", "Popen") + make.items(make.text(COMMAND)) + b"}\x92",
    "BUILD": make.name("os", "_wrap_close") + b")\x81" + make.dictionary({"x": make.text(COMMAND)}) + b"b",
    "BUILD of a dictionary": make.name("collections", "OrderedDict")
    + b")R"
    + make.dictionary({"__class__": make.text("os")})
    + b"b",
    "EXT1": b"\x82\x01" + make.items(make.text(COMMAND)) + b"R",
    "EXT4": b"\x84\x01\x00\x00\x00" + make.items(make.text(COMMAND)) + b"R",
    "a call of what a call gave": (make.name("os", "getenv") + make.items(make.text("HOME")) + b"R")
    + make.items(make.text(COMMAND))
    + b"R",
}


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_is_executed_or_imported(tmp_path, monkeypatch, form, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("os.system was called"))
    before = set(sys.modules)
    found = torch_file.read(write(form, tmp_path / "a.pth", make.dictionary({"a": HOSTILE[kind]}), {}))
    assert isinstance(found["a"], torch_file.pickles.Opaque | dict)
    assert set(sys.modules) == before and not (tmp_path / "executed").exists()


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": (2, 4)},
        {"offset": 1},
        {"offset": -1},
        {"shape": (-2, -3)},
        {"strides": (0, 0), "shape": (1000, 1000)},
        {"strides": (-3, 1)},
        {"strides": (2**40, 1)},
        {"shape": (2, 3, 1)},
        {"shape": (1,) * 9, "strides": (1,) * 9},
        {"count": 7},
        {"count": 2**40},
        {"count": -1},
        {"kind": "QInt8Storage"},
        {"kind": "DoubleStorage"},
        {"data": VALUES[:-4]},
    ],
    ids=str,
)
def test_tensors_that_reach_beyond_their_storage(tmp_path, form, tensor):
    refusal(one(form, tmp_path / "a.pth", **tensor))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tmp_path, value):
    data = np.float32([0, 1, value, 3, 4, 5]).tobytes()
    with pytest.raises(UserError, match="a holds values that are not finite"):
        torch_file.read(one("zip", tmp_path / "a.pth", data))["a"].read("a")


def test_many_tensors_over_one_storage(tmp_path):
    """Each is sound; together they would take a thousand times the file's memory."""
    values = bytes(4 << 18)
    same = make.tensor("0", 1 << 18, (1 << 18,), (1,))
    tree = make.dictionary({f"a{index}": same for index in range(1000)})
    assert "more bytes than the file" in refusal(make.write_zip(tmp_path / "a.pth", tree, {"0": values}))


BOMBS = {
    "nested lists": b"]" * 300_000 + b"a" * 299_999,
    "nested tuples": b")" + b"\x85" * 300_000,
    "nested tuple as a key": b"})" + b"\x85" * 300_000 + b"Ns",
    "objects": b"](" + b"]" * (MAX_OPCODES + 1) + b"e",
    "a text of a tebibyte": b"\x8d" + struct.pack("<Q", 2**40),
    "bytes of a tebibyte": b"\x8e" + struct.pack("<Q", 2**40),
    "a number of 2 GiB": b"\x8b\xff\xff\xff\x7f",
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n",
    "keys that collide": b"}(" + b"".join(make.number(k * (2**61 - 1)) + b"N" for k in range(1, 3)) + b"u",
    "an empty stack": b"0" * 10,
    "a fetch of nothing": b"h\x05",
    "a mark without an end": b"t",
    "no such opcode": b"\xff",
}


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize("kind", BOMBS)
def test_bombs(tmp_path, form, kind):
    path = write(form, tmp_path / "a.pth", BOMBS[kind], {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        found = torch_file.read(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert kind.startswith("nested") and found is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


@pytest.mark.parametrize("form", WRITE)
def test_truncated_at_80_places(tmp_path, form):
    whole = open(write(form, tmp_path / "a.pth"), "rb").read()
    path = tmp_path / "cut.pth"
    for length in np.linspace(0, len(whole) - 1, 80).astype(int):
        path.write_bytes(whole[:length])
        refusal(path)


@pytest.mark.parametrize("form", WRITE)
def test_400_bit_flips(tmp_path, form):
    """Refused in one line, or read as other values: the older format has no checksum."""
    whole = bytearray(open(write(form, tmp_path / "a.pth"), "rb").read())
    path, random, refused = tmp_path / "a.pth", np.random.default_rng(0), 0
    for bit in random.choice(8 * len(whole), 400, replace=False):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        try:
            tree = torch_file.read(str(path))
            for value in tree.values() if isinstance(tree, dict) else ():
                if hasattr(value, "read"):
                    value.read("a")
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def test_zips_that_pytorch_does_not_write(tmp_path):
    tree, data = make.state_dict(ARRAYS)
    path = tmp_path / "a.pth"
    make.write_zip(path, tree, data, zipfile.ZIP_DEFLATED)
    assert "is compressed" in refusal(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        make.write_zip(path, tree, data, extra=["a/data/0"])
    assert "two members of one name" in refusal(path)
    make.write_zip(path, tree, data, extra=["a/constants.pkl"])
    assert "TorchScript" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", "y")
    assert "Keras" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "y")
    assert "PyTorch did not write" in refusal(path)


def test_a_large_directory_is_not_read(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(60_000):
            archive.writestr(f"a/{index:060d}", b"")
    assert "directory" in refusal(path)


def test_npz(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, **ARRAYS)
    found = npz_file.read(path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name].read(name), array)
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(UserError, match="holds objects"):
        npz_file.read(path)
    np.savez_compressed(path, a=np.zeros(50 << 20, np.float32))
    with pytest.raises(UserError, match="compressed to less than a quarter"):
        npz_file.read(path)
    whole = open(write("zip", tmp_path / "b"), "rb").read()
    for length in (0, 10, len(whole) // 2):
        (tmp_path / "a.npz").write_bytes(whole[:length])
        with pytest.raises(UserError, match="cannot be read"):
            npz_file.read(path)


def test_npz_that_claims_more_than_it_holds(tmp_path):
    path = tmp_path / "a.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8))
    with pytest.raises(UserError, match="not as long as stated"):
        npz_file.read(str(path))


def test_against_torch(tmp_path):
    """Files that PyTorch itself writes, in both formats."""
    torch = pytest.importorskip("torch", reason="PyTorch, which writes the files that are read here")
    tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    tensors["t"] = tensors["a"].T[1:]
    tensors["half"] = tensors["a"].to(torch.bfloat16)
    tensors["parameter"] = torch.nn.Parameter(tensors["b"])
    for new in (True, False):
        path = str(tmp_path / "a.pth")
        torch.save({"state_dict": tensors, "step": 3}, path, _use_new_zipfile_serialization=new)
        found = torch_file.read(path)
        assert found["step"] == 3
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(
                found["state_dict"][name].read(name), tensor.detach().float().numpy()
            )
