"""Names in untrusted archives: inside the folder, valid on every disk, and each once, also where case is ignored."""

import re
import unicodedata
from pathlib import Path

from fewshot_audio.data.download.archive_errors import RefusedArchive

LONGEST_PART = 255  # bytes of the name of a file or folder: more fits on no common disk
LONGEST_NAME = 1000  # bytes of all parts: with the target's own path, what systems take is 1,024 to 4,096
DEEPEST = 32  # folders inside one another
LARGEST_NAMES = 64 << 20  # characters of all names, which are kept until the end
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)  # devices on Windows
OUTSIDE = re.compile(r"/|[A-Za-z]:")


class MemberNames:
    """The names of an archive's members; each is checked against the rules and against those before it."""

    def __init__(self, archive: Path, max_members: int) -> None:
        """Begin with an archive, which messages name; folders count as members, whether they are listed or not."""
        self._archive = archive
        self._max_members = max_members
        self._spellings: dict[str, str] = {}  # identity -> name; those of folders end in "/"
        self._characters = 0

    def add(self, name: str, is_folder: bool) -> tuple[str, ...]:
        """Check one more name.

        Args:
            name: as the archive has it, with "/" between folders.
            is_folder: whether it is a folder's name.

        Returns:
            Its folders and its file; nothing for the archive's own folder.

        Raises:
            RefusedArchive: the name leads outside the archive's folder, is not valid on every disk, is too long, or is
                the name of another member; or there are too many.
        """
        parts = self._split(name)
        if not parts and not is_folder:
            raise RefusedArchive(f"{self._archive}: member {name!r} has no name, refused")
        path = ""
        for number, part in enumerate(parts, 1):
            path += part if number == len(parts) and not is_folder else f"{part}/"
            self._enter(path)
        return parts

    def _enter(self, path: str) -> None:
        identity = _identity(path.rstrip("/"))
        before = self._spellings.get(identity)
        if before is None:
            self._characters += len(path)
            if len(self._spellings) >= self._max_members or self._characters > LARGEST_NAMES:
                raise RefusedArchive(
                    f"{self._archive}: has more than {self._max_members:,} members, or {LARGEST_NAMES:,} characters of "
                    "names, refused"
                )
            self._spellings[identity] = identity if path == identity else path
        elif before == path and not path.endswith("/"):
            raise RefusedArchive(f"{self._archive}: member {path!r} is there twice, refused")
        elif before.rstrip("/") == path.rstrip("/") and before != path:
            raise RefusedArchive(f"{self._archive}: {path.rstrip('/')!r} is a file and a folder, refused")
        elif before != path:
            raise RefusedArchive(
                f"{self._archive}: {before!r} and {path!r} are one name on disks that ignore case or the way in which "
                "accents are written, refused"
            )

    def _split(self, name: str) -> tuple[str, ...]:
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if OUTSIDE.match(name) or "\\" in name or ".." in parts:
            self._refuse(name, "leads outside the archive's folder")
        if not (name.isascii() and name.isprintable()):
            categories = {unicodedata.category(character) for character in name}
            if "Cs" in categories:  # how tarfile reads bytes that are not text
                self._refuse(name, "is not UTF-8")
            if categories & {"Cc", "Zl", "Zp"}:
                self._refuse(name, "has control characters in its name")
        if len(parts) > DEEPEST:
            self._refuse(name, f"is more than {DEEPEST} folders deep")
        if len(name.encode()) > LONGEST_NAME or any(len(part.encode()) > LONGEST_PART for part in parts):
            self._refuse(name, f"has a name of more than {LONGEST_PART} bytes, or {LONGEST_NAME} with its folders")
        for part in parts:
            if RESERVED.fullmatch(part) or part[-1] in ". " or re.search(r'[<>:"|?*]', part):
                self._refuse(name, f"has a name that is not valid on every system ({part!r})")
        return parts

    def _refuse(self, name: str, reason: str) -> None:
        excerpt = name if len(name) <= LONGEST_PART else name[:LONGEST_PART] + "..."
        raise RefusedArchive(f"{self._archive}: member {excerpt!r} {reason}, refused")


def _identity(path: str) -> str:
    """Return what is equal for names that are one on some disk (canonical caseless matching of Unicode)."""
    if path.isascii():
        return path.lower()
    caseless = unicodedata.normalize("NFD", path).casefold()
    return unicodedata.normalize("NFD", caseless)
