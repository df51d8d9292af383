"""Changing what a recognizer knows: its classes, its background, what tells them apart, and its encoders."""

from collections.abc import Sequence
from dataclasses import replace as replaced

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.answering import AnsweringRecognizer
from fewshot_audio.recognition.background import background_clips
from fewshot_audio.recognition.changes import (
    AddBackground,
    AddClips,
    Change,
    Ignore,
    KeepAudio,
    Learn,
    MoveClip,
    Remove,
    RemoveBackground,
    Rename,
    Restore,
    enrolled_name,
)
from fewshot_audio.recognition.clips import Clips, LoadedClip
from fewshot_audio.recognition.decision.choose import Head, HeadChoice
from fewshot_audio.recognition.decision.encoder_choice import EncoderCandidate
from fewshot_audio.recognition.encoder_blocks import encoder_names
from fewshot_audio.recognition.encoder_choosing import chosen_encoders
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.enrolled import EnrolledClip, Enrollment, checked_clip_name, checked_name
from fewshot_audio.recognition.kept_audio import MOST_KEPT
from fewshot_audio.recognition.scoring import Rows


class EnrollingRecognizer(AnsweringRecognizer):
    """The part of a ``Recognizer`` that changes what is enrolled. ``rate`` is that of arrays without their own, Hz."""

    def enroll(self, name: str, clips: Clips, *, replace: bool = False, rate: float | None = None) -> Enrollment:
        """Add clips to a class, new or not; with ``replace`` it has only these from now on.

        Args:
            name: of the class.
            clips: one clip or several.
            replace: whether clips that it has are dropped.
            rate: of arrays that come without their own, Hz.

        Raises:
            DataError: the name cannot be one of a class, there is no clip, or a clip cannot be used.
        """
        name = checked_name(name)
        new: list[EnrolledClip] = []
        room = MOST_KEPT - self.audio_bytes
        for clip, rows in self.embedder.embed_clips(clips, rate):
            audio = self._audio.keep(clip, self.preprocessing, room) if self._sounds.keeps_audio else None
            room -= audio.size if audio else 0
            new.append(replaced(self._enrolled(clip, rows), audio=audio))
        if not new:
            raise DataError(f"class {name!r}: no clips to enroll")
        self._change(AddClips(name, tuple(new), replace))
        return Enrollment(name, len(new), sum(clip.segments for clip in new), len(self._sounds.classes[name].clips))

    def remove(self, name: str, clip: str | None = None) -> None:
        """Remove a class, or one clip of it.

        Raises:
            DataError: there is no such class or clip, or it is the class's only clip.
        """
        self._change(Remove(name, clip))

    def rename(self, old: str, new: str) -> None:
        """Give a class another name; its place among the classes stays.

        Raises:
            DataError: there is no class ``old``, or ``new`` is taken or cannot be the name of a class.
        """
        self._change(Rename(old, new))

    def rename_clip(self, name: str, clip: str, new: str) -> None:
        """Give a clip of a class another name.

        Raises:
            DataError: there is no such class or clip, or the new name is blank, too long or taken in the class.
        """
        self._change(MoveClip(name, clip, enrolled_name(self._sounds.classes, name), checked_clip_name(new)))

    def move_clip(self, name: str, clip: str, new_class: str) -> None:
        """Put a clip into another class, new or not; a class whose only clip it was is gone.

        Raises:
            DataError: there is no such class or clip, or ``new_class`` cannot be the name of a class.
        """
        self._change(MoveClip(name, clip, checked_name(new_class), clip))

    def undo(self) -> None:
        """Take the last change of what is enrolled back; up to ``MOST_UNDONE`` changes, one after the other.

        Raises:
            DataError: nothing has been changed since the bundle was read.
        """
        if not self._history:
            raise DataError("nothing to undo: nothing has been changed since the bundle was read")
        change = Restore(self._history.pop(), self._sounds)
        self._held = self._held._replace(sounds=change.apply(self._sounds))
        self._log.add(change)

    def enroll_background(self, clips: Clips, *, replace: bool = False, rate: float | None = None) -> Enrollment:
        """Add recordings of no enrolled class, which are known and never an answer; with ``replace`` only these are.

        Of each, up to ``MOST_KEPT`` segments are kept, at even distances; silent ones are not.

        Returns:
            How many recordings and segments were added, and how many recordings there are now.

        Raises:
            DataError: there is no clip, or one cannot be used.
        """
        new = tuple(
            self._enrolled(clip, rows)
            for loaded in background_clips(clips, self.preprocessing, rate)
            for clip, rows in self.embedder.embed_clips(loaded)
        )
        if not new:
            raise DataError("background: no clips to enroll")
        self._change(AddBackground(new, replace))
        segments = sum(clip.segments for clip in new)
        return Enrollment("background", len(new), segments, len(self._sounds.background))

    def remove_background(self, clip: str | None = None) -> None:
        """Remove a recording from the background, or all of it. Raises DataError if there is no such one."""
        self._change(RemoveBackground(clip))

    def ignore(self, name: str, ignored: bool = True) -> None:
        """Let an enrolled class never be an answer: its sounds are "unknown"; or, if not ``ignored``, again be one.

        Raises:
            DataError: there is no such class.
        """
        self._change(Ignore(name, ignored))

    def keep_audio(self, keeps: bool = True) -> None:
        """Keep the sound of clips that are enrolled from now on, as FLAC in bundles; or keep none: what is kept goes.

        It is what the network hears: at ``sample_rate``, its loudest moment at 0.9 of full scale; at most 16 MB of a
        clip, and 256 MB of all. Without this no sound is kept, and that of the background never is.
        """
        if keeps is not self._sounds.keeps_audio:
            self._change(KeepAudio(keeps))

    def learn(self, lesson: Learn) -> bool:
        """Learn from clips that are embedded already, as an index holds them. Returns whether anything has changed."""
        if lesson.apply(self._sounds) is self._sounds:
            return False
        self._change(lesson)
        return True

    def choose_head(self, head: Head | None = None) -> HeadChoice | None:
        """Measure all heads on the enrolled clips, and decide by the best from now on; or by ``head``, if given.

        A head is chosen when an answer first needs it, and anew when as many clips have come or gone as it was chosen
        on; this is for choosing at another time.

        Returns:
            The measured accuracies; None if the enrolled clips allow for prototypes only.
        """
        sounds, decision = self._held
        return decision.choose(sounds.classes, head)

    def use_encoders(self, names: Sequence[str] | None, *, embed: bool = False) -> None:
        """Decide with frozen encoders of this user from now on; with ``embed`` bundles hold their files.

        Args:
            names: of encoders that are installed, or "onnx:<file>", "tflite:<file>", "run:<run folder>", or the name of
                a shipped recognizer, whose network it is; those are added to this user's encoders. None keeps those of
                the recognizer, which may be installed under other names.
            embed: whether bundles hold their files.

        Raises:
            ConfigError: one is not installed, or not usable, or is a TFLite file that bundles are to hold.
            DataError: clips are enrolled, or a background, that other encoders have embedded.
        """
        if names is None:
            self.encoders = ClipEncoders(self.encoders.descriptions, self.encoders.chosen_by_clips, embed)
            return
        from fewshot_audio.recognition.named_encoders import named_encoder  # which needs torch for runs alone

        encoders = ClipEncoders.of([named_encoder(name) for name in dict.fromkeys(names)], embed=embed)
        if self._sounds.clips and encoders.digests != self.encoders.digests:
            what = "enrolled clips" if self._sounds.classes else "recordings of the background"
            raise DataError(
                f"the {what} were embedded by {self.encoders}, not by {encoders}: enroll "
                "them anew, into another recognizer"
            )
        self.encoders = encoders

    def choose_encoders(self) -> list[EncoderCandidate]:
        """Judge sets of the frozen encoders on the enrolled clips, and decide with the chosen one from now on.

        Returns:
            The candidates; none if the enrolled clips are too few to choose by (a class has one): then no encoder is
            kept.
        """
        candidates, sounds = chosen_encoders(self._sounds, list(self.encoders.descriptions))
        chosen = [encoder_names(candidate.blocks) for candidate in candidates if candidate.is_chosen]
        self.encoders = self.encoders.only(chosen[0] if chosen else [])
        self._held = self._held._replace(sounds=sounds)
        self._history.clear()  # former states have encoders that are left out now
        return candidates

    def _enrolled(self, clip: LoadedClip, rows: Rows) -> EnrolledClip:
        timbre, encoded = clip.timbre(self.preprocessing), clip.encoded(self.encoders, self.preprocessing)
        return EnrolledClip(clip.name, len(clip.segments), rows, clip.silence, timbre, clip.group, encoded)

    def _change(self, change: Change) -> None:
        former = self._sounds
        self._held = self._held._replace(sounds=change.apply(former))
        self._log.add(change)
        self._history.append(former)
        self._audio.trim(self._sounds.kept_audio)
