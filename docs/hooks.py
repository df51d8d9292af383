"""Parts of the pages that are generated from the code when the site is built: config keys and commands."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from fewshot_audio.cli import app
from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE, ExperimentConfig, ModelConfig, read_json

EXAMPLES = Path(__file__).parents[1] / "config"
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}
CITATION = re.compile(r"\(([A-Z][^()]*?\d{4}[a-z]?)\)")
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")  # a link to a file outside of the site
TYPES: dict[Any, str] = {int: "integer", float: "number", str: "text", bool: "true or false", dict: "object"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace a page's placeholders by what is generated, and links that leave the site by their text."""
    for placeholder, generate in PLACEHOLDERS.items():
        if f"<!-- {placeholder} -->" in markdown:
            markdown = markdown.replace(f"<!-- {placeholder} -->", generate())
    return OUTSIDE.sub(r"\1", markdown)


def config_keys(section: type[BaseModel], paper: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield a section's heading, purpose and table of keys, then the sections inside it.

    Args:
        section: the model of the section.
        paper: what the example file of the paper's system holds of this section.
        prefix: the section's dotted name with a final dot; empty for the whole file.
    """
    if prefix:
        yield f"### {prefix.removesuffix('.')}"
        yield (section.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    lines = ["| key | type and range | default | effect | source |", "|---|---|---|---|---|"]
    subsections: list[tuple[type[BaseModel], Mapping[str, Any], str]] = []
    for name, field in section.model_fields.items():
        subsection = section_of(field.annotation)
        if subsection:
            subsections.append((subsection, paper.get(name, {}), f"{prefix}{name}."))
            continue
        source = CITATION.search(field.description or "") or CITATION.search(section.__doc__ or "")
        cells = (
            f"`{prefix}{name}`",
            type_and_range(field),
            default(field),
            " ".join((field.description or "").split()),
            source[1] if source else "the paper's system" if name in paper else "this project",
        )
        lines.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    yield "\n".join(lines)
    for arguments in subsections:
        yield from config_keys(*arguments)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field of this type holds, if it holds one."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def type_and_range(field: FieldInfo) -> str:
    """Type and range in words."""
    return ", ".join([type_name(field.annotation), *bounds(field.metadata)])


def bounds(metadata: Any) -> Iterator[str]:
    """Yield the limits among a type's metadata."""
    for item in metadata:
        for name, sign in BOUNDS.items():
            limit = getattr(item, name, None)
            if limit is not None:
                yield f"{sign} {limit:g}"
        if isinstance(item, FieldInfo):
            yield from bounds(item.metadata)


def type_name(annotation: Any) -> str:
    """The name of a type in JSON's terms."""
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
    """The default in JSON."""
    if field.is_required():
        return "required"
    return f"`{json.dumps(field.get_default(call_default_factory=True))}`"


def commands() -> Iterator[str]:
    """Yield a heading and the help text of every command."""
    top = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    names = [(name,) for name in top] + [(name, below) for name in top for below in getattr(top[name], "commands", ())]
    for words in sorted(names):
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="fewshot-audio", env={"NO_COLOR": "1"})
        yield f"## {' '.join(words)}"
        yield f"```text\n{result.output.strip()}\n```"


def escape(text: str) -> str:
    """Escape what would end a table cell or start a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


PLACEHOLDERS: dict[str, Callable[[], str]] = {
    "keys: experiment": lambda: "\n\n".join(config_keys(ExperimentConfig, read_json(EXAMPLES / EXPERIMENT_FILE))),
    "keys: model": lambda: "\n\n".join(config_keys(ModelConfig, read_json(EXAMPLES / MODEL_CONFIG_FILE))),
    "commands": lambda: "\n\n".join(commands()),
}
