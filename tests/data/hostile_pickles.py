"""Pickles made to run code, to take long, to need much memory, or to end in an error that nobody expects."""

import numpy as np

PROTOCOL = b"\x80\x02"
MARKED_PROTOCOL = PROTOCOL + b"]("  # a list of what follows up to the opcode e
REST = b"]X\1\0\0\0ba]X\1\0\0\0cae."  # two more lists of names, and the end
DTYPE = b"cnumpy\ndtype\n"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\1btR"
LAUGH = b"h<"  # what laughs has memorized last
SCALAR = b"cnumpy.core.multiarray\nscalar\n"


def text(value: str) -> bytes:
    """Opcodes that put a string on the stack."""
    encoded = value.encode()
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def strings(count: int, width: int, data: bytes) -> bytes:
    """Opcodes that put an array of strings on the stack."""
    shape = b"J" + count.to_bytes(4, "little") + b"\x85"
    content = b"B" + len(data).to_bytes(4, "little") + data
    return ARRAY + b"(K\1" + shape + DTYPE + text(f"U{width}") + b"\x85R\x89" + content + b"tb"


def array(shape: bytes) -> bytes:
    """Opcodes that put an array of objects on the stack."""
    return ARRAY + b"(K\1" + shape + DTYPE + text("O8") + b"\x85R\x89]tb"


def laughs() -> bytes:
    """Opcodes that memorize a tuple of ten equal tuples, and so on: LAUGH would be 10 ** 60 strings if unfolded."""
    opcodes = b"(" + text("ha") + b"tq\0"
    for level in range(60):
        opcodes += b"(" + bytes([ord("h"), level]) * 10 + b"tq" + bytes([level + 1])
    return opcodes


def repeat(name: bytes) -> bytes:
    """Opcodes that put a list on the stack, which holds the same name 190,000 times."""
    return b"](" + name + b"q\0" + b"h\0" * 190_000 + b"e"


def shared_array(times: int) -> bytes:
    """Arrays that share the same bytes."""
    data = np.array([f"{number:04d}" for number in range(5000)]).tobytes()
    first = strings(5000, 4, data).replace(b"tb", b"q\0tb")
    again = ARRAY + b"(K\1M\x88\x13\x85" + DTYPE + text("U4") + b"\x85R\x89h\0tb"
    return first + again * times


