"""Fetch one file over http or https: resumable, with a limited number of attempts and a limited size."""

import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError

from fewshot_audio import __version__
from fewshot_audio.data.download.http import open_url, version_of
from fewshot_audio.data.download.partial_file import PartialFile, disk_errors
from fewshot_audio.errors import DataError

CHUNK = 1 << 18
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that may change soon
HEADERS = {"User-Agent": f"fewshot-audio/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class RetryPolicy:
    """How often a transfer is attempted, and how long it may stall.

    Attributes:
        tries: number of consecutive attempts without progress after which the transfer fails.
        step: number of bytes that count as progress.
        stall_seconds: an attempt fails if nothing arrives for this long.
        first_delay: seconds of the first pause between attempts; each following pause is twice as long.
    """

    tries: int = 6
    step: int = 1 << 20
    stall_seconds: float = 60.0
    first_delay: float = 2.0


class Stopped(Exception):
    """The caller stopped a transfer; the received bytes are kept."""


class _TemporaryError(Exception):
    """An attempt failed, but another one may succeed."""


@dataclass(frozen=True)
class _Transfer:
    """The state that all attempts to fetch a file share; see ``fetch``."""

    part: PartialFile
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
        DataError: the server refuses, sends more than ``limit`` bytes or fails too often, or the disk fails.
        Stopped: after ``stop``.
    """
    stop = stop or threading.Event()
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = PartialFile(url, target)
    transfer = _Transfer(part, limit, retry, on_bytes, stop)
    furthest, failures = part.size, 0
    while True:
        try:
            _attempt(transfer)
            part.finish(target)
            return
        except _TemporaryError as error:
            failures = failures + 1 if part.size < furthest + retry.step else 1
            furthest = max(furthest, part.size)
            if failures >= retry.tries:
                raise DataError(
                    f"{url}: gave up after {failures} attempts without progress, with {part.size:,} bytes received "
                    f"(the last time: {error}). They are kept in {part.path}; run the same command again to continue"
                ) from error
        if stop.wait(retry.first_delay * 2 ** (failures - 1)):
            raise Stopped


def _attempt(transfer: _Transfer) -> None:
    """Receive the rest of the file. Raises _TemporaryError."""
    part, stall_seconds = transfer.part, transfer.retry.stall_seconds
    received, version = part.size, part.version
    resume = received > 0 and version != ""
    headers = HEADERS | ({"Range": f"bytes={received}-", "If-Range": version} if resume else {})
    total: int | None
    try:
        with open_url(part.url, headers, stall_seconds) as response:
            if response.status == 206 and resume:
                total = _check_range(part, response, received, version)
            elif response.status == 200:
                part.begin(version_of(response))
                received, total = 0, response.length
            else:
                raise DataError(f"{part.url}: the server answered {response.status}, expected 200 with the file")
            _receive(transfer, response, received, total)
    except HTTPError as error:
        with error:
            if error.code == 416 and resume:
                if error.headers.get("Content-Range") == f"bytes */{received}":
                    return  # the file is complete
                part.drop()
                raise _TemporaryError("the server has no bytes after those received; starting again") from error
            if error.code in TEMPORARY:
                raise _TemporaryError(f"the server answered {error.code} {error.reason}") from error
            raise DataError(
                f"{part.url}: the server answered {error.code} {error.reason}; the file may have moved, or need a login"
            ) from error
    except TimeoutError as error:
        raise _TemporaryError(f"nothing arrived for {stall_seconds:g} s") from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DataError(f"{part.url}: the server's certificate is not valid: {error.reason}") from error
        raise _TemporaryError(str(error.reason)) from error
    except (HTTPException, OSError) as error:
        raise _TemporaryError(f"the connection broke: {error!r}") from error


def _check_range(part: PartialFile, response: HTTPResponse, received: int, version: str) -> int:
    """Check that a 206 answer continues the received part; return the size of the whole file."""
    answer = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer)
    if match is None or int(match[1]) != received or version_of(response) not in ("", version):
        part.drop()
        raise _TemporaryError(
            f"asked for the bytes from {received} of {version}, got {answer!r} of {version_of(response)}"
        )
    return int(match[2]) + 1 if match[3] == "*" else int(match[3])


def _receive(transfer: _Transfer, response: HTTPResponse, received: int, total: int | None) -> None:
    """Append the server's bytes to the ``received`` ones; ``total`` is the size of the file, or None if unknown."""
    url, limit = transfer.part.url, transfer.limit
    if max(received, total or 0) > limit:
        raise DataError(f"{url}: the file has {total or received:,} bytes, expected at most {limit:,}")
    transfer.on_bytes(received)
    with transfer.part.appending() as append:
        while chunk := response.read1(CHUNK):
            received += len(chunk)
            if received > limit:
                raise DataError(f"{url}: the server sends more than the {limit:,} bytes expected at most")
            append(chunk)
            transfer.on_bytes(received)
            if transfer.stop.is_set():
                raise Stopped
    if total is not None and received != total:
        raise _TemporaryError(f"the connection ended at {received:,} of {total:,} bytes")
