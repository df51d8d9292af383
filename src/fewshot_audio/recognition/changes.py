"""Changes to what is enrolled, as values: made here, and made again on a state that another program saved."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.enrolled import EnrolledClass, EnrolledClip, EnrolledSounds, add_clips, checked_name

MOST_UNDONE = 100
"""Changes that can be taken back."""
NO_BACKGROUND = "no background is enrolled"


@dataclass(frozen=True)
class AddClips:
    """Add clips to a class, new or not; or give it only these."""

    name: str
    clips: tuple[EnrolledClip, ...]
    replace: bool

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change."""
        classes = sounds.classes
        former = classes[self.name].clips if self.name in classes and not self.replace else ()
        return replace(sounds, classes={**classes, self.name: EnrolledClass.of(add_clips(former, self.clips))})


@dataclass(frozen=True)
class Remove:
    """Remove a class, or one clip of it."""

    name: str
    clip: str | None

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change. Raises DataError if there is no such class or clip, or it is the only one."""
        classes = sounds.classes
        own = enrolled_name(classes, self.name)
        clips = classes[own].clips
        if self.clip is None:
            rest_of_classes = {name: value for name, value in classes.items() if name != own}
            return replace(sounds, classes=rest_of_classes, ignored=sounds.ignored - {own})
        rest = tuple(clip for clip in clips if clip.name != self.clip)
        if len(rest) == len(clips):
            raise DataError(no_clip(own, clips, self.clip))
        if not rest:
            raise DataError(f"{self.clip!r} is the only clip of class {own!r}: remove the class instead")
        return replace(sounds, classes={**classes, own: EnrolledClass.of(rest)})


@dataclass(frozen=True)
class Rename:
    """Give a class another name; its place among the classes stays."""

    old: str
    new: str

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change. Raises DataError if ``old`` is not enrolled, or ``new`` cannot be its name."""
        classes = sounds.classes
        old, new = enrolled_name(classes, self.old), checked_name(self.new)
        if new != old and new in classes:
            raise DataError(f"class {new!r} is enrolled already: remove it first")
        renamed = {new if name == old else name: value for name, value in classes.items()}
        ignored = frozenset(new if name == old else name for name in sounds.ignored)
        return replace(sounds, classes=renamed, ignored=ignored)


@dataclass(frozen=True)
class AddBackground:
    """Add recordings to the background; or let it be only these."""

    clips: tuple[EnrolledClip, ...]
    replace: bool

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change."""
        former = () if self.replace else sounds.background
        return replace(sounds, background=add_clips(former, self.clips))


@dataclass(frozen=True)
class RemoveBackground:
    """Remove a recording from the background, or all of it."""

    clip: str | None

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change. Raises DataError if there is no such recording, or none at all."""
        rest = tuple(clip for clip in sounds.background if self.clip is not None and clip.name != self.clip)
        if len(rest) == len(sounds.background):
            names = ", ".join(clip.name for clip in sounds.background) or "nothing"
            raise DataError(f"the background has no clip {self.clip!r}; it has {names}" if self.clip else NO_BACKGROUND)
        return replace(sounds, background=rest)


@dataclass(frozen=True)
class Ignore:
    """Let a class be an answer no longer, or again."""

    name: str
    ignored: bool

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change. Raises DataError if there is no such class."""
        own = enrolled_name(sounds.classes, self.name)
        return replace(sounds, ignored=sounds.ignored | {own} if self.ignored else sounds.ignored - {own})


@dataclass(frozen=True)
class KeepAudio:
    """Let the sound of clips be kept from now on; or no longer, and what is kept goes."""

    keeps: bool

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change."""
        return replace(sounds if self.keeps else sounds.without_audio(), keeps_audio=self.keeps)


