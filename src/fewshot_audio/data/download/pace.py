"""A least rate for transfers: a server that sends a byte now and then is given up, whatever part it is sending."""

import io
from collections.abc import Callable
from http.client import HTTPResponse
from socket import socket
from typing import Any


class TooSlow(TimeoutError):
    """Too few bytes of the file arrived in a while."""


class Pace:
    """Watches one attempt to receive a file; time passes from the moment it is made.

    Args:
        bytes_per_second: least mean rate in each window.
        window_seconds: length of a window.
        clock: seconds that never go back.
    """

    def __init__(self, bytes_per_second: float, window_seconds: float, clock: Callable[[], float]) -> None:
        self._least = bytes_per_second * window_seconds
        self._seconds = window_seconds
        self._clock = clock
        self._begin = clock()
        self._bytes = 0

    def count(self, received: int) -> None:
        """Count bytes of the file; headers and the like are none."""
        self._bytes += received

    def check(self) -> None:
        """End a window if it is over. Raises TooSlow if too little arrived in it."""
        seconds = self._clock() - self._begin
        if seconds < self._seconds:
            return
        if self._bytes < self._least:
            raise TooSlow(
                f"{self._bytes:,} bytes of the file arrived in {seconds:.0f} s, expected at least "
                f"{self._least:,.0f} in {self._seconds:g} s"
            )
        self._begin += seconds
        self._bytes = 0


class PacedResponse(HTTPResponse):
    """An answer whose every read from the network checks the pace first: those of status line and headers, too."""

    def __init__(self, sock: socket, *arguments: Any, pace: Pace, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_PacedReader(self.fp.detach(), pace))


class _PacedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, pace: Pace) -> None:
        self._raw = raw
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._pace.check()
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
