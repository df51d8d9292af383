"""Transfers against a server that breaks off, stalls, lies about ranges, changes the file, redirects and refuses."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fewshot_audio.data.download.fetch import RetryPolicy, Stopped, fetch
from fewshot_audio.data.download.partial_file import part_path
from fewshot_audio.errors import DataError, WriteError
from tests.data.download_server import (
    Behavior,
    Server,
    chunked,
    endless,
    good,
    partial,
    rangeless,
    redirect,
    running,
    status,
)

BODY = random.Random(0).randbytes(50_000)
HASTY = RetryPolicy(tries=3, step=1000, stall_seconds=0.3, first_delay=0.0)
LIMIT = 1_000_000


def remaining_files(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_arrives_whole_and_alone(server: Server, target: Path) -> None:
    counts: list[int] = []
    fetch(server.serve("/f", good(BODY)), target, limit=LIMIT, retry=HASTY, on_bytes=counts.append)
    assert target.read_bytes() == BODY
    assert remaining_files(target) == ["file.zip"]
    assert counts == sorted(counts)
    assert counts[-1] == len(BODY)


def test_an_empty_file_arrives(server: Server, target: Path) -> None:
    fetch(server.serve("/f", good(b"")), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == b""


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server, target: Path) -> None:
    url = server.serve("/f", good(BODY, until=20_000), good(BODY, until=40_000), good(BODY))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, "bytes=20000-", "bytes=40000-"]
    assert server.requests[-1][1]["If-Range"] == '"v1"'


def test_a_stalled_transfer_goes_on(server: Server, target: Path) -> None:
    fetch(server.serve("/f", good(BODY, until=20_000, stall=True), good(BODY)), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, "bytes=20000-"]


def test_a_server_without_ranges_sends_the_file_again(server: Server, target: Path) -> None:
    fetch(server.serve("/f", rangeless(BODY, until=30_000), rangeless(BODY)), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, "bytes=30000-"]


def test_a_server_without_versions_is_asked_for_the_whole_file(server: Server, target: Path) -> None:
    fetch(server.serve("/f", good(BODY, "", until=9_000), good(BODY, "")), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, None]


def test_a_weak_etag_names_no_version(server: Server, target: Path) -> None:
    url = server.serve("/f", good(BODY, 'W/"v1"', until=9_000), good(BODY, 'W/"v1"'))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, None]


def test_a_changed_file_is_fetched_from_its_start(server: Server, target: Path) -> None:
    other = BODY[::-1]
    fetch(server.serve("/f", good(BODY, until=20_000), good(other, '"v2"')), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == other


@pytest.mark.parametrize(
    "wrong",
    [partial(0, BODY), partial(20_000, BODY[20_000:], etag='"v2"'), partial(19_999, b"x")],
    ids=["from the start", "another version", "one byte early"],
)
def test_bytes_that_were_not_asked_for_are_not_believed(server: Server, target: Path, wrong: object) -> None:
    fetch(server.serve("/f", good(BODY, until=20_000), wrong, good(BODY)), target, limit=LIMIT, retry=HASTY)  # type: ignore[arg-type]
    assert target.read_bytes() == BODY


def test_a_range_of_a_file_of_unknown_size(server: Server, target: Path) -> None:
    url = server.serve("/f", good(BODY, until=20_000), partial(20_000, BODY[20_000:], "*", 10_000), good(BODY))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, "bytes=20000-", "bytes=30000-"]


def test_a_range_without_a_size_is_not_taken_for_the_rest(server: Server, target: Path) -> None:
    def unsized(first: int, end: int) -> Behavior:
        return partial(first, BODY[first:end], "*")

    start = chunked(BODY[:20_000], finished=False, etag='"v1"')
    fetch(server.serve("/f", start, unsized(20_000, 30_000), good(BODY)), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY


def test_a_part_that_is_already_whole_is_kept(server: Server, target: Path) -> None:
    with pytest.raises(DataError):
        fetch(server.serve("/f", good(BODY, until=20_000)), target, limit=LIMIT, retry=HASTY)
    part_path(target).write_bytes(BODY)  # as a kill between the last byte and the renaming leaves it
    server.serve("/f", good(BODY))
    fetch(server.address + "/f", target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f")[-1] == "bytes=50000-"


def test_a_part_that_is_longer_than_the_file_is_dropped(server: Server, target: Path) -> None:
    with pytest.raises(DataError):
        fetch(server.serve("/f", good(BODY, until=20_000)), target, limit=LIMIT, retry=HASTY)
    part_path(target).write_bytes(BODY + b"more")
    server.serve("/f", good(BODY))
    fetch(server.address + "/f", target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": "http://elsewhere/f", "version": "\\"v1\\""}'])
def test_a_part_of_unknown_origin_is_not_continued(server: Server, target: Path, note: str) -> None:
    target.parent.mkdir()
    part_path(target).write_bytes(b"?" * 100)
    target.with_name("file.zip.part.json").write_text(note)
    fetch(server.serve("/f", good(BODY)), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None]


def test_a_file_of_unknown_size_arrives(server: Server, target: Path) -> None:
    fetch(server.serve("/f", chunked(BODY, finished=False), chunked(BODY)), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 2


def test_passing_errors_are_tried_again(server: Server, target: Path) -> None:
    fetch(server.serve("/f", status(503), status(429), good(BODY)), target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_refusal_is_final(server: Server, target: Path, code: int) -> None:
    with pytest.raises(DataError, match=rf"/f: the server answered {code}"):
        fetch(server.serve("/f", status(code)), target, limit=LIMIT, retry=HASTY)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [416, 204])
def test_an_answer_without_the_file_is_final(server: Server, target: Path, code: int) -> None:
    with pytest.raises(DataError, match=f"answered {code}"):
        fetch(server.serve("/f", status(code)), target, limit=LIMIT, retry=HASTY)


def test_patience_ends_and_what_arrived_is_kept(server: Server, target: Path) -> None:
    url = server.serve("/f", good(BODY, until=20_000), status(500))
    with pytest.raises(DataError) as caught:
        fetch(url, target, limit=LIMIT, retry=HASTY)
    message = str(caught.value)
    assert url in message
    assert "gave up after 3 attempts without progress, with 20,000 bytes received" in message
    assert "500" in message
    assert str(part_path(target)) in message
    assert len(server.requests) == 3  # the first brought something; it counts as the first of those in a row
    server.serve("/f", good(BODY))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f")[-1] == "bytes=20000-"


def test_a_server_that_only_ever_sends_the_same_start_is_given_up(server: Server, target: Path) -> None:
    with pytest.raises(DataError, match="gave up after 3"):
        fetch(server.serve("/f", rangeless(BODY, until=40_000)), target, limit=LIMIT, retry=HASTY)


def test_stalls_are_named(server: Server, target: Path) -> None:
    hasty = RetryPolicy(tries=1, stall_seconds=0.1, first_delay=0.0)
    with pytest.raises(DataError, match=r"nothing arrived for 0\.1 s"):
        fetch(server.serve("/f", good(BODY, until=10, stall=True)), target, limit=LIMIT, retry=hasty)


def test_nobody_listens(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with running() as server:
        url = server.address + "/f"
    with pytest.raises(DataError, match="gave up after 3 attempts"):
        fetch(url, target, limit=LIMIT, retry=HASTY)


def test_pauses_grow(server: Server, target: Path) -> None:
    class Waits(threading.Event):
        pauses: list[float | None]

        def wait(self, timeout: float | None = None) -> bool:
            self.pauses.append(timeout)
            return False

    stop = Waits()
    stop.pauses = []
    retry = RetryPolicy(tries=4, first_delay=0.5)
    with pytest.raises(DataError):
        fetch(server.serve("/f", status(500)), target, limit=LIMIT, retry=retry, stop=stop)
    assert stop.pauses == [0.5, 1.0, 2.0]


def test_redirects_are_followed_with_the_range(server: Server, target: Path) -> None:
    server.serve("/real file", good(BODY, until=20_000), good(BODY))
    server.serve("/real%20file", *server.behaviors["/real file"])
    url = server.serve("/f", redirect("/real file"), redirect(server.address + "/real%20file", 307))
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/real%20file") == [None, "bytes=20000-"]
    assert all("Authorization" not in headers for _, headers in server.requests)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/f", "data:,x", "https:///f", ""])
def test_redirects_lead_to_http_only(server: Server, target: Path, location: str) -> None:
    with pytest.raises(DataError, match="expected an http or https address"):
        fetch(server.serve("/f", redirect(location)), target, limit=LIMIT, retry=HASTY)
    assert len(server.requests) == 1


def test_redirect_loops_end(server: Server, target: Path) -> None:
    with pytest.raises(DataError, match="more than 10 redirects"):
        fetch(server.serve("/f", redirect("/f")), target, limit=LIMIT, retry=HASTY)
    assert len(server.requests) == 10


def test_a_file_that_says_it_is_too_large_is_not_begun(server: Server, target: Path) -> None:
    with pytest.raises(DataError, match="has 50,000 bytes, expected at most 1,000"):
        fetch(server.serve("/f", good(BODY)), target, limit=1000, retry=HASTY)
    assert part_path(target).stat().st_size == 0


def test_a_server_that_never_ends_is_cut_off(server: Server, target: Path) -> None:
    with pytest.raises(DataError, match="more than the 200,000 bytes"):
        fetch(server.serve("/f", endless), target, limit=200_000, retry=HASTY)
    assert part_path(target).stat().st_size <= 200_000


def test_the_caller_can_stop_and_go_on(server: Server, target: Path) -> None:
    stop = threading.Event()

    def report(count: int) -> None:
        if count:
            stop.set()

    url = server.serve("/f", good(BODY, until=20_000, stall=True), good(BODY))
    with pytest.raises(Stopped):
        fetch(url, target, limit=LIMIT, retry=HASTY, on_bytes=report, stop=stop)
    arrived = part_path(target).stat().st_size
    assert arrived > 0
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, f"bytes={arrived}-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_no_network_error(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.serve("/f", good(BODY, until=20_000), good(BODY))
    with pytest.raises(DataError):
        fetch(url, target, limit=LIMIT, retry=RetryPolicy(tries=1))
    original = Path.open

    def full(path: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        return original(Path("/dev/full") if mode == "ab" else path, mode, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(WriteError, match=rf"{target}: cannot be written: No space left on device; what has arrived"):
        fetch(url, target, limit=LIMIT, retry=HASTY)
    assert len(server.requests) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_folder_is_named(server: Server, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match="cannot be written"):
        fetch(server.serve("/f", good(BODY)), tmp_path / "deep" / "f", limit=LIMIT, retry=HASTY)
    tmp_path.chmod(0o700)


def test_killed_and_started_again_it_goes_on(server: Server, target: Path) -> None:
    url = server.serve("/f", good(BODY, until=20_000, stall=True), good(BODY))
    program = (
        "import sys; from pathlib import Path; from fewshot_audio.data.download.fetch import fetch\n"
        "fetch(sys.argv[1], Path(sys.argv[2]), limit=10**6)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, url, str(target)])
    while not (part_path(target).is_file() and part_path(target).stat().st_size == 20_000):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    fetch(url, target, limit=LIMIT, retry=HASTY)
    assert target.read_bytes() == BODY
    assert server.ranges("/f") == [None, "bytes=20000-"]
