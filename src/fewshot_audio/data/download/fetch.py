"""Fetch one file over http or https: resumable, with a limited number of attempts, a least rate and a limited size.

Its own code, because archives have up to 24 GB: pooch (1.9) begins each attempt with the first byte, bounds neither
size nor rate, and follows redirects from https to http. huggingface_hub (2.4) continues without asking whether the file
is still of the same version (If-Range), and bounds neither.
"""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, responses
from pathlib import Path
from urllib.error import HTTPError, URLError

from fewshot_audio import __version__
from fewshot_audio.data.download.addresses import shown_address, shown_text
from fewshot_audio.data.download.answer import Discontinued, Version, check_coding, range_end, version_name
from fewshot_audio.data.download.http import open_url
from fewshot_audio.data.download.pace import Pace, TooSlow
from fewshot_audio.data.download.partial_file import PartialFile
from fewshot_audio.errors import DataError
from fewshot_audio.files import explained_writes

CHUNK = 1 << 18
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that may change soon
HEADERS = {"User-Agent": f"fewshot-audio/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class RetryPolicy:
    """How often a transfer is attempted, and how slow it may be.

    With the defaults a server from which less than a kilobyte a second arrives is given up after about 7 minutes.

    Attributes:
        tries: number of consecutive attempts without progress after which the transfer fails.
        step: number of bytes that count as progress.
        stall_seconds: an attempt fails if nothing arrives for this long.
        least_rate: an attempt fails if fewer bytes a second than this arrive on average in a window.
        window_seconds: length of a window.
        first_delay: seconds of the first pause between attempts; each following pause is twice as long.
        clock: seconds that never go back.
    """

    tries: int = 6
    step: int = 1 << 20
    stall_seconds: float = 60.0
    least_rate: float = 1000.0
    window_seconds: float = 60.0
    first_delay: float = 2.0
    clock: Callable[[], float] = time.monotonic


class Stopped(Exception):
    """The caller stopped a transfer; the received bytes are kept."""


class _TemporaryError(Exception):
    """An attempt failed, but another one may succeed."""


@dataclass(frozen=True)
class _Transfer:
    """The state that all attempts to fetch a file share; see ``fetch``."""

    part: PartialFile
    shown_url: str
    limit: int
    retry: RetryPolicy
    on_bytes: Callable[[int], None]
    stop: threading.Event


def fetch(
    url: str,
    target: Path,
    *,
    limit: int,
    retry: RetryPolicy = RetryPolicy(),
    on_bytes: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Fetch ``url`` to ``target``, continuing from the bytes that an earlier call left in ``target.part``.

    A call asks for the rest of the same version only (If-Range): if the file has changed, or the server does not send
    ranges, it starts again. If it fails, the received bytes stay in ``target.part``.

    Args:
        url: an http or https address.
        target: the file to write.
        limit: largest number of bytes to accept.
        retry: when to give up.
        on_bytes: called with the number of bytes received so far.
        stop: ends the transfer when it is set.

    Raises:
        DataError: the server refuses, sends more than ``limit`` bytes or in another coding, or fails too often.
        WriteError: the disk fails; the received bytes are kept.
        Stopped: after ``stop``.
    """
    stop = stop or threading.Event()
    with explained_writes(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = PartialFile(url, target)
    transfer = _Transfer(part, shown_address(url), limit, retry, on_bytes, stop)
    furthest, failures = part.size, 0
    while True:
        try:
            _attempt(transfer)
            part.finish()
            return
        except _TemporaryError as error:
            failures = failures + 1 if part.size < furthest + retry.step else 1
            furthest = max(furthest, part.size)
            if failures >= retry.tries:
                raise DataError(
                    f"{transfer.shown_url}: gave up after {failures} attempts without progress, with {part.size:,} "
                    f"bytes received (the last time: {error}). They are kept in {part.path}; run the same command "
                    "again to continue"
                ) from error
        if stop.wait(retry.first_delay * 2 ** (failures - 1)):
            raise Stopped


def _attempt(transfer: _Transfer) -> None:
    """Receive the rest of the file. Raises _TemporaryError."""
    part, retry, shown_url = transfer.part, transfer.retry, transfer.shown_url
    received, version = part.size, part.version
    resume = received > 0 and version.name != ""
    headers = HEADERS | ({"Range": f"bytes={received}-", "If-Range": version.name} if resume else {})
    pace = Pace(retry.least_rate, retry.window_seconds, retry.clock)
    end: int | None
    total: int | None
    try:
        with open_url(part.url, headers, retry.stall_seconds, pace) as response:
            check_coding(shown_url, response.headers)
            if response.status == 206 and resume:
                end, total = range_end(response, received, version)
            elif response.status == 200:
                end = total = response.length
                part.begin(Version(version_name(response.headers), total))
                received = 0
            else:
                raise DataError(f"{shown_url}: the server answered {response.status}, expected 200 with the file")
            _receive(transfer, response, pace, received, end, total)
    except Discontinued as error:
        part.drop()
        raise _TemporaryError(f"{error}; starting again") from error
    except HTTPError as error:
        with error:
            if error.code == 416 and resume:
                if _is_complete(error, received, version):
                    return
                part.drop()
                raise _TemporaryError("the server has no bytes after those received; starting again") from error
            answer = f"the server answered {error.code} {_phrase(error.code)}"
            if error.code in TEMPORARY:
                raise _TemporaryError(answer) from error
            raise DataError(f"{shown_url}: {answer}; the file may have moved, or need a login") from error
    except TooSlow as error:
        raise _TemporaryError(str(error)) from error
    except TimeoutError as error:
        raise _TemporaryError(f"nothing arrived for {retry.stall_seconds:g} s") from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DataError(f"{shown_url}: the server's certificate is not valid: {error.reason}") from error
        raise _TemporaryError(shown_text(str(error.reason))) from error
    except (HTTPException, OSError) as error:
        raise _TemporaryError(f"the connection broke: {shown_text(repr(error))}") from error


def _is_complete(error: HTTPError, received: int, version: Version) -> bool:
    """Whether a 416 answer means that the received bytes are the whole file, of the same version."""
    return (
        error.headers.get("Content-Range") == f"bytes */{received}"
        and version.total in (None, received)
        and version_name(error.headers) in ("", version.name)
    )


def _phrase(code: int) -> str:
    """Return what a status code means; the server's own words may hold anything."""
    return responses.get(code, "")


def _receive(
    transfer: _Transfer, response: HTTPResponse, pace: Pace, received: int, end: int | None, total: int | None
) -> None:
    """Append the server's bytes to the ``received`` ones.

    Args:
        transfer: what the attempts share.
        response: brings the bytes.
        pace: counts them.
        received: bytes that were there before.
        end: where the answer's bytes end in the file, None if unknown.
        total: bytes of the whole file, None if unknown.
    """
    shown_url, limit = transfer.shown_url, transfer.limit
    if max(received, total or 0) > limit:
        raise DataError(f"{shown_url}: the file has {total or received:,} bytes, expected at most {limit:,}")
    transfer.on_bytes(received)
    with transfer.part.appending() as append:
        while chunk := response.read1(CHUNK):
            received += len(chunk)
            if end is not None and received > end:
                raise Discontinued(f"the server sends more than the bytes up to {end:,} that it announced")
            if received > limit:
                raise DataError(f"{shown_url}: the server sends more than the {limit:,} bytes expected at most")
            append(chunk)
            pace.count(len(chunk))
            transfer.on_bytes(received)
            if transfer.stop.is_set():
                raise Stopped
    if total is not None and received != total:
        raise _TemporaryError(f"the connection ended at {received:,} of {total:,} bytes")
    if total is None and end is not None:  # more may follow: the next attempt asks for it
        raise _TemporaryError(f"the server sent a part that ends at {end:,} bytes, without saying how many there are")
