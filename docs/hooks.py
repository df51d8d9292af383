"""What is made from the code when the site is built, so that it cannot fall behind: config keys, commands, rooms."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from fewshot_audio.cli import app
from fewshot_audio.config import ExperimentConfig, ModelConfig

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}
CITATION = re.compile(r"\(([A-Z][^()]*?\d{4}[a-z]?)\)")
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")  # a link to a file that is no page
TYPES: dict[Any, str] = {int: "integer", float: "number", str: "text", bool: "true or false", dict: "object"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is generated where a page asks for it; links that leave the site become their text."""
    for place, make in PLACES.items():
        if f"<!-- {place} -->" in markdown:
            markdown = markdown.replace(f"<!-- {place} -->", make())
    return OUTSIDE.sub(r"\1", markdown)


def config_keys(section: type[BaseModel], prefix: str = "", paper: bool = True) -> Iterator[str]:
    """A heading, what the section is for, and a table of its keys; then the sections inside it."""
    if prefix:
        yield f"### {prefix.removesuffix('.')}"
        yield (section.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    lines = ["| key | type and range | default | effect | source |", "|---|---|---|---|---|"]
    inner: list[tuple[type[BaseModel], str, bool]] = []
    for name, field in section.model_fields.items():
        ours = not paper or not field.is_required()
        below = subsection(field.annotation)
        if below:
            inner.append((below, f"{prefix}{name}.", not ours))
            continue
        source = CITATION.search(field.description or "") or CITATION.search(section.__doc__ or "")
        cells = (
            f"`{prefix}{name}`",
            kind(field),
            default(field),
            field.description or "",
            source[1] if source else "this project" if ours else "the paper's system",
        )
        lines.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    yield "\n".join(lines)
    for below, place, from_paper in inner:
        yield from config_keys(below, place, from_paper)


def subsection(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, if it holds one."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def kind(field: FieldInfo) -> str:
    """Type and range in words."""
    return ", ".join([type_name(field.annotation), *bounds(field.metadata)])


def bounds(metadata: Any) -> Iterator[str]:
    """The limits among a type's metadata."""
    for item in metadata:
        for name, sign in BOUNDS.items():
            limit = getattr(item, name, None)
            if limit is not None:
                yield f"{sign} {limit:g}"
        if isinstance(item, FieldInfo):
            yield from bounds(item.metadata)


def type_name(annotation: Any) -> str:
    """A type as a reader of JSON knows it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(json.dumps(value) for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join("null" if part is NoneType else type_name(part) for part in arguments)
    if hasattr(annotation, "__metadata__"):  # Annotated, inside of another type
        return " ".join([type_name(annotation.__origin__), *bounds(annotation.__metadata__)])
    if origin is list:
        return f"list of ({type_name(arguments[0])})"
    return TYPES.get(origin or annotation) or str(annotation)


def default(field: FieldInfo) -> str:
    """The default as JSON writes it."""
    if field.is_required():
        return "required"
    return f"`{json.dumps(field.get_default(call_default_factory=True))}`"


def commands() -> Iterator[str]:
    """What every command says of itself."""
    for name in sorted(typer.main.get_command(app).commands):  # type: ignore[attr-defined]
        shown = CliRunner().invoke(app, [name, "--help"], prog_name="fewshot-audio", env={"NO_COLOR": "1"})
        yield f"## {name}"
        yield f"```text\n{shown.output.strip()}\n```"


def rooms() -> Iterator[str]:
    """The table of rooms from CONTRIBUTING.md."""
    yield CONTRIBUTING.read_text(encoding="utf-8").partition("## The rooms\n")[2].partition("\n## ")[0].strip()


def escape(text: str) -> str:
    """Keep a cell a cell."""
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


def joined(parts: Callable[[], Iterator[str]]) -> Callable[[], str]:
    """Paragraphs as a page has them."""
    return lambda: "\n\n".join(parts())


PLACES = {
    "keys: experiment": joined(lambda: config_keys(ExperimentConfig)),
    "keys: model": joined(lambda: config_keys(ModelConfig)),
    "commands": joined(commands),
    "rooms": joined(rooms),
}
