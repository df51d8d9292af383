"""Registries: the parts of each kind (encoders, losses, sources, ...) by name, built in or from outside.

A built-in part is a name, a config section and "module:Class", so that configs are read without importing it. A part
from outside registers itself by a decorator, when the module that holds it is imported.
"""

import difflib
import importlib
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from fewshot_audio.config.base import Section
from fewshot_audio.config.plugins import ENTRY_POINTS, VARIABLE, installed_plugins, is_named, named_packages
from fewshot_audio.errors import ConfigError, FewShotError

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

    def make(self, *arguments: Any, **options: Any) -> Any:
        """Call what makes the part.

        Raises:
            ConfigError: it is one from outside, and its code fails; what a built-in one raises is raised as it is.
        """
        if isinstance(self.target, str):
            return self.load()(*arguments, **options)
        try:
            return self.target(*arguments, **options)
        except FewShotError:
            raise
        except Exception as error:  # it is code of others: whatever it raises is reported as theirs
            log.info("making %s failed", self.name, exc_info=True)
            raise ConfigError(
                f"{_reference(self.target)}: making it failed: {type(error).__name__}: {error} (--verbose shows where)"
            ) from error


class Registry:
    """The parts of one kind.

    Args:
        kind: what messages call such a part, such as "encoder".
        parts: the built-in ones.
        keys: what the section of each part must have.
        members: attributes and methods that each part must have.
    """

    def __init__(
        self, kind: str, parts: Iterable[Part] = (), keys: Iterable[str] = (), members: Iterable[str] = ()
    ) -> None:
        self.kind = kind
        self.keys = tuple(keys)
        self.members = tuple(members)
        self.built_in = {part.name: part for part in parts}
        self.reserved: set[str] = set()  # names that mean something else where the sections of the parts stand
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
            ConfigError: the name cannot be used or another part of this kind has it, or the part or its section lacks
                what the kind needs; the decorator stands there without parentheses, so that it got the part itself.
        """
        for given, is_right in ((section, _is_section(section)), (name, isinstance(name, str))):
            if given is not None and not is_right:
                raise ConfigError(
                    f"register_{self._name} got {given!r}, which is no Section or name: does the decorator lack its "
                    "parentheses?"
                )

        def decorate(target: T) -> T:
            part = Part(name or target.__name__, section, target)
            if part.name in self.reserved or not re.fullmatch(r"[^\W\d_][\w-]*", part.name):
                raise ConfigError(
                    f"{self.kind} {part.name!r} of {_reference(target)}: the name is taken or begins with no letter: "
                    "give it another one, name="
                )
            missing = [key for key in self.keys if section is None or key not in section.model_fields]
            if missing:
                keys = f"only {', '.join(section.model_fields) or 'no keys'}" if section else "no section"
                raise ConfigError(
                    f"{self.kind} {part.name!r} of {_reference(target)}: its section needs {missing[0]!r}, found {keys}"
                )
            absent = [member for member in self.members if not hasattr(target, member)]
            if absent:
                raise ConfigError(
                    f"{self.kind} {part.name!r} of {_reference(target)} has no {', '.join(absent)}; "
                    f"each has {', '.join(self.members)}"
                )
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
        """The part of a name or of "package.module:Class". What is not loaded yet is imported if its package is named.

        Raises:
            ConfigError: there is no such part, or it is one from outside whose package nobody has named.
        """
        if ":" in reference:
            return self._import(reference)
        if part := self.get(reference):
            return part
        near = difflib.get_close_matches(reference, self.names, n=1)
        raise ConfigError(
            f"there is no {self.kind} {reference!r}"
            + (f", did you mean {near[0]!r}?" if near else ".")
            + f" Known: {', '.join(map(repr, self.names)) or 'none'}. One from outside is named as "
            "'package.module:Class', or by its own name if its package is loaded: --plugin PACKAGE"
        )

    def get(self, name: str) -> Part | None:
        """The part of a name, if there is one; for one that is not registered yet, the named packages are imported.

        Raises:
            ConfigError: importing one of them fails.
        """
        if part := self.built_in.get(name) or self._outside.get(name):
            return part
        for package in named_packages():
            _import_module(package, f"--plugin {package}")
        for package, modules in installed_plugins().items():
            for module in modules:
                _import_module(module, f"entry point of {package} in {ENTRY_POINTS}")
        return self._outside.get(name)

    def _import(self, reference: str) -> Part:
        module_name, _, attribute = reference.partition(":")
        package = module_name.partition(".")[0]
        if not all(name.isidentifier() for name in (*module_name.split("."), attribute)):
            raise ConfigError(f"{self.kind} {reference!r} is no reference to a part: expected 'package.module:Class'")
        for part in self._outside.values():
            if _reference(part.target) == reference:  # the user's own program has imported it
                return part
        for part in self.built_in.values():
            if part.target == reference:
                raise ConfigError(f"{self.kind} {reference!r} is built in: call it {part.name!r}")
        if not is_named(package):
            raise ConfigError(
                f"{self.kind} {reference!r} is code from outside of fewshot-audio, which runs only if you name its "
                f"package: --plugin {package} (or the variable {VARIABLE})"
            )
        target = getattr(_import_module(module_name, f"{self.kind} {reference!r}"), attribute, None)
        for part in self._outside.values():
            if target is not None and part.target is target:
                return part
        if target is not None:
            what = f"is not registered as one: decorate it with register_{self._name}"
        else:
            here = [name for name, part in self._outside.items() if part.target.__module__ == module_name]
            what = f"is not there; {module_name} registers {', '.join(here) or 'none'}"
        raise ConfigError(f"{self.kind} {reference!r} {what}")

    @property
    def _name(self) -> str:
        return self.kind.replace(" ", "_")


def _is_section(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Section)


def _reference(target: str | Callable[..., Any]) -> str:
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


def _import_module(name: str, origin: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # it is code of others: whatever it raises is reported as theirs
        log.info("importing %s failed", name, exc_info=True)
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            reason = "there is no such module on Python's path (PYTHONPATH=. adds the current folder)"
        else:
            reason = f"importing it failed: {type(error).__name__}: {error} (--verbose shows where)"
        raise ConfigError(f"{origin}: {name}: {reason}") from error