@dataclass(frozen=True)
class MoveClip:
    """Give a clip of a class another name, or put it into another class, new or not."""

    name: str
    clip: str
    new_class: str
    new_clip: str

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change; a class without clips is gone. Raises DataError if there is no such clip."""
        classes = sounds.classes
        own = enrolled_name(classes, self.name)
        clips = classes[own].clips
        if self.clip not in [clip.name for clip in clips]:
            raise DataError(no_clip(own, clips, self.clip))
        if own == self.new_class:
            others = {clip.name for clip in clips} - {self.clip}
            if self.new_clip in others:
                raise DataError(f"class {own!r} has a clip {self.new_clip!r} already")
            renamed = (replace(clip, name=self.new_clip) if clip.name == self.clip else clip for clip in clips)
            return replace(sounds, classes={**classes, own: EnrolledClass.of(tuple(renamed))})
        moved = tuple(replace(clip, name=self.new_clip) for clip in clips if clip.name == self.clip)
        added = AddClips(self.new_class, moved, replace=False).apply(sounds)
        return Remove(own, self.clip if len(clips) > 1 else None).apply(added)


@dataclass(frozen=True)
class Restore:
    """Let what differs between two states be as it was in the former; all else stays."""

    former: EnrolledSounds
    latter: EnrolledSounds

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change."""
        former, latter = self.former, self.latter
        names = {**former.classes, **latter.classes}
        changed = [name for name in names if former.classes.get(name) is not latter.classes.get(name)]
        classes = dict(sounds.classes)
        for name in changed:
            classes.pop(name, None)
            if name in former.classes:
                classes[name] = former.classes[name]
        order = [name for name in former.classes if name in classes]
        order += [name for name in classes if name not in former.classes]
        was_ignored, is_ignored = former.ignored, latter.ignored
        ignored = (sounds.ignored - (is_ignored - was_ignored)) | (was_ignored - is_ignored)
        return replace(
            sounds,
            classes={name: classes[name] for name in order},
            background=sounds.background if former.background is latter.background else former.background,
            ignored=frozenset(name for name in ignored if name in classes),
            keeps_audio=sounds.keeps_audio if former.keeps_audio is latter.keeps_audio else former.keeps_audio,
        )


@dataclass(frozen=True)
class Learn:
    """Let clips of one origin, such as a review, be where they are said to be, and nowhere else; others stay.

    Args:
        names: of all clips of that origin, those that are left out now among them.
        classes: which of them belong to which class, new or not, by ``checked_name``.
        background: which of them belong to the background.
    """

    names: frozenset[str]
    classes: Mapping[str, tuple[EnrolledClip, ...]]
    background: tuple[EnrolledClip, ...]

    def apply(self, sounds: EnrolledSounds) -> EnrolledSounds:
        """The sounds with this change; a class without clips is gone. The same object if nothing changes."""
        classes: dict[str, EnrolledClass] = {}
        for name in {**sounds.classes, **self.classes}:
            former = sounds.classes[name].clips if name in sounds.classes else ()
            clips = self._joined(former, self.classes.get(name, ()))
            if clips:
                classes[name] = sounds.classes[name] if clips is former else EnrolledClass.of(clips)
        background = self._joined(sounds.background, self.background)
        same = classes.keys() == sounds.classes.keys() and all(
            classes[name] is sounds.classes[name] for name in classes
        )
        if same and background is sounds.background:
            return sounds
        ignored = frozenset(sounds.ignored & classes.keys())
        return replace(sounds, classes=classes, background=background, ignored=ignored)

    def _joined(self, former: tuple[EnrolledClip, ...], clips: tuple[EnrolledClip, ...]) -> tuple[EnrolledClip, ...]:
        wanted = {clip.name for clip in clips}
        kept = tuple(clip for clip in former if clip.name not in self.names or clip.name in wanted)
        there = {clip.name for clip in kept}
        new = tuple(clip for clip in clips if clip.name not in there)
        return former if len(kept) == len(former) and not new else kept + new


Change: TypeAlias = (
    AddClips | Remove | Rename | AddBackground | RemoveBackground | Ignore | KeepAudio | MoveClip | Learn | Restore
)


def no_clip(name: str, clips: Iterable[EnrolledClip], clip: str) -> str:
    """The message that a class does not have a clip."""
    return f"class {name!r} has no clip {clip!r}; it has {', '.join(own.name for own in clips)}"


def enrolled_class(classes: Mapping[str, EnrolledClass], name: str) -> EnrolledClass:
    """The class of that name. Raises DataError if there is none."""
    return classes[enrolled_name(classes, name)]


def enrolled_name(classes: Collection[str], name: str) -> str:
    """The name of an enrolled class as it is written there. Raises DataError if there is none of that name."""
    for own in (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        if own in classes:
            return own
    raise DataError(f"class {name!r} is not enrolled (enrolled: {', '.join(map(repr, classes)) or 'none'})")
