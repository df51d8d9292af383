"""Registries: the parts of each kind (encoders, losses, sources, ...) by name, built in or from outside.

A built-in part is a name, a config section and "module:Class", so that configs are read without importing it. A part
from outside registers itself by a decorator, when the module that holds it is imported.
"""

import difflib
import importlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from fewshot_audio.config.base import Section
from fewshot_audio.config.plugins import VARIABLE, installed_plugins, is_named, named_packages
from fewshot_audio.errors import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Part:
    """A part of some kind.

    Attributes:
        name: by which configs, and the section of its own in them, call it.
        section: the class of its config section; None if it has no options.
        target: "module:Class" of what makes it, or that itself, if it is loaded already.
    """

    name: str
    section: type[Section] | None
    target: str | Callable[..., Any]

    def load(self) -> Callable[..., Any]:
        """The class or function that makes the part."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        loaded: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return loaded


class Registry:
    """The parts of one kind.

    Args:
        kind: what messages call such a part, such as "encoder".
        parts: the built-in ones.
    """

    def __init__(self, kind: str, parts: Iterable[Part] = ()) -> None:
        self.kind = kind
        self.built_in = {part.name: part for part in parts}
        self._outside: dict[str, Part] = {}

    @property
    def names(self) -> list[str]:
        """Names of the built-in parts and of those from outside that are loaded."""
        return [*self.built_in, *self._outside]

    def register(self, section: type[Section] | None = None, name: str | None = None) -> Callable[[T], T]:
        """A decorator that registers a class or function from outside.

        Args:
            section: class of its config section, whose keys are its keyword arguments; None for a part without options.
            name: by which configs may call it, beside "module:Class"; default: its own name.

        Raises:
            ConfigError: another part of this kind has the name.
        """

        def decorate(target: T) -> T:
            part = Part(name or target.__name__, section, target)
            former = self._outside.get(part.name) or self.built_in.get(part.name)
            if former and _reference(former.target) != _reference(target):
                raise ConfigError(
                    f"{self.kind} {part.name!r} of {_reference(target)} has the name of another one, "
                    f"{_reference(former.target)}: give it a name= of its own"
                )
            self._outside[part.name] = part
            return target

        return decorate

    def find(self, reference: str) -> Part:
        """The part of a name or of "package.module:Class". What is not built in is imported if its package is named.

        Raises:
            ConfigError: there is no such part, or it is one from outside whose package nobody has named.
        """
        if part := self.built_in.get(reference) or self._outside.get(reference):
            return part
        if ":" in reference:
            return self._import(reference)
        for package in dict.fromkeys([*named_packages(), *installed_plugins()]):
            point = installed_plugins().get(package)
            _import_module(point.module if point else package, f"--plugin {package}")
        if part := self._outside.get(reference):
            return part
        near = difflib.get_close_matches(reference, self.names, n=1)
        raise ConfigError(
            f"there is no {self.kind} {reference!r}"
            + (f", did you mean {near[0]!r}?" if near else "")
            + f" Known: {', '.join(map(repr, self.names))}. One from outside is named as 'package.module:Class', "
            "or by its own name if its package is loaded: --plugin PACKAGE"
        )

    def _import(self, reference: str) -> Part:
        module_name, _, attribute = reference.partition(":")
        package = module_name.partition(".")[0]
        if not all(name.isidentifier() for name in (*module_name.split("."), attribute)):
            raise ConfigError(f"{self.kind} {reference!r} is no reference to a part: expected 'package.module:Class'")
        if not is_named(package):
            raise ConfigError(
                f"{self.kind} {reference!r} is code from outside of fewshot-audio, which runs only if you name its "
                f"package: --plugin {package} (or the variable {VARIABLE})"
            )
        target = getattr(_import_module(module_name, f"{self.kind} {reference!r}"), attribute, None)
        for part in self._outside.values():
            if target is not None and part.target is target:
                return part
        what = "is not there" if target is None else f"is not registered as one: decorate it with register_{self._name}"
        raise ConfigError(f"{self.kind} {reference!r} {what}")

    @property
    def _name(self) -> str:
        return self.kind.replace(" ", "_")


def _reference(target: str | Callable[..., Any]) -> str:
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


def _import_module(name: str, origin: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # it is code of others: whatever it raises is reported as theirs
        log.info("importing %s failed", name, exc_info=True)
        if isinstance(error, ModuleNotFoundError) and error.name and name.startswith(error.name):
            reason = "there is no such module on Python's path (PYTHONPATH; the current folder is not on it)"
        else:
            reason = f"importing it failed: {type(error).__name__}: {error} (--verbose shows where)"
        raise ConfigError(f"{origin}: {name}: {reason}") from error
