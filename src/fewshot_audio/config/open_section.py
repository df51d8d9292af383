"""Sections that also hold the sections of parts from outside, which are known once these are registered."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, ModelWrapValidatorHandler, create_model, model_validator

from fewshot_audio.config.base import Section
from fewshot_audio.config.registry import Registry
from fewshot_audio.errors import ConfigError


class OpenSection(Section):
    """A section with a key for each part of a registry: fields for the built-in ones, and those from outside.

    A value that holds keys of parts from outside is read as a subclass with fields for them (``including``), so that
    they are checked and listed as all others are. A field of such a section is a ``SerializeAsAny``: without it, what a
    subclass adds is not written.
    """

    parts: ClassVar[Registry]
    """The parts whose sections may stand here under their names."""
    references: ClassVar[bool] = False
    """Whether a key may also be "package.module:Class"."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if "parts" in vars(cls):
            cls.parts.reserved |= {*dir(cls), *cls.model_fields} - set(cls.parts.built_in)

    @classmethod
    def including(cls, keys: Iterable[str]) -> type[Self]:
        """This class with fields for those keys that are parts from outside; other keys stay unknown."""
        fields = {key: field for key in keys if key not in cls.model_fields and (field := cls._field(key)) is not None}
        return _extended(cls, tuple(sorted(fields.items()))) if fields else cls

    @classmethod
    def _field(cls, key: str) -> Any:
        """Type of the field for a key; None if it is no part from outside."""
        try:
            if ":" not in key:
                part = cls.parts.get(key)
            elif cls.references:
                part = cls.parts.find(key)
            else:
                return None
        except ConfigError as error:
            return Annotated[Any, BeforeValidator(_Refusal(str(error)))]
        return part.section if part and part.name not in cls.parts.built_in else None

    @model_validator(mode="wrap")
    @classmethod
    def _include(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        extended = cls.including(values) if isinstance(values, dict) else cls
        return handler(values) if extended is cls else extended.model_validate(values)

    def __reduce__(self) -> Any:
        """Pickle the values: a class that was made for parts from outside cannot be imported by its name."""
        standard = next(base for base in type(self).__mro__ if "parts" in vars(base))
        return _read, (standard, self.model_dump())


@dataclass(frozen=True)
class _Refusal:
    reason: str

    def __call__(self, value: Any) -> Any:
        raise ValueError(self.reason)


@lru_cache
def _extended(section: type[OpenSection], fields: tuple[tuple[str, Any], ...]) -> Any:
    # Equal fields give the same class, without which equal configs would not be equal.
    definitions: dict[str, Any] = {key: (field, ...) for key, field in fields}
    return create_model(section.__name__, __base__=section, **definitions)


def _read(section: type[OpenSection], values: dict[str, Any]) -> OpenSection:
    return section.model_validate(values)
