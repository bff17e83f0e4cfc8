"""Reads .pth files of PyTorch without PyTorch: the zip format, and the one of torch before 1.6.

A zip holds `ROOT/data.pkl`, a pickle, and `ROOT/data/KEY`, the raw values of each storage. The older
format is five pickles one after the other (a magic number, the protocol, facts of the system, the object,
the keys of the storages), then for each key an int64 count and the raw values. A tensor is a part of a
storage: offset, shape, strides.

The pickles are read as data (`pickles.py`). Every size that a file states is compared with what the
file holds before memory is taken, and tensors are read one at a time when they are needed.
"""

import io
import math
import os
import struct
import typing
import zipfile
import zlib

import numpy as np

from sagan_tf.importing import pickles
from sagan_tf.importing.stored import Stored
from sagan_tf.system.errors import UserError

ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_STARTS = (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",)  # the pickle of that number
_PROTOCOL = 1001
READABLE = "read are PyTorch's .pth files of a state_dict, .npz files, and TensorFlow checkpoints"
_BIG_ENDIAN = "was written on a big-endian machine, which is not read"
_CHUNK = 4 << 20  # the most bytes read at once, so that a false size takes no memory
_MAX_DIMENSIONS = 8

# Names of storages, and how their values are read.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
}
# Errors that the standard library and the reader below raise for damaged files.
_FAILURES = (
    pickles.PickleError,
    ValueError,  # also UnicodeDecodeError
    LookupError,
    AttributeError,
    TypeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,  # zipfile, of other compressions
    RuntimeError,  # zipfile, of encrypted files; also RecursionError
    MemoryError,
    OverflowError,
    EOFError,
    OSError,
)


class _Storage:
    """Raw values in the file. `read` is set when the place of the values is known; it returns their bytes."""

    def __init__(self, key: str, kind: str, count: int):
        self.key, self.count = key, count
        self.dtype = _STORAGES[kind]
        self.item_bytes = 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
        self.read = None

    @property
    def bytes(self) -> int:
        return self.count * self.item_bytes

    def values(self) -> np.ndarray:
        raw = self.read()
        if len(raw) != self.bytes:
            raise pickles.PickleError(f"storage {self.key} is cut short")
        if self.dtype == "bfloat16":
            return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(raw, self.dtype)


class _Reader:
    """What a pickle's tensors become: `Stored` arrays over `_Storage`s."""

    def __init__(self, path: str):
        self._path, self.storages = path, {}
        self._bytes, self._limit = 0, 2 * os.path.getsize(path) + (1 << 20)
        self.table = {
            "collections.OrderedDict": _ordered_dict,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_parameter": lambda data, *_: data,
            "torch.Size": lambda sizes=(): tuple(sizes),
        }

    def run(self, stream: io.BytesIO):
        return pickles.Machine(self.table, self.storage).run(stream)

    def storage(self, persistent_id):
        if not isinstance(persistent_id, tuple) or not persistent_id:
            raise pickles.PickleError("a persistent id that is no storage's")
        if persistent_id[0] == "module":  # (module, class, file, source): a class with its source text
            return persistent_id[1]
        tag, kind, key, _, count, *view = persistent_id
        kind = kind.text.rpartition(".")[2] if isinstance(kind, pickles.Name) else ""
        if tag != "storage" or not isinstance(key, str) or not _is_count(count) or any(view):
            raise pickles.PickleError("a persistent id that is no storage's")
        if kind not in _STORAGES:
            raise pickles.PickleError(f"a storage of type {kind or 'unknown'}")
        known = self.storages.setdefault(key, _Storage(key, kind, count))
        if (known.count, known.dtype) != (count, _STORAGES[kind]):
            raise pickles.PickleError(f"storage {key} is described in two ways")
        return known

    def _tensor(self, storage, offset, shape, strides, *_):
        if not isinstance(storage, _Storage) or not _is_count(offset):
            raise pickles.PickleError("a tensor without a storage")
        if not all(map(_is_count, (*shape, *strides))) or len(shape) != len(strides):
            raise pickles.PickleError("a tensor with sizes or strides that are no counts")
        if len(shape) > _MAX_DIMENSIONS or math.prod(shape) > storage.count:
            raise pickles.PickleError("a tensor larger than its storage")
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if math.prod(shape) and last >= storage.count:
            raise pickles.PickleError("a tensor beyond the end of its storage")
        self._bytes += math.prod(shape) * storage.item_bytes
        if self._bytes > self._limit:
            raise pickles.PickleError("tensors of more bytes than the file has")
        shape, strides = tuple(shape), tuple(strides)
        return Stored(shape, lambda: self._load(storage, offset, shape, strides))

    def _load(self, storage: _Storage, offset: int, shape, strides) -> np.ndarray:
        try:
            values = storage.values()[offset:]
        except _FAILURES as error:
            raise _refusal(self._path, error) from error
        if not math.prod(shape):
            return np.zeros(shape, values.dtype)
        in_bytes = [stride * values.itemsize for stride in strides]
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(values, shape, in_bytes)).reshape(shape)


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _ordered_dict(pairs=()):
    """Of a list of [key, value], as Python 2 wrote it, or empty."""
    if not isinstance(pairs, list | tuple) or not all(isinstance(pair, list) for pair in pairs):
        raise pickles.PickleError("an OrderedDict of no pairs")
    if not all(isinstance(key, str) for key, _ in pairs):
        raise pickles.PickleError("an OrderedDict whose keys are no text")
    return dict(map(tuple, pairs))


