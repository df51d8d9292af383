"""Names of classes and clips that are safe on any disk, and different for different inputs."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MAX_BYTES = 160  # file systems allow 255; temporary names and extensions take some of them
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)  # Windows' devices
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\ud800-\udfff/\\:*?"<>|]')


def safe_name(name: str) -> str:
    """Return a name that stays inside its folder, is not hidden, and is valid on every file system."""
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip().rstrip(". ")
    if text.startswith("."):
        text = "_" + text[1:]
    if _RESERVED.fullmatch(text):
        text = "_" + text
    if len(text.encode()) > MAX_BYTES:
        text = text.encode()[: MAX_BYTES - 9].decode(errors="ignore") + "~" + _digest(name)
    return text or "_"


def unique_names(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return safe names for (name, identity) pairs, in order.

    Names that are equal, also on a disk that ignores case, get a digest of their identity.
    """
    names = [safe_name(name) for name, _ in pairs]
    counts = Counter(name.casefold() for name in names)
    return [
        name if counts[name.casefold()] == 1 else f"{name}~{_digest(identity)}"
        for name, (_, identity) in zip(names, pairs, strict=True)
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