# Name: the pickle, and words of the error.
HOSTILE: dict[str, tuple[bytes, str]] = {
    "laughs in a dtype": (PROTOCOL + laughs() + DTYPE + LAUGH + b"\x85R.", "calls numpy.dtype"),
    "laughs for a dtype": (PROTOCOL + laughs() + DTYPE + LAUGH + b"R.", "calls numpy.dtype"),
    "laughs as a state": (PROTOCOL + laughs() + DTYPE + text("U5") + b"\x85R" + LAUGH + b"b.", "sets the state"),
    "laughs as a shape": (PROTOCOL + laughs() + array(LAUGH) + b".", "sets the state"),
    "laughs as a part": (PROTOCOL + laughs() + b"](" + LAUGH + REST, "found a tuple"),
    "laughs as a name": (PROTOCOL + laughs() + b"](]" + LAUGH + b"a" + REST, "found a tuple"),
    "deep tuples": (PROTOCOL + b")" + b"\x85" * 150_000 + b".", "pickled tuple"),
    "deep lists": (PROTOCOL + b"]" * 90_000 + b"a" * 89_999 + b".", "found a list"),
    "a list in itself": (PROTOCOL + b"]q\0h\0a.", "found a list"),
    "a part in itself": (MARKED_PROTOCOL + b"]q\0h\0a" + REST, "found a list"),
    "too many opcodes": (PROTOCOL + b")" + b"\x85" * 1_000_000 + b".", "200000 opcodes"),
    "a megabyte of marks": (PROTOCOL + b"(" * 1_000_000 + b".", "200000 opcodes"),
    "far memo": (PROTOCOL + b"]" + b"r\xff\xff\xff\xff" * 150_000 + b".", "found 0 lists"),
    "no such memo": (PROTOCOL + b"j\xff\xff\xff\xff.", "refers to what"),
    "one name, often": (MARKED_PROTOCOL + repeat(text("x" * 900)) + REST, "more text than"),
    "one byte string, often": (MARKED_PROTOCOL + repeat(b"B\xa0\x86\1\0" + b"x" * 100_000) + REST, "more text than"),
    "one list, often": (MARKED_PROTOCOL + b"](" + b"U\1a" * 90_000 + b"eq\0" + b"h\0" * 90_000 + REST, "more names"),
    "one array, often": (MARKED_PROTOCOL + shared_array(2000) + REST, "more text than"),
    "wide strings": (MARKED_PROTOCOL + strings(1, 999_999, b"a\0\0\0") + REST, "4 bytes of data"),
    "wider strings": (MARKED_PROTOCOL + strings(1, 10**9, b"a\0\0\0") + REST, "data of type U10"),
    "strings of no width": (MARKED_PROTOCOL + strings(2**31 - 1, 0, b"") + REST, "data of type U0"),
    "many strings": (MARKED_PROTOCOL + strings(2**31 - 1, 1, b"a\0\0\0") + REST, "4 bytes of data"),
    "beyond Unicode": (MARKED_PROTOCOL + strings(1, 1, b"\xff\xff\xff\xff") + REST, "not Unicode"),
    "a long axis": (MARKED_PROTOCOL + array(b"\x8a\xff" + b"\x7f" * 255 + b"\x85") + REST, "sets the state"),
    "ndarray called": (PROTOCOL + b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.", "calls numpy.ndarray"),
    "a scalar of a scalar": (PROTOCOL + SCALAR + SCALAR + text("a") + b"\x86R.", "calls numpy.core"),
    "a text called": (PROTOCOL + text("a") + b")R.", "str in the place of a global"),
    "state of a global": (PROTOCOL + b"cnumpy\nndarray\n)b.", "sets the state of a global"),
    "attributes of a global": (PROTOCOL + b"cnumpy\nndarray\n}b.", "EMPTY_DICT"),
    "os.system": (PROTOCOL + b"cos\nsystem\nX\2\0\0\0id\x85R.", "os.system"),
    "os.system in a frame": (b"\x80\x04\x95\x16\0\0\0\0\0\0\0\x8c\2os\x8c\6system\x93\x8c\2id\x85R.", "os.system"),
    "numpy.core.multiarray.os": (PROTOCOL + b"cnumpy.core.multiarray\nos.system\n.", "os.system"),
    "a global on one line": (PROTOCOL + b"cnumpy", "cut off"),
    "persistent id": (b"P1\n.", "PERSID"),
    "binary persistent id": (PROTOCOL + b"K\1Q.", "BINPERSID"),
    "extension": (PROTOCOL + b"\x82\1.", "EXT1"),
    "instance": (b"(ios\nsystem\n.", "INST"),
    "new object": (PROTOCOL + b"cnumpy\nndarray\n)\x81.", "NEWOBJ"),
    "copies of the top": (PROTOCOL + b"]" + b"2" * 1000 + b".", "DUP"),
    "a buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a long integer": (b"L" + b"9" * 500_000 + b"L\n.", "LONG"),
    "protocol 9": (b"\x80\x09].", "protocol 9"),
    "no opcode": (b"\xff.", "opcode"),
    "a text that is cut off": (PROTOCOL + b"X\xff\xff\xff\xffa.", "cut off"),
    "a negative length": (PROTOCOL + b"T\xff\xff\xff\xffa.", "cut off"),
    "bytes that are no text": (PROTOCOL + b"X\1\0\0\0\xff.", "utf-8"),
    "a byte string of Python 2": (PROTOCOL + b"U\1\xff.", "ascii"),
    "no end": (PROTOCOL + b"]", "cut off"),
    "nothing": (PROTOCOL + b".", "too few values"),
    "a list for nothing": (PROTOCOL + b"a.", "too few values"),
    "no mark": (PROTOCOL + b"]e.", "too few marks"),
    "below the mark": (PROTOCOL + b"]](a]]e.", "too few values"),
}  # fmt: skip
