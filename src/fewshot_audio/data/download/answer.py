"""What the headers of an HTTP answer say about the file that it brings, and whether that can be believed."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse

from fewshot_audio.data.download.addresses import shown_text
from fewshot_audio.errors import DataError

STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]{0,500}"')
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)")


@dataclass(frozen=True)
class Version:
    """Which state of a file the received bytes belong to.

    Attributes:
        name: for If-Range: a strong ETag, else the time of the last change; "" if there is none.
        total: bytes of the whole file; None if unknown.
    """

    name: str = ""
    total: int | None = None


class Discontinued(Exception):
    """An answer does not continue the received bytes."""


def is_name(name: str) -> bool:
    """Whether a text may be the name of a version: it becomes a header of later requests."""
    return STRONG_ETAG.fullmatch(name) is not None or _date(name) is not None


def version_name(headers: Message) -> str:
    """Return the name of a version that an answer gives, "" if it has none.

    A time of last change is a name only if the answer is at least a second younger: in the same second the file may
    have changed again.
    """
    etag = headers.get("ETag", "")
    if STRONG_ETAG.fullmatch(etag):
        return str(etag)
    last_modified = headers.get("Last-Modified", "")
    change, now = _date(last_modified), _date(headers.get("Date", ""))
    return str(last_modified) if change and now and now - change >= timedelta(seconds=1) else ""


def check_coding(shown_url: str, headers: Message) -> None:
    """Check that an answer brings the bytes of the file as they are.

    Raises:
        DataError: they are encoded, though identity was asked for, or have two lengths.
    """
    for header, plain in (("Content-Encoding", {"", "identity"}), ("Transfer-Encoding", {"", "chunked"})):
        value = ",".join(headers.get_all(header, []))
        if any(coding.strip().lower() not in plain for coding in value.split(",")):
            raise DataError(
                f"{shown_url}: the server sends the file in another coding ({header}: {shown_text(value)}), expected "
                "its bytes as they are"
            )
    lengths = {length.strip() for length in headers.get_all("Content-Length", [])}
    if len(lengths) > 1:
        raise DataError(f"{shown_url}: the server says {len(lengths)} different lengths, expected one")


def range_end(response: HTTPResponse, received: int, version: Version) -> tuple[int, int | None]:
    """Check that a 206 answer continues the ``received`` bytes of a version.

    Returns:
        Where its bytes end in the file, and the bytes of the whole file (None if unknown).

    Raises:
        Discontinued: it brings other bytes than asked for, of another version, or of a version that it does not name.
    """
    answer = response.headers.get("Content-Range", "")
    name = version_name(response.headers)
    match = CONTENT_RANGE.fullmatch(answer)
    end = int(match[2]) + 1 if match else 0
    total = int(match[3]) if match and match[3] else version.total
    if (
        match is None
        or int(match[1]) != received
        or end <= received
        or response.length not in (None, end - received)
        or (total is not None and end > total)
        or (version.total is not None and total != version.total)
        or name != version.name
    ):
        raise Discontinued(
            f"asked for the bytes from {received} of version {shown_text(version.name)} with {version.total} bytes, "
            f"got {shown_text(answer)!r} of version {shown_text(name) or 'without name'}"
        )
    return end, total


def _date(text: str) -> datetime | None:
    """Read an HTTP date; None if it is not one."""
    if not re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", text, re.ASCII):
        return None
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None
