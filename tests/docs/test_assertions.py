"""Assertions of the tests can fail, as far as their form shows it."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
BROAD = ("Exception", "BaseException")


def weak_parts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of what is true whatever the code does, or is raised by any mistake in the test itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield from ((node.lineno, ast.unparse(part)) for part in _always_true(node.test))
            yield from ((node.lineno, ast.unparse(part)) for part in ast.walk(node.test) if _with_itself(part))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
            names = {name.id for argument in node.args[:1] for name in ast.walk(argument) if isinstance(name, ast.Name)}
            if names & set(BROAD):
                yield node.lineno, ast.unparse(node)


def _always_true(test: ast.expr) -> Iterator[ast.expr]:
    """Parts that decide and are true: a constant, a tuple, a generator, or a value after ``or`` that is no question."""
    if isinstance(test, ast.BoolOp):
        for number, part in enumerate(test.values):
            is_value = isinstance(part, ast.Name | ast.Attribute | ast.Subscript)
            if isinstance(test.op, ast.Or) and number and is_value:
                yield test
            yield from _always_true(part)
    elif isinstance(test, ast.IfExp):
        for part in (test.body, test.orelse):
            yield from _always_true(part)
    elif isinstance(test, ast.Tuple | ast.GeneratorExp | ast.Lambda | ast.JoinedStr) or (
        isinstance(test, ast.Constant) and test.value
    ):
        yield test


def _with_itself(part: ast.AST) -> bool:
    """Whether a comparison is of a thing with itself; two calls of a function are two things."""
    if not isinstance(part, ast.Compare) or any(isinstance(inner, ast.Call) for inner in ast.walk(part)):
        return False
    values = [ast.dump(value) for value in (part.left, *part.comparators)]
    return any(one == other for one, other in itertools.pairwise(values))


def test_no_assertion_is_true_by_its_form() -> None:
    files = [path for path in sorted(TESTS.rglob("*.py")) if "fixtures" not in path.parts]
    assert len(files) > 100
    weak = [
        f"{path.relative_to(TESTS)}:{line}: {text}"
        for path in files
        for line, text in weak_parts(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not weak, "\n".join(weak)


@pytest.mark.parametrize(
    "text",
    [
        "assert version == '2' or torch.__version__",
        "assert a == b or (c and 'text')",
        "assert (a == b, 'message')",
        "assert True",
        "assert a == b if c else True",
        "assert (x for x in y)",
        "assert a.b == a.b",
        "with pytest.raises(Exception, match='.'): f()",
        "with pytest.raises((ValueError, BaseException)): f()",
    ],
)
def test_what_cannot_fail_is_seen(text: str) -> None:
    assert list(weak_parts(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "assert f() == f()",
        "assert a or b == c",
        "assert a == 'text' or not b",
        "assert x in (y or '')",
        "assert 0 < a < 1",
    ],
)
def test_what_can_fail_is_not(text: str) -> None:
    assert not list(weak_parts(ast.parse(text)))
