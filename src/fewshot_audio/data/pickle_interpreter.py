"""Interpret pickles of strings: the few opcodes that lists and arrays of strings need, and inert values for the rest.

Nothing that a pickle names is imported, called or built. What it refers to twice is not copied, so that every opcode
costs one step.
"""

import pickletools
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fewshot_audio.errors import DataError

MAX_OPCODES = 200_000  # the largest published file has 1800
PROTOCOLS = range(2, 6)

_INTEGERS = {"BININT": True, "LONG1": True, "BININT1": False, "BININT2": False}  # whether the integer has a sign
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_OPCODE_NAMES = {  # protocols 2 to 5, as pickles of arrays, lists and tuples of strings use them
    *_INTEGERS, *_CONSTANTS, *_TUPLES,
    "PROTO", "FRAME", "STOP", "MARK", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET",
    "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING",
    "EMPTY_LIST", "APPEND", "APPENDS", "TUPLE", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
}  # fmt: skip
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_LENGTH_BYTES = {  # of arguments that begin with their length
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
}


class _Global(Enum):
    """What a pickle of strings may name, by its module (in numpy 1) and name."""

    ARRAY = ("numpy", "ndarray")
    DTYPE = ("numpy", "dtype")
    RECONSTRUCT = ("numpy.core.multiarray", "_reconstruct")
    SCALAR = ("numpy.core.multiarray", "scalar")


@dataclass(slots=True)
class InertDtype:
    """``numpy.dtype``: the kind and width of strings, or of objects."""

    name: str
    byte_order: str = "<"


@dataclass(slots=True)
class InertArray:
    """``numpy.ndarray`` as the pickle describes it: objects in a list, or bytes of strings; a scalar has no axes."""

    shape: tuple[int, ...] = ()
    dtype: InertDtype | None = None
    data: list[Any] | bytes = b""


def interpret(data: bytes) -> Any:
    """Return what a pickle of protocol 2 or later describes: lists, tuples, strings, constants, and the arrays above.

    Raises:
        DataError: the pickle is damaged, too long, or has anything else in it.
    """
    return _Interpreter(data).run()