def read(path: str) -> typing.Any:
    """What a .pth file holds: dictionaries, lists, numbers, text, `Stored` arrays and `Opaque` objects.

    Raises:
      UserError: it is no such file, damaged, or a TorchScript archive. Nothing in it was executed.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(LEGACY_STARTS[0]))
        return _read_zip(path) if start.startswith(ZIP_MAGIC) else _read_legacy(path)
    except UserError:
        raise
    except _FAILURES as error:
        raise _refusal(path, error) from error


def _refusal(path: str, error: Exception) -> UserError:
    reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
    return UserError(f"{path}: cannot be read ({reason})")


class _Bounded(io.BufferedReader):
    """A file that refuses to read more than `_CHUNK` bytes at once, whatever sizes its own text states."""

    def __init__(self, path: str):
        super().__init__(io.FileIO(path))
        self.length = os.path.getsize(path)

    def read(self, size=-1):
        wanted = self.length - self.tell() if size is None or size < 0 else size
        if wanted > _CHUNK:
            raise pickles.PickleError("a directory of more than 4 MiB")
        return super().read(size)


def _read_zip(path: str):
    members = _members(path)
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if any(name.rpartition("/")[2] == "constants.pkl" for name in members):
        raise UserError(f"{path}: seems to be a TorchScript archive, a program with weights; {READABLE}")
    if any(name.endswith(".weights.h5") for name in members):
        raise UserError(f"{path}: seems to be a Keras file (.keras); {READABLE}")
    if len(roots) != 1:
        raise UserError(f"{path}: a zip that PyTorch did not write (it has no data.pkl); {READABLE}")
    (root,) = roots
    order = f"{root}byteorder"
    if order in members and _member(path, members[order]) != b"little":
        raise UserError(f"{path}: {_BIG_ENDIAN}")
    if members[f"{root}data.pkl"].file_size > pickles.MAX_BYTES:
        raise pickles.PickleError("a data.pkl of more than 64 MiB")
    reader = _Reader(path)
    tree = reader.run(io.BytesIO(_member(path, members[f"{root}data.pkl"])))
    for key, storage in reader.storages.items():
        name = f"{root}data/{key}"
        if name not in members or members[name].file_size != storage.bytes:
            raise pickles.PickleError(f"{name}: missing, or not as long as stated")
        storage.read = lambda info=members[name]: _member(path, info)
    return tree


def _members(path: str) -> dict[str, zipfile.ZipInfo]:
    """The zip's directory, by name; nothing in it is compressed."""
    with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise pickles.PickleError("two members of one name")
        for info in members.values():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise pickles.PickleError(f"{info.filename}: is compressed")
            if info.header_offset + info.file_size > file.length:
                raise pickles.PickleError(f"{info.filename}: is beyond the end of the file")
    return members


def _member(path: str, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member of the zip, whose checksum agrees."""
    header = _bytes_at(path, info.header_offset, 30)
    signature, name_length, extra_length = struct.unpack("<4s22xHH", header)
    if signature != ZIP_MAGIC:
        raise pickles.PickleError(f"{info.filename}: is not where the directory says")
    data = _bytes_at(path, info.header_offset + 30 + name_length + extra_length, info.file_size)
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise pickles.PickleError(f"{info.filename}: its checksum differs")
    return data


def _read_legacy(path: str):
    with open(path, "rb") as file:
        stream = io.BytesIO(file.read(pickles.MAX_BYTES))
    plain = pickles.Machine({}, pickles.Opaque)
    if plain.run(stream) != _LEGACY_MAGIC:
        raise UserError(f"{path}: a pickle, but none of PyTorch's weights; {READABLE}")
    if plain.run(stream) != _PROTOCOL:
        raise pickles.PickleError("another protocol than 1001")
    system = plain.run(stream)
    if not isinstance(system, dict) or not system.get("little_endian"):
        raise UserError(f"{path}: {_BIG_ENDIAN}")
    reader = _Reader(path)
    tree, keys = reader.run(stream), plain.run(stream)
    if not isinstance(keys, list) or sorted(keys) != sorted(reader.storages):
        raise pickles.PickleError("its list of storages is not that of its tensors")
    position, length = stream.tell(), os.path.getsize(path)
    for key in keys:
        storage = reader.storages[key]
        if position + 8 + storage.bytes > length:
            raise pickles.PickleError(f"cut short: storage {key} is beyond its end")
        if struct.unpack("<q", _bytes_at(path, position, 8))[0] != storage.count:
            raise pickles.PickleError(f"storage {key} is not as long as stated")
        storage.read = lambda at=position + 8, size=storage.bytes: _bytes_at(path, at, size)
        position += 8 + storage.bytes
    if position != length:
        raise pickles.PickleError(f"{length - position} bytes more than its tensors")
    return tree


def _bytes_at(path: str, position: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(position)
        return file.read(size)
