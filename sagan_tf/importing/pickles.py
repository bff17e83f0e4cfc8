"""Reads pickles as data: a small machine for their opcodes that can call nothing.

`pickle.load` runs whatever a file names, so it is not used. This machine knows lists, dictionaries,
tuples, numbers and text, and the few names that weights need (`TABLE` of the reader that uses it). Every
other name that a file mentions becomes an `Opaque`, which holds nothing and does nothing; real files have
such in their metadata. No module is imported on a file's behalf. How many opcodes run, and how many bytes
they take, is bounded, so that memory is too.
"""

import pickletools
import typing

MAX_BYTES = 64 << 20  # of one pickle; those of published weights have less than a mebibyte
MAX_OPCODES = 1_000_000
_MAX_KEY = 2**60  # integers from here on could be made to collide in a dictionary


class PickleError(Exception):
    """A pickle that is damaged, too large, or built of what weights are never built of."""


class Opaque:
    """What stands for an object that the machine does not make. `name` says what it would have been."""

    def __init__(self, name: str):
        self.name = name


class Name(typing.NamedTuple):
    """A name that a file mentions, e.g. `torch.FloatStorage`; only the table can give it a meaning."""

    text: str


_MARK = object()
# Opcodes whose argument is the value that they push.
_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES"
    " BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset(("PROTO", "FRAME", "STOP"))


class Machine:
    """Runs one pickle.

    Args:
      table: from a name to the function that makes its value, called with the arguments that the file gives.
      persistent: makes the value of a persistent id; called with the id.
    """

    def __init__(self, table: dict[str, typing.Callable], persistent: typing.Callable):
        self._table, self._persistent = table, persistent
        self._stack, self._memo = [], {}

    def run(self, stream):
        """The object of the pickle that begins where `stream`, an io.BytesIO, stands.

        Raises:
          PickleError, and what Python raises for values of a wrong type or an empty stack.
        """
        start = stream.tell()
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if number >= MAX_OPCODES or stream.tell() - start > MAX_BYTES:
                raise PickleError("too many objects")
            self._step(opcode.name, argument)
        return self._pop()

    def _step(self, name: str, argument) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self._stack.append(tuple(self._pop_many(_TUPLES[name])))
        elif name not in _NOTHING:
            action = getattr(self, f"_do_{name.lower()}", None)
            if action is None:
                raise PickleError(f"opcode {name}")
            action(argument)

    def _pop(self):
        value = self._stack.pop()
        if value is _MARK:
            raise PickleError("a mark where a value belongs")
        return value

    def _pop_many(self, count: int) -> list:
        return [self._pop() for _ in range(count)][::-1]

    def _pop_to_mark(self) -> list:
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _do_mark(self, _):
        self._stack.append(_MARK)

    def _do_pop(self, _):
        self._stack.pop()

    def _do_pop_mark(self, _):
        self._pop_to_mark()

    def _do_dup(self, _):
        self._stack.append(self._stack[-1])

    def _do_tuple(self, _):
        self._stack.append(tuple(self._pop_to_mark()))

    def _do_list(self, _):
        self._stack.append(self._pop_to_mark())

    def _do_dict(self, _):
        values = self._pop_to_mark()
        self._stack.append({})
        self._set_items(values)

    # Opcodes that store and fetch.

    def _do_put(self, key):
        self._memo[key] = self._stack[-1]

    _do_binput = _do_long_binput = _do_put

    def _do_memoize(self, _):
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_get(self, key):
        self._stack.append(self._memo[key])

    _do_binget = _do_long_binget = _do_get

    # Opcodes that fill what lies under the values.

    def _do_append(self, _):
        self._extend([self._pop()])

    def _do_appends(self, _):
        self._extend(self._pop_to_mark())

    def _extend(self, values: list) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)
        elif not isinstance(self._stack[-1], Opaque):
            raise PickleError("values appended to what is no list")

    def _do_setitem(self, _):
        self._set_items(self._pop_many(2))

    def _do_setitems(self, _):
        self._set_items(self._pop_to_mark())

    def _set_items(self, values: list) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict | Opaque) or len(values) % 2:
            raise PickleError("items set in what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            small = isinstance(key, int) and abs(key) < _MAX_KEY
            if not (small or key is None or isinstance(key, str | float | bytes | Opaque)):
                raise PickleError(f"a key of type {type(key).__name__}")
            if isinstance(target, dict):
                target[key] = value

    def _do_empty_set(self, _):
        self._stack.append(Opaque("set"))

    def _do_additems(self, _):
        self._pop_to_mark()

    def _do_frozenset(self, _):
        self._pop_to_mark()
        self._stack.append(Opaque("frozenset"))

    def _do_build(self, _):
        self._pop()  # the state of an Opaque or attributes of a dictionary: not used

    # Opcodes that would import a name, and call it.

    def _do_global(self, argument):
        self._stack.append(Name(argument.replace(" ", ".", 1)))

    def _do_stack_global(self, _):
        module, name = self._pop_many(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleError("a name that is no text")
        self._stack.append(Name(f"{module}.{name}"))

    def _do_ext1(self, code):
        self._stack.append(Name(f"extension {code}"))

    _do_ext2 = _do_ext4 = _do_ext1

    def _make(self, what, arguments) -> None:
        if isinstance(what, Name) and what.text in self._table and isinstance(arguments, tuple):
            self._stack.append(self._table[what.text](*arguments))
        else:
            self._stack.append(Opaque(what.text if isinstance(what, Name) else type(what).__name__))

    def _do_reduce(self, _):
        self._make(*self._pop_many(2))

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _):
        what, arguments, _ = self._pop_many(3)
        self._make(what, arguments)

    def _do_inst(self, argument):
        self._pop_to_mark()
        self._stack.append(Opaque(argument.replace(" ", ".", 1)))

    def _do_obj(self, _):
        what, *_ = self._pop_to_mark()
        self._make(what, None)

    def _do_persid(self, argument):
        self._stack.append(self._persistent(argument))

    def _do_binpersid(self, _):
        self._stack.append(self._persistent(self._pop()))
