"""Answers that lie: no two versions are spliced, no coded bytes are stored, lengths are checked, drips are given up."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from fewshot_audio.data.download.fetch import RetryPolicy, fetch
from fewshot_audio.data.download.partial_file import part_path
from fewshot_audio.errors import DataError
from tests.data.download_server import Behavior, Handler, Server, chunked, good, raw, redirect

BODY = random.Random(0).randbytes(50_000)
HALF = 20_000
HASTY = RetryPolicy(tries=3, step=1000, stall_seconds=0.3, first_delay=0.0)
ONCE = replace(HASTY, tries=1)
LIMIT = 1_000_000
CHANGE = "Wed, 01 Jul 2026 10:00:00 GMT"
LATER = "Thu, 02 Jul 2026 10:00:00 GMT"
OK = b"HTTP/1.1 200 OK\r\n"


def answer(code: int, headers: Mapping[str, str | int], body: bytes = b"") -> Behavior:
    """Exactly these headers; the body ends with the connection."""

    def behave(handler: Handler) -> None:
        handler.send_response_only(code)
        for name, value in headers.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def rest(changes: Mapping[str, str | int | None], body: bytes = BODY[HALF:]) -> Behavior:
    """The right answer to the request for the second part, but for these headers."""
    headers: dict[str, str | int | None] = {"Content-Range": f"bytes {HALF}-49999/50000", "ETag": '"v1"'}
    return answer(206, {name: value for name, value in (headers | changes).items() if value is not None}, body)


def test_the_right_rest_is_taken(server: Server, target: Path) -> None:
    fetch(server.serve("/f", good(BODY, until=HALF), rest({})), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, f"bytes={HALF}-"]


WRONG: dict[str, tuple[dict[str, str | int | None], bytes]] = {
    "no version": ({"ETag": None}, BODY[HALF:]),
    "another version": ({"ETag": '"v2"'}, BODY[HALF:]),
    "a weak version": ({"ETag": 'W/"v1"'}, BODY[HALF:]),
    "a time": ({"ETag": None, "Last-Modified": CHANGE, "Date": LATER}, BODY[HALF:]),
    "a longer file": ({"Content-Range": f"bytes {HALF}-50000/50001"}, BODY[HALF:] + b"!"),
    "a shorter file": ({"Content-Range": f"bytes {HALF}-49999/49999"}, BODY[HALF:]),
    "nothing": ({"Content-Range": f"bytes {HALF}-{HALF - 1}/50000"}, b""),
    "a huge number": ({"Content-Range": f"bytes {HALF}-49999/{'9' * 5000}"}, BODY[HALF:]),
    "another start": ({"Content-Range": f"bytes {HALF + 1}-49999/50000"}, BODY[HALF + 1 :]),
    "another unit": ({"Content-Range": f"items {HALF}-49999/50000"}, BODY[HALF:]),
    "no range": ({"Content-Range": None}, BODY[HALF:]),
    "a shorter length": ({"Content-Length": 100}, BODY[HALF:]),
    "a longer length": ({"Content-Length": 30_001}, BODY[HALF:] + b"!"),
    "more bytes": ({}, BODY[HALF:] + b"!"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_another_answer_than_asked_for_starts_anew(server: Server, target: Path, wrong: str) -> None:
    """The file has changed in the meantime: bytes of both versions in one file would show."""
    other = bytes(byte ^ 255 for byte in BODY)
    url = server.serve("/f", good(BODY, until=HALF), rest(*WRONG[wrong]), good(other, '"v2"'))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == other
    assert server.ranges("/f") == [None, f"bytes={HALF}-", None]


def test_a_shorter_range_is_followed_by_the_next(server: Server, target: Path) -> None:
    short = rest({"Content-Range": f"bytes {HALF}-29999/50000", "Content-Length": 10_000}, BODY[HALF:30_000])
    fetch(server.serve("/f", good(BODY, until=HALF), short, good(BODY)), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, f"bytes={HALF}-", "bytes=30000-"]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Last-Modified": CHANGE, "Date": LATER}, CHANGE),
        ({"Last-Modified": CHANGE, "Date": CHANGE}, None),  # it may have changed again in the same second
        ({"Last-Modified": CHANGE}, None),
        ({"Last-Modified": "yesterday", "Date": LATER}, None),
        ({"ETag": '"a b"', "Last-Modified": CHANGE, "Date": LATER}, CHANGE),
        ({"ETag": '"' + "x" * 5000 + '"'}, None),
        ({"ETag": '"a\x07"'}, None),
    ],
    ids=str,
)
def test_what_names_a_version(server: Server, target: Path, headers: dict[str, str], name: str | None) -> None:
    url = server.serve("/f", answer(200, {"Content-Length": 50_000, **headers}, BODY[:HALF]))
    with pytest.raises(DataError, match="gave up"):
        fetch(url, target, limit=LIMIT, retry=replace(HASTY, tries=2))
    assert [headers.get("If-Range") for _, headers in server.requests] == [None, name]


def test_a_complete_answer_of_another_version_is_not_believed(server: Server, target: Path) -> None:
    """The server says that there is nothing after the received bytes: of a file that it calls by another name."""
    done = answer(416, {"Content-Range": f"bytes */{HALF}", "Content-Length": 0, "ETag": '"v2"'})
    start = chunked(BODY[:HALF], finished=False, etag='"v1"')  # of unknown length
    url = server.serve("/f", start, done, good(BODY[::-1]))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY[::-1]
    server.serve("/f", good(BODY, until=HALF), answer(416, {"Content-Range": f"bytes */{HALF}"}), good(BODY))
    fetch(url, target, limit=LIMIT, retry=HASTY)  # it announced 50,000 bytes
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "identity, br"),
        ("Transfer-Encoding", "gzip, chunked"),
        ("Transfer-Encoding", "x\x1b[2J"),
    ],
)
@pytest.mark.parametrize("code", [200, 206])
def test_coded_bytes_are_refused(server: Server, target: Path, code: int, header: str, value: str) -> None:
    url = server.serve("/f", good(BODY, until=HALF))
    with pytest.raises(DataError, match="gave up"):
        fetch(url, target, limit=LIMIT, retry=ONCE)
    wrong = {header: value}
    server.serve("/f", rest(wrong) if code == 206 else answer(200, {"ETag": '"v1"', **wrong}, BODY))
    with pytest.raises(DataError, match=rf"/f: the server sends the file in another coding \({header}") as caught:
        fetch(url, target, limit=LIMIT, retry=HASTY)
    assert "\x1b" not in str(caught.value)
    assert part_path(target).read_bytes() == BODY[:HALF]
    assert server.requests[-1][1]["Accept-Encoding"] == "identity"


def test_identity_is_no_coding(server: Server, target: Path) -> None:
    plain = answer(200, {"Content-Encoding": "Identity", "Content-Length": 50_000}, BODY)
    fetch(server.serve("/f", plain), target, limit=LIMIT, retry=ONCE)
    assert target.read_bytes() == BODY


def test_two_lengths_are_refused(server: Server, target: Path) -> None:
    twice = raw(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456")
    with pytest.raises(DataError, match="2 different lengths"):
        fetch(server.serve("/f", twice), target, limit=LIMIT, retry=HASTY)


def test_a_shorter_file_than_announced_is_not_a_file(server: Server, target: Path) -> None:
    short = answer(200, {"Content-Length": 60_000, "ETag": '"v1"'}, BODY)
    with pytest.raises(DataError, match=r"gave up after 1 .* the connection ended at 50,000 of 60,000 bytes"):
        fetch(server.serve("/f", short), target, limit=LIMIT, retry=ONCE)
    assert not target.exists()
    assert part_path(target).read_bytes() == BODY


@pytest.mark.parametrize(
    "start",
    [
        OK + b"X: y\r\n" * 101 + b"\r\n",
        OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"\x1b[2J" * 20_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
    ],
    ids=["many headers", "a long header", "a long status line", "another protocol", "no chunk"],
)
def test_headers_are_bounded(server: Server, target: Path, start: bytes) -> None:
    with pytest.raises(DataError, match="gave up after 2") as caught:
        fetch(server.serve("/f", raw(start)), target, limit=LIMIT, retry=replace(HASTY, tries=2))
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so many seconds whenever someone looks."""
    ticks = count()
    return lambda: next(ticks) * seconds


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (OK + b'ETag: "v1"\r\nContent-Length: 50000\r\n\r\n', b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK, b"X"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["bytes of the file", "chunks", "a header", "promises", "trailers"],
)
def test_a_server_that_drips_is_given_up(server: Server, target: Path, start: bytes, again: bytes) -> None:
    patient = RetryPolicy(tries=2, first_delay=0.0, clock=ticking(7.0))
    with pytest.raises(
        DataError, match=r"gave up after 2 .* bytes of the file arrived in 6\d s, expected at least 60,0"
    ):
        fetch(server.serve("/f", raw(start, again=again)), target, limit=LIMIT, retry=patient)
    assert not target.exists()


