"""The revisions of a server's state: which changes a client has seen when it decides on a class."""

import secrets
from collections.abc import Collection

BASE_BITS = 40  # of the first revision; sums stay exact in a browser


class Revisions:
    """Counts changes, and keeps each class's last one.

    The first revision is drawn at random: one that a client has from an earlier start of the server is not mistaken for
    one of this start.
    """

    def __init__(self) -> None:
        self._first = self.latest = secrets.randbits(BASE_BITS)
        self._of_class: dict[str, int] = {}

    def add(self, changed: Collection[str], enrolled: Collection[str]) -> None:
        """Count a change of the classes ``changed``, after which the classes ``enrolled`` are there."""
        self.latest += 1
        revisions = self._of_class | dict.fromkeys(changed, self.latest)
        self._of_class = {name: revisions[name] for name in enrolled if name in revisions}

    def is_current(self, name: str, revision: int) -> bool:
        """Whether the class that a client saw at a revision is the class of that name now."""
        return self._of_class.get(name, self._first) <= revision <= self.latest
