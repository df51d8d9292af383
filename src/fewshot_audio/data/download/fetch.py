"""One file over HTTP: resumable, bounded in patience and in size, and only ever from http and https addresses."""

import json
import os
import re
import ssl
import string
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit

from fewshot_audio import __version__
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json

CHUNK = 1 << 18
MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that may be different in a moment
HEADERS = {"User-Agent": f"fewshot-audio/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Patience:
    """When a transfer is given up: after ``tries`` attempts in a row that each brought less than ``step`` bytes.

    An attempt ends when nothing arrives for ``stall_seconds``; pauses between attempts begin with ``first_delay``
    seconds and double.
    """

    tries: int = 6
    step: int = 1 << 20
    stall_seconds: float = 60.0
    first_delay: float = 2.0


class Stopped(Exception):
    """The caller asked for the end of a transfer; what has arrived is kept."""


class _Passing(Exception):
    """An attempt failed in a way that another one may not."""


class _Part:
    """What has arrived of a file, and which version of the file it belongs to."""

    def __init__(self, url: str, target: Path) -> None:
        self.url = url
        self.path = part_of(target)
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> str:
        """The server's name for the version, or "" where a later request could not ask for the same one."""
        try:
            note = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return ""
        known = isinstance(note, dict) and note.get("url") == self.url
        return str(note.get("version", "")) if known else ""

    def begin(self, version: str) -> None:
        """Start from the first byte of a version."""
        self.drop()  # in this order: bytes never stand beside the name of another version
        with _disk(self.path):
            write_json(self._note, {"url": self.url, "version": version})
            self.path.touch()

    def drop(self) -> None:
        with _disk(self.path):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        with _disk(self.path):
            with self.path.open("rb") as stream:
                os.fsync(stream.fileno())
            self.path.replace(target)
            self._note.unlink(missing_ok=True)

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Give a function that adds bytes at the end; unbuffered, so that a kill loses none that were given."""
        with _disk(self.path):
            stream = self.path.open("ab", buffering=0)

        def append(chunk: bytes) -> None:
            rest = memoryview(chunk)
            with _disk(self.path):
                while rest:
                    rest = rest[stream.write(rest) :]

        with stream:
            yield append


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Tell errors of the disk, which end a transfer, from those of the network, which do not."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}; what has arrived is kept") from error


def part_of(target: Path) -> Path:
    """Where the bytes that have arrived are kept until the file is whole."""
    return target.with_name(target.name + ".part")


def fetch(
    url: str,
    target: Path,
    *,
    limit: int,
    patience: Patience = Patience(),
    moved: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> None:
    """Fetch ``url`` to ``target``, going on from what an earlier call left in ``target.part``.

    A later call asks for the rest of the same version only (If-Range): when the file has changed, or the server
    sends no ranges, it begins again. ``moved`` hears how many bytes are there; ``stop`` ends the transfer.
    Raises DataError when the server refuses, sends more than ``limit`` bytes or ``patience`` ends, and on disk errors;
    Stopped after ``stop``. What has arrived stays in ``target.part``.
    """
    stop = stop or threading.Event()
    with _disk(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(url, target)
    furthest, failures = part.size, 0
    while True:
        try:
            _attempt(part, limit, patience, moved, stop)
            part.finish(target)
            return
        except _Passing as error:
            failures = failures + 1 if part.size < furthest + patience.step else 1
            furthest = max(furthest, part.size)
            if failures >= patience.tries:
                raise DataError(
                    f"{url}: gave up after {failures} attempts without progress, with {part.size:,} bytes received "
                    f"(the last time: {error}). They are kept in {part.path}; run the same command again to go on"
                ) from error
        if stop.wait(patience.first_delay * 2 ** (failures - 1)):
            raise Stopped


def _attempt(part: _Part, limit: int, patience: Patience, moved: Callable[[int], None], stop: threading.Event) -> None:
    """Receive until the file is whole. Raises _Passing."""
    have, version = part.size, part.version
    resume = have > 0 and version != ""
    headers = HEADERS | ({"Range": f"bytes={have}-", "If-Range": version} if resume else {})
    total: int | None
    try:
        with _open(part.url, headers, patience.stall_seconds) as response:
            if response.status == 206 and resume:
                total = _check_range(part, response, have, version)
            elif response.status == 200:
                part.begin(_version(response))
                have, total = 0, response.length
            else:
                raise DataError(f"{part.url}: the server answered {response.status}, expected 200 with the file")
            _receive(part, response, have, total, limit, moved, stop)
    except HTTPError as error:
        with error:
            if error.code == 416 and resume:
                if error.headers.get("Content-Range") == f"bytes */{have}":
                    return  # all of it had arrived
                part.drop()
                raise _Passing("the server has no bytes after those received; starting again") from error
            if error.code in PASSING:
                raise _Passing(f"the server answered {error.code} {error.reason}") from error
            raise DataError(
                f"{part.url}: the server answered {error.code} {error.reason}; the file may have moved, or need a login"
            ) from error
    except TimeoutError as error:
        raise _Passing(f"nothing arrived for {patience.stall_seconds:g} s") from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DataError(f"{part.url}: the server's certificate is not valid: {error.reason}") from error
        raise _Passing(str(error.reason)) from error
    except (HTTPException, OSError) as error:
        raise _Passing(f"the connection broke: {error!r}") from error


def _open(url: str, headers: Mapping[str, str], timeout: float) -> HTTPResponse:
    """Ask for ``url``, following redirects. Requests carry no credentials, so none can be forwarded."""
    opener = urllib.request.OpenerDirector()  # not build_opener, which would also open file: and ftp: addresses
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    address = url
    for _ in range(MAX_REDIRECTS):
        try:
            response: HTTPResponse = opener.open(
                urllib.request.Request(address, headers=dict(headers)), timeout=timeout
            )
            return response
        except HTTPError as error:
            if error.code not in REDIRECTS:
                raise
            with error:
                address = follow(address, error.headers.get("Location", ""))
    raise DataError(f"{url}: more than {MAX_REDIRECTS} redirects, the last to {address}")


def follow(address: str, location: str) -> str:
    """The address that a redirect leads to. Raises DataError unless it is as safe as the one before."""
    target = urljoin(address, quote(location, safe=string.punctuation))
    before, after = urlsplit(address), urlsplit(target)
    if not location or after.scheme not in ("http", "https") or not after.hostname:
        raise DataError(f"{address}: redirected to {location!r}, expected an http or https address")
    if before.scheme == "https" and after.scheme == "http":
        raise DataError(f"{address}: redirected to {location!r}, from an encrypted address to an open one")
    if after.username is not None:
        raise DataError(f"{address}: redirected to an address with a user name at {after.hostname}")
    return target


def _version(response: HTTPResponse) -> str:
    """What If-Range may ask for: a strong ETag, else the time of last change."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_range(part: _Part, response: HTTPResponse, have: int, version: str) -> int:
    """Check that a 206 answer goes on where the part ends; return the size of the whole file."""
    answer = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer)
    if match is None or int(match[1]) != have or _version(response) not in ("", version):
        part.drop()
        raise _Passing(f"asked for the bytes from {have} of {version}, got {answer!r} of {_version(response)}")
    return int(match[2]) + 1 if match[3] == "*" else int(match[3])


def _receive(
    part: _Part,
    response: HTTPResponse,
    have: int,
    total: int | None,
    limit: int,
    moved: Callable[[int], None],
    stop: threading.Event,
) -> None:
    if max(have, total or 0) > limit:
        raise DataError(f"{part.url}: the file has {total or have:,} bytes, expected at most {limit:,}")
    moved(have)
    with part.appending() as append:
        while chunk := response.read1(CHUNK):
            have += len(chunk)
            if have > limit:
                raise DataError(f"{part.url}: the server sends more than the {limit:,} bytes expected at most")
            append(chunk)
            moved(have)
            if stop.is_set():
                raise Stopped
    if total is not None and have != total:
        raise _Passing(f"the connection ended at {have:,} of {total:,} bytes")
