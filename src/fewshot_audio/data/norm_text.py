"""Two numbers in a text that looks like Python: parsed, never executed."""

import ast
from collections.abc import Iterator
from pathlib import Path

from fewshot_audio.errors import DataError

MAX_TEXT = 2000  # bytes: two numbers, names and a comment
ARRAYS = ("array", "asarray")  # np.array(...)
SECOND = ("std", "sigma")  # what a name of the second number begins with


def numbers_in_text(path: Path) -> tuple[float, float]:
    """Read ``mean = -5.5`` and ``std = 20.1``, or a list, tuple or ``np.array`` of both; imports are ignored.

    Raises:
        DataError: the file cannot be read or is long, or holds anything else; says what.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_TEXT + 1)
    except OSError as error:
        raise DataError(error.strerror or str(error)) from error
    if len(text) > MAX_TEXT:
        raise DataError(f"more than {MAX_TEXT} bytes")
    try:
        statements = ast.parse(text).body
        values = [value for statement in statements for value in _values(statement)]
        numbers = [(name, number) for name, value in values for number in _numbers(value)]
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:  # the last: too deep
        raise DataError(str(error) or "too deeply nested") from error
    if len(numbers) != 2:
        raise DataError(f"found {len(numbers)} numbers")
    (name, first), (_, second) = numbers
    return (second, first) if len(values) == 2 and name.lower().startswith(SECOND) else (first, second)


def _values(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield the value of a statement with its name, if it is not an import or a docstring."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant(str())):
            pass
        case ast.Assign([ast.Name(name)], value):
            yield name, value
        case ast.Expr(value):
            yield "", value
        case _:
            raise ValueError(f"line {statement.lineno} is not a value")


def _numbers(value: ast.expr) -> Iterator[float]:
    """Yield the numbers of a literal in order."""
    match value:
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            yield float(number)
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)) if not isinstance(number, bool):
            yield -float(number)
        case ast.List(items) | ast.Tuple(items):
            for item in items:
                yield from _numbers(item)
        case ast.Call(ast.Attribute(_, name) | ast.Name(name), [item]) if name in ARRAYS:
            yield from _numbers(item)
        case _:
            raise ValueError(f"line {value.lineno}: {ast.unparse(value)[:40]!r} is not a number")
