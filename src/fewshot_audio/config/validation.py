"""Checking JSON values as sections: what is wrong names its key and the nearest valid one, all of it at once."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fewshot_audio.config.base import Section
from fewshot_audio.config.keys import subsection
from fewshot_audio.config.open_section import OpenSection
from fewshot_audio.errors import ConfigError

S = TypeVar("S", bound=Section)
B = TypeVar("B", bound=BaseModel)


def validate(section: type[S], value: Any, where: str) -> S:
    """Validate a JSON value as ``section``; each line of the ConfigError begins with ``where``, the name of a file."""
    try:
        return section.model_validate(value)
    except ValidationError as error:
        raise ConfigError("\n".join(_explained(section, error, where))) from error


def _explained(section: type[Section], error: ValidationError, where: str) -> list[str]:
    return [f"{where}: {_explain(section, details)}" for details in error.errors()]


@contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """Append a ConfigError that is raised inside the block to ``problems``."""
    try:
        yield
    except ConfigError as error:
        problems.append(str(error))


def validate_or_collect(section: type[S], values: dict[str, Any] | None, where: str, problems: list[str]) -> S:
    """Validate ``values``; if they are wrong, append why to ``problems`` and return what can be read of them.

    None stands for a file that could not be read at all.
    """
    if values is None:
        return _readable(section, {}, [()])
    try:
        return section.model_validate(values)
    except ValidationError as error:
        problems += _explained(section, error, where)
        return _readable(section, values, [details["loc"] for details in error.errors()])


def _readable(section: type[B], values: Any, wrong: Sequence[tuple[int | str, ...]]) -> B:
    """A section without its keys at the places ``wrong``: reading one of these is an AttributeError."""
    if () in wrong:
        values, wrong = {}, [(key,) for key in section.model_fields]
    result = section.model_construct(**{key: values[key] for key in section.model_fields if key in values})
    for key in section.model_fields:
        inside = [place[1:] for place in wrong if place[:1] == (key,)]
        below = subsection(section, key)
        if below and (key in values or inside) and isinstance(values.get(key, {}), dict):
            result.__dict__[key] = _readable(below, values.get(key, {}), inside)
        elif inside:
            result.__dict__.pop(key, None)
    return result


def hint(name: str, keys: Iterable[str]) -> str:
    """Return `` (nearest known key: 'x')`` or, if none is near, the list of all keys."""
    by_lower_case = {key.lower(): key for key in keys}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
    if close:
        return f" (nearest known key: {by_lower_case[close[0]]!r})"
    return f" (known keys: {', '.join(by_lower_case.values())})"


def retirement(section: type[BaseModel], details: ErrorDetails) -> str:
    """Of an error in a JSON value that ``section`` describes: which version was the last to have what it is about.

    Empty if none had it.
    """
    *above, name = map(str, details["loc"] or ("",))
    owner = _owner(section, above)
    if not (owner and issubclass(owner, Section)):
        return ""
    key, value = ".".join([*above, name]), details["input"]
    last = "version 0.1 of fewshot-audio was the last to have it"
    if details["type"] == "extra_forbidden" and name in owner.retired:
        return f"key {key!r}: {last}; only {owner.retired[name]!r}, its default, is still read (found {value!r})"
    if name in owner.retired_values and value == owner.retired_values[name]:
        return f"key {key!r}: {last} with the value {value!r}"
    return ""


def unloaded(section: type[BaseModel], details: ErrorDetails) -> str:
    """How an unknown key in a JSON value that ``section`` describes may become known; "" if it cannot."""
    owner = _owner(section, [str(key) for key in details["loc"][:-1]])
    if details["type"] == "extra_forbidden" and owner and issubclass(owner, OpenSection):
        return "; if it is a part from outside, load its package: --plugin PACKAGE"
    return ""


def _owner(section: type[BaseModel], above: Sequence[str]) -> type[BaseModel] | None:
    """The section below these keys of ``section``."""
    owner: type[BaseModel] | None = section
    for key in above:
        owner = subsection(owner, key) if owner else None
    return owner


def _explain(section: type[BaseModel], details: ErrorDetails) -> str:
    key = ".".join(map(str, details["loc"]))
    if reason := retirement(section, details):
        return reason
    if details["type"] == "extra_forbidden":
        *above, name = map(str, details["loc"])
        owner = _owner(section, above)
        return f"unknown key {key!r}{hint(name, owner.model_fields if owner else ())}{unloaded(section, details)}"
    if details["type"] == "missing":
        return f"missing key {key!r}"
    value = "" if isinstance(details["input"], dict) else f" (found {details['input']!r})"
    if details["type"] == "model_type":
        return f"key {key!r}: expected an object{value}"
    return f"key {key!r}: {details['msg'].removeprefix('Value error, ')}{value}" if key else details["msg"]