def test_what_dripped_is_kept(server: Server, target: Path) -> None:
    start = OK + b'ETag: "v1"\r\nContent-Length: 50000\r\n\r\n'
    url = server.serve("/f", raw(start, BODY[:HALF], again=BODY[HALF : HALF + 1]))
    with pytest.raises(DataError, match=f"They are kept in {part_path(target)}"):
        fetch(url, target, limit=LIMIT, retry=RetryPolicy(tries=1, clock=ticking(7.0)))
    arrived = part_path(target).stat().st_size
    assert HALF < arrived < HALF + 10
    part_path(target).write_bytes(BODY[:arrived])  # the drip was not the file's
    server.serve("/f", good(BODY))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, f"bytes={arrived}-"]


def test_every_window_counts_its_own_bytes(server: Server, target: Path) -> None:
    """The file takes five reads or more: the window of the first four is fast enough, though it has the headers."""
    slow = RetryPolicy(tries=1, least_rate=1.0, window_seconds=40.0, clock=ticking(10.0))
    fetch(server.serve("/f", good(BODY * 20)), target, limit=LIMIT, retry=slow)
    assert target.read_bytes() == BODY * 20


def test_names_of_the_server_are_no_paths(server: Server, target: Path) -> None:
    named = {"Content-Disposition": 'attachment; filename="../../evil"', "Content-Length": 50_000}
    server.serve("/x/..%2f..%2fevil", answer(200, named, BODY))
    fetch(server.serve("/f", redirect("/x/..%2f..%2fevil")), target, limit=LIMIT, retry=ONCE)
    assert [path.name for path in target.parent.parent.rglob("*")] == ["deep", "file.zip"]
