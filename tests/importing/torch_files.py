"""Writes .pth files by hand, opcode by opcode: sound ones of both formats, and hostile ones."""

import struct
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


def text(value):
    value = value.encode()
    return b"X" + struct.pack("<I", len(value)) + value


def number(value):
    return b"J" + struct.pack("<i", value) if abs(value) < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def name(module, attribute):
    return b"c" + f"{module}\n{attribute}\n".encode()


def items(*parts):
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def numbers(values):
    return items(*map(number, values))


def dictionary(pairs):
    """Of pickled values by text keys."""
    return b"}(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u"


def storage(key, count, kind="FloatStorage", legacy=False):
    view = b"N" if legacy else b""
    parts = text("storage"), name("torch", kind), text(key), text("cpu"), number(count), view
    return items(*parts) + b"Q"


def tensor(key, count, shape, strides, offset=0, kind="FloatStorage", legacy=False):
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = storage(key, count, kind, legacy), number(offset), numbers(shape), numbers(strides)
    return name("torch._utils", "_rebuild_tensor_v2") + items(*arguments, b"\x89", hooks) + b"R"


def pickled(value):
    return b"\x80\x02" + value + b"."


def write_zip(path, tree, data, compression=zipfile.ZIP_STORED, extra=()):
    """`tree` is a pickled value without its frame, `data` the bytes of storages by key."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled(tree))
        archive.writestr("a/byteorder", "little")
        for key, values in data.items():
            archive.writestr(f"a/data/{key}", values)
        for member in extra:
            archive.writestr(member, b"x")
    return str(path)


def write_legacy(path, tree, data, counts=None, keys=None):
    system = dictionary({"little_endian": b"\x88"})
    magic = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
    listed = b"](" + b"".join(text(key) for key in (data if keys is None else keys)) + b"e"
    parts = [pickled(part) for part in (magic, number(1001), system, tree, listed)]
    for key, values in data.items():
        parts += [struct.pack("<q", (counts or {}).get(key, len(values) // 4)), values]
    path.write_bytes(b"".join(parts))
    return str(path)


def state_dict(arrays, legacy=False):
    """The pickled value and the storages of float32 arrays by name."""
    data = {str(index): np.float32(array).tobytes() for index, array in enumerate(arrays.values())}
    tensors = {}
    for index, (key, array) in enumerate(arrays.items()):
        strides = [int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim)]
        tensors[key] = tensor(str(index), array.size, array.shape, strides, legacy=legacy)
    return dictionary(tensors), data