class _Interpreter:
    """The state of reading one pickle: the position in it, the stack, the stack's length at each mark, and the memo."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return the value that the pickle leaves on the stack."""
        for _ in range(MAX_OPCODES):
            code = self._read(1).decode("latin-1")
            opcode = _OPCODES.get(code)
            if opcode is None or opcode.name not in _OPCODE_NAMES:
                raise _refusal(f"has the opcode {opcode.name if opcode else code!r}")
            if opcode.name == "STOP":
                return self._pop(object)
            self._step(opcode.name, self._argument(opcode))
        raise DataError(f"a pickle of more than {MAX_OPCODES} opcodes")

    def _read(self, size: int) -> bytes:
        begin, self._position = self._position, self._position + size
        if self._position > len(self._data):
            raise DataError("a pickle that is cut off")
        return self._data[begin : self._position]

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise DataError("a pickle that is cut off")
        return self._read(end + 1 - self._position)[:-1]

    def _argument(self, opcode: pickletools.OpcodeInfo) -> bytes:
        """Read the bytes of an opcode's argument; a global's are its module and its name in two lines."""
        if opcode.arg is None:
            return b""
        if opcode.arg.n == pickletools.UP_TO_NEWLINE:
            return self._line() + b"\n" + self._line()
        if opcode.arg.n in _LENGTH_BYTES:
            return self._read(int.from_bytes(self._read(_LENGTH_BYTES[opcode.arg.n]), "little"))
        return self._read(opcode.arg.n)

    def _step(self, name: str, argument: bytes) -> None:
        stack = self._stack
        if name in ("BINPUT", "LONG_BINPUT"):
            self._memo[int.from_bytes(argument, "little")] = self._top(object)
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top(object)
        elif name in ("BINGET", "LONG_BINGET"):
            key = int.from_bytes(argument, "little")
            if key not in self._memo:
                raise DataError("a pickle that refers to what it does not have")
            stack.append(self._memo[key])
        elif name in ("BINUNICODE", "SHORT_BINUNICODE"):
            stack.append(_decode(argument, "utf-8", "surrogatepass"))  # as every unpickler
        elif name in ("BINSTRING", "SHORT_BINSTRING"):  # of Python 2
            stack.append(_decode(argument, "ascii"))
        elif name in ("BINBYTES", "SHORT_BINBYTES"):
            stack.append(argument)
        elif name in _INTEGERS:
            stack.append(int.from_bytes(argument, "little", signed=_INTEGERS[name]))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "APPEND":
            item = self._pop(object)
            self._top(list).append(item)
        elif name == "APPENDS":
            items = self._pop_marked()
            self._top(list).extend(items)
        elif name == "TUPLE":
            stack.append(tuple(self._pop_marked()))
        elif name in _TUPLES:
            stack.append(tuple([self._pop(object) for _ in range(_TUPLES[name])][::-1]))
        elif name == "GLOBAL":
            module, member = _decode(argument, "utf-8").split("\n")
            stack.append(_global(module, member))
        elif name == "STACK_GLOBAL":
            member, module = self._pop(str), self._pop(str)
            stack.append(_global(module, member))
        elif name == "REDUCE":
            arguments, function = self._pop(tuple), self._pop(_Global)
            stack.append(_reduce(function, arguments))
        elif name == "BUILD":
            state = self._pop(tuple)
            _build(self._top(object), state)
        elif name == "PROTO" and argument[0] not in PROTOCOLS:
            raise DataError(f"a pickle of protocol {argument[0]}, expected 2 to 5")
        # A frame only says how much to read at once.

    def _top(self, kind: type) -> Any:
        """Return the last value on the stack, which is of that kind; a mark hides those below it."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise DataError("a pickle with too few values")
        value = self._stack[-1]
        if not isinstance(value, kind):
            raise _refusal(f"has a {kind_of(value)} in the place of a {kind.__name__.lstrip('_').lower()}")
        return value

    def _pop(self, kind: type) -> Any:
        self._top(kind)
        return self._stack.pop()

    def _pop_marked(self) -> list[Any]:
        if not self._marks:
            raise DataError("a pickle with too few marks")
        begin = self._marks.pop()
        items = self._stack[begin:]
        del self._stack[begin:]
        return items


def _global(module: str, name: str) -> _Global:
    try:
        return _Global((module.replace("numpy._core", "numpy.core"), name))
    except ValueError:
        raise _refusal(f"asks for {module[:80]}.{name[:80]}") from None


def _reduce(function: _Global, arguments: tuple[Any, ...]) -> InertArray | InertDtype:
    """Describe the result of numpy's function for these arguments."""
    match function, arguments:
        case _Global.RECONSTRUCT, (_Global.ARRAY, _, _):
            return InertArray()  # its state follows
        case _Global.DTYPE, (str(name), *_):
            return InertDtype(name)
        case _Global.SCALAR, (InertDtype() as dtype, bytes(data)):
            return InertArray((), dtype, data)
    raise _refusal(f"calls {'.'.join(function.value)} with {len(arguments)} values")


def _build(value: object, state: tuple[Any, ...]) -> None:
    """Set the state of an array or dtype."""
    match value, state:
        case InertArray(), (_, tuple(shape), InertDtype() as dtype, _, list() | bytes() as data) if _is_shape(shape):
            value.shape, value.dtype, value.data = shape, dtype, data
        case InertDtype(), (_, "<" | ">" | "|" | "=" as byte_order, *_):
            value.byte_order = byte_order
        case _:
            raise _refusal(f"sets the state of a {kind_of(value)}")


def _is_shape(shape: tuple[Any, ...]) -> bool:
    return len(shape) <= 2 and all(isinstance(axis, int) and 0 <= axis < 2**31 for axis in shape)


def _decode(data: bytes, encoding: str, errors: str = "strict") -> str:
    try:
        return data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise DataError(f"the pickled names cannot be read: {error}") from error


def kind_of(value: object) -> str:
    """Name the kind of a value for messages."""
    return type(value).__name__.lstrip("_").lower()


def _refusal(what: str) -> DataError:
    return DataError(
        f"the pickle {what}, which a list of class names does not need: refused, not run (the file may be malicious)"
    )
