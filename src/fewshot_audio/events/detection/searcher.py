"""What searches recordings for events, whatever it knows them by."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from fewshot_audio.errors import DataError
from fewshot_audio.events.annotation import Detection
from fewshot_audio.events.write import FileDetections


class Searcher(ABC):
    """Searches recordings for events."""

    def detect(self, path: str | Path) -> list[Detection]:
        """The events in a recording, in order; of marked ones that it was fitted to, none.

        Raises:
            DataError: the recording cannot be used.
        """
        result = self.search(Path(path))
        if result.error is not None:
            raise DataError(f"{path}: {result.error}")
        return list(result.events)

    @abstractmethod
    def search(self, path: Path, report: Callable[[str], None] = lambda _: None) -> FileDetections:
        """The events in a recording; if it cannot be used, the result's ``error`` says why.

        Args:
            path: the recording.
            report: takes the position in a long recording, as text.
        """
