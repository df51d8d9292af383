"""Conditions on windows, such as ``site = 'A' and hour between 4 and 8``: a small grammar, and nothing is executed.

condition   = conjunction ("or" conjunction)*
conjunction = negation ("and" negation)*
negation    = "not" negation | "(" condition ")" | comparison
comparison  = NAME ("=" | "!=" | "<" | "<=" | ">" | ">=") value
            | NAME ["not"] "between" value "and" value
            | NAME ["not"] "in" "(" value ("," value)* ")"
            | NAME "is" ["not"] "missing"
value       = NUMBER | 'TEXT' | "TEXT"
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast

from fewshot_audio.errors import DataError, on_one_line

LONGEST = 10_000  # signs
DEEPEST = 50  # parentheses and "not" within each other
MOST_VALUES = 1000

Value: TypeAlias = float | str
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Comparison:
    """A column is compared with a value."""

    column: str
    operator: Operator
    value: Value
    position: int


@dataclass(frozen=True)
class Missing:
    """A column has no value."""

    column: str
    position: int


@dataclass(frozen=True)
class Not:
    """A condition does not hold."""

    condition: "Condition"


@dataclass(frozen=True)
class Both:
    """All of the conditions hold."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True)
class Either:
    """One of the conditions holds, or more."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Comparison | Missing | Not | Both | Either


_Kind: TypeAlias = Literal["name", "number", "text", "sign", "end"]


class _Token(NamedTuple):
    kind: _Kind
    text: str
    position: int  # from 1


_TOKEN = re.compile(
    r"(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w))|(?P<name>[^\W\d]\w*)"
    r"|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|(?P<sign><=|>=|!=|=|<|>|\(|\)|,)"
)


def parse_condition(text: str) -> Condition:
    """Parse a condition.

    Raises:
        DataError: it is none; says at which position, and what was expected there.

    Example:
        >>> parse_condition("hour >= 4")
        Comparison(column='hour', operator='>=', value=4.0, position=1)
    """
    if len(text) > LONGEST:
        raise DataError(f"a condition of {len(text)} signs, expected at most {LONGEST}")
    return _Parser(list(_tokens(text))).whole()


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None:
            quote = text[place] in "'\""
            reason = "a text that does not end" if quote else f"{on_one_line(text[place])!r} has no meaning"
            raise DataError(f"position {place + 1}: {reason}")
        yield _Token(cast(_Kind, match.lastgroup), match[0], place + 1)
        place = match.end()
    yield _Token("end", "", len(text) + 1)


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._condition()
        if self._next.kind != "end":
            raise self._unexpected("and, or, or the end")
        return condition

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _unexpected(self, expected: str) -> DataError:
        shown = f"{on_one_line(self._next.text[:40])!r}" if self._next.text else "the end"
        return DataError(f"position {self._next.position}: {shown}, expected {expected}")

    def _take(self, *words: str) -> bool:
        """Take the next word or sign if it is one of these."""
        token = self._next
        if token.kind in ("name", "sign") and token.text.lower() in words:
            self._place += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._unexpected(word)

    def _condition(self) -> Condition:
        return self._joined("or", self._conjunction, Either)

    def _conjunction(self) -> Condition:
        return self._joined("and", self._negation, Both)

    def _joined(
        self, word: str, part: Callable[[], Condition], kind: Callable[[tuple[Condition, ...]], Condition]
    ) -> Condition:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def _negation(self) -> Condition:
        self._depth += 1
        if self._depth > DEEPEST:
            raise DataError(f"position {self._next.position}: more than {DEEPEST} conditions within each other")
        if self._take("not"):
            condition: Condition = Not(self._negation())
        elif self._take("("):
            condition = self._condition()
            self._expect(")")
        else:
            condition = self._comparison()
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        name = self._next
        if name.kind != "name" or name.text.lower() in ("and", "or", "between", "in", "is"):
            raise self._unexpected("the name of a column")
        self._place += 1
        if self._take("is"):
            negated = self._take("not")
            self._expect("missing")
            condition: Condition = Missing(name.text, name.position)
            return Not(condition) if negated else condition
        if self._take("not"):
            if self._next.text.lower() not in ("between", "in"):
                raise self._unexpected("between or in")
            return Not(self._between_or_in(name))
        if self._next.text.lower() in ("between", "in") and self._next.kind == "name":
            return self._between_or_in(name)
        operator = self._next.text
        if operator not in OPERATORS:
            raise self._unexpected(f"{', '.join(OPERATORS)}, between, in or is")
        self._place += 1
        return Comparison(name.text, cast(Operator, operator), self._value(), name.position)

    def _between_or_in(self, name: _Token) -> Condition:
        if self._take("between"):
            low = self._value()
            self._expect("and")
            high = self._value()
            return Both(
                (
                    Comparison(name.text, ">=", low, name.position),
                    Comparison(name.text, "<=", high, name.position),
                )
            )
        self._expect("in")
        self._expect("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
            if len(values) > MOST_VALUES:
                raise DataError(f"position {self._next.position}: more than {MOST_VALUES} values")
        self._expect(")")
        return Either(tuple(Comparison(name.text, "=", value, name.position) for value in values))

    def _value(self) -> Value:
        token = self._next
        if token.kind == "number":
            self._place += 1
            return float(token.text)
        if token.kind == "text":
            self._place += 1
            quote = token.text[0]
            return token.text[1:-1].replace(2 * quote, quote)
        raise self._unexpected("a number, or a text in quotes")
