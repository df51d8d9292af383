"""Requests that are odd, large or hostile: bodies, heads, addresses, tokens, names; and what is written about them."""

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from fewshot_audio.serve.request_body import PIECE_BYTES, RequestBody
from fewshot_audio.serve.run import RECEIVE_BYTES, listen
from tests.serve.conftest import LIMITS, Serve
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running
from tests.serve.sounds import tone_wav
from tests.serve.test_api import error, names, teach
from tests.serve.test_command import TOKEN, command

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
LARGE = b'{"name": "' + b"x" * (64 << 10) + b'"}'


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """Host and port of a server with a socket."""
    with running(FakeRecognizer(), limits=LIMITS) as url:
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


def talk(address: tuple[str, int], *parts: bytes) -> bytes:
    """Send bytes to a server, and read until it closes the connection."""
    with socket.create_connection(address, timeout=20) as client:
        for part in parts:
            client.sendall(part)
        answer = b""
        while block := client.recv(65536):
            answer += block
    return answer


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PATCH", "/api/classes?name=low", JSON),
        ("PATCH", "/api/classes?name=low", FORM),
        ("DELETE", "/api/classes?name=low", JSON),
        ("POST", "/api/classes", JSON),
        ("POST", "/api/classes", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("POST", "/api/classify", {}),
        ("GET", "/api/state", JSON),
        ("POST", "/nowhere", FORM),
        ("POST", "/", FORM),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_bodies_without_recordings_hold_a_name_at_most(
    method: str, path: str, headers: dict[str, str], streamed: bool, serve: Serve
) -> None:
    client = serve()
    teach(client, low=300.0)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(LARGE), 1 << 10):
            yield LARGE[start : start + (1 << 10)]

    response = client.request(method, path, content=pieces() if streamed else LARGE, headers=headers)
    if not streamed or method == "PATCH" or "x-www-form" in headers.get("Content-Type", ""):
        assert "4 kB" in error(response, 413)
    assert response.status_code in (200, 404, 405, 413, 422)  # what takes no such body does not read it
    assert names(client) == ({} if streamed and method == "DELETE" else {"low": 3})


def test_a_large_json_body_is_refused_before_it_is_parsed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    loads = json.loads

    def counting(text: Any, *arguments: Any, **options: Any) -> Any:
        parsed.append(len(text))
        return loads(text, *arguments, **options)

    client = serve()
    teach(client, low=300.0)
    monkeypatch.setattr(json, "loads", counting)
    response = client.patch("/api/classes", params={"name": "low"}, content=LARGE, headers=JSON)
    assert response.status_code == 413
    assert max(parsed, default=0) < len(LARGE)


def test_bodies_come_in_small_pieces() -> None:
    """Between which other requests have their turn, however much has arrived at once."""
    arrived = [(b"a" * 100_000, True), (b"", True), (b"b" * 10, True), (b"c" * 40_000, False)]

    async def receive() -> Message:
        body, more = arrived.pop(0)
        return {"type": "http.request", "body": body, "more_body": more}

    async def pieces() -> list[Message]:
        read = RequestBody(receive, 1 << 20, 60.0).receive
        messages = [await read()]
        while messages[-1]["more_body"]:
            messages.append(await read())
        return messages

    bodies = [message["body"] for message in asyncio.run(pieces())]
    assert b"".join(bodies) == b"a" * 100_000 + b"b" * 10 + b"c" * 40_000
    assert max(map(len, bodies)) == PIECE_BYTES
    assert arrived == []


def test_little_is_received_at_once(monkeypatch: pytest.MonkeyPatch, address: tuple[str, int]) -> None:
    """A body in chunks of a byte takes long to read: other requests have their turn in between."""
    sizes: list[int] = []
    received = H11Protocol.data_received

    def recording(self: H11Protocol, data: bytes) -> None:
        sizes.append(len(data))
        received(self, data)

    monkeypatch.setattr(H11Protocol, "data_received", recording)
    head = f"POST /api/classify HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = part('name="clip"; filename="a.wav"', b"a" * 30_000) + b"--x--\r\n"  # no sound, which only its end tells
    answer = talk(address, head.encode(), b"".join(b"1\r\n%c\r\n" % byte for byte in body), b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4")
    assert sum(sizes) > 5 * RECEIVE_BYTES
    assert max(sizes) <= RECEIVE_BYTES


def test_small_answers_are_sent_at_once() -> None:
    """asyncio switches Nagle's algorithm off only for sockets that name their protocol."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def part(disposition: str, data: bytes = b"x", headers: str = "") -> bytes:
    return f"--x\r\nContent-Disposition: form-data; {disposition}\r\n{headers}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (part('name="name"', b"y" * 5000), 413),
        (part('name="name"') * 9, 413),
        (part('name="name"') * 15_000, 413),
        (part('name="clips"; filename="a.wav"', tone_wav(300)[:100]) * 1000, 413),
        (part('name="name"', headers="A: b\r\n" * 10_000), 400),
        (part('name="name"', headers=f"A: {'b' * 100_000}\r\n"), 400),
        (part("x" * 100_000), 400),
        (b"--x\r\n" * 100_000, 400),
        (b"\r\n--" * 200_000, 400),
        (b"", 422),
    ],
    ids=["long field", "9 fields", "fields", "files", "headers", "header", "disposition", "begins", "near", "empty"],
)
def test_forms_are_bounded(body: bytes, status: int, serve: Serve) -> None:
    client = serve()
    message = error(client.post("/api/classes", content=body + b"--x--\r\n", headers=FORM), status)
    assert message[0].isupper()
    assert message.endswith(".")


# -- heads and addresses -----------------------------------------------------------------------------------------------


def test_heads_and_addresses_are_bounded(client: TestClient) -> None:
    assert "4096" in error(client.get("/api/state", params={"x": "y" * 5000}), 414)
    assert "4096" in error(client.get(f"/assets/{'y' * 5000}"), 414)
    assert "16384" in error(client.get("/api/state", headers={"X": "y" * 17_000}), 431)
    many = {f"X-{number}": "y" * 100 for number in range(200)}
    assert "16384" in error(client.get("/api/state", headers=many), 431)
    assert client.get("/api/state", headers={"X": "y" * 8000}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "..%2fapp.py",
        "%2e%2e%2fapp.py",
        "..%5capp.py",
        "..\\app.py",
        "app.js%00",
        "app.js%00.css",
        "%00",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "file:%2f%2f%2fetc%2fpasswd",
        "....//app.py",
        "%252e%252e%252fapp.py",
        "%c0%ae%c0%ae%c0%afapp.py",
        "APP.JS",
        "app.js/",
        "app.js;x",
        "x" * 4000,
    ],
)
def test_only_the_pages_own_files_are_served(name: str, serve: Serve) -> None:
    message = error(serve(token=TOKEN).get(f"/assets/{name}", follow_redirects=False), 404)
    assert "passwd" not in message


@pytest.mark.parametrize(
    "target", ["/../../etc/passwd", "/assets/../../app.py", "http://evil.example/api/state", "*", "\\..\\x", "//evil/x"]
)
def test_targets_as_they_come_over_the_wire(target: str, address: tuple[str, int]) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n\r\n"
    answer = talk(address, head.encode())
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.1 401")), answer
    assert b"root:" not in answer


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PUT"])
def test_other_methods(method: str, serve: Serve) -> None:
    client = serve(token=TOKEN)
    assert client.request(method, "/health").status_code == 405
    assert client.request(method, "/api/state").status_code == 401
    authorized = client.request(method, "/api/state", headers={"Authorization": f"Bearer {TOKEN}"})
    assert authorized.status_code == 405


def test_there_are_no_websockets(serve: Serve, address: tuple[str, int]) -> None:
    with pytest.raises(WebSocketDisconnect), serve().websocket_connect("/api/state"):
        pass
    head = (
        f"GET /api/state HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: Upgrade, close\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " not in talk(address, head.encode()).split(b"\r\n")[0]


HEAD = "POST /api/classify HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: text/plain\r\n{lines}\r\n"
HIDDEN = "GET /api/state HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x4\r\n",
        "Content-Length : 4\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "A\0: b\r\n",
        "A: b\0\r\n",
    ],
)
def test_ambiguous_requests_are_refused(lines: str, address: tuple[str, int]) -> None:
    """Where a proxy and this server might disagree about a request's end, the rest would be another request."""
    host, port = address
    text = HEAD.format(host=host, port=port, lines=lines) + HIDDEN.format(host=host, port=port)
    answer = talk(address, text.encode())
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_chunks_win_over_a_length(address: tuple[str, int]) -> None:
    """As the standard says; what looks like a second request is the chunks' content."""
    host, port = address
    hidden = HIDDEN.format(host=host, port=port)
    lines = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    body = f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"
    answer = talk(address, (HEAD.format(host=host, port=port, lines=lines) + body).encode())
    assert answer.count(b"HTTP/1.1 ") == 1


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["token", "access_token", "Token", "authorization"])
@pytest.mark.parametrize("path", ["/", "/api/state"])
def test_a_token_in_the_address_is_refused(name: str, path: str, serve: Serve) -> None:
    client = serve(token=TOKEN)
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        message = error(client.get(path, params={name: TOKEN}, headers=headers), 400)
        assert "header" in message
        assert TOKEN not in message


def test_the_token_is_told_nowhere(bundle: Path) -> None:
    """Not on the command's output, not in its log, not in an answer, not to the decoders."""
    with command(bundle, FEWSHOT_AUDIO_TOKEN=TOKEN) as (process, url, promise):
        import httpx

        headers = {"Authorization": f"Bearer {TOKEN}"}
        clip = {"clip": ("a.wav", tone_wav(300))}
        answers = [
            httpx.get(f"{url}/api/state", headers={"Authorization": f"Bearer {TOKEN}x"}),
            httpx.get(f"{url}/?token={TOKEN}"),
            httpx.get(f"{url}/openapi.json"),
            httpx.get(f"{url}/metrics", headers=headers),
            httpx.post(f"{url}/api/classify", headers=headers, files=clip, timeout=60),
        ]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        decoders = [
            int(word) for task in children.parent.parent.iterdir() for word in (task / "children").read_text().split()
        ]
        assert decoders
        for decoder in decoders:
            assert TOKEN.encode() not in Path(f"/proc/{decoder}/environ").read_bytes()
        assert TOKEN not in Path(f"/proc/{process.pid}/cmdline").read_text()
        process.send_signal(signal.SIGTERM)
        output = "".join(map(str, process.communicate(timeout=60)))
    assert TOKEN not in promise + output
    for answer in answers:
        assert TOKEN not in answer.text
        assert TOKEN not in str(answer.headers)


def test_a_token_on_the_command_line_is_warned_of(bundle: Path) -> None:
    with command(bundle, "--token", TOKEN) as (process, _, _):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert "FEWSHOT_AUDIO_TOKEN" in err
    assert TOKEN not in err
    assert process.returncode == 0


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a\nb", "a\r\nERROR forged", "\x1b[31mred", "a\x00", "a\u202eb", "a\u2028b", "\x9b31m"]
)
def test_names_that_forge_logs_are_refused(name: str, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = serve()
    teach(client, low=300.0)
    assert "printable" in error(client.patch("/api/classes", params={"name": "low"}, json={"name": name}), 422)
    error(client.delete("/api/classes", params={"name": name}), 404)
    assert names(client) == {"low": 3}
    assert not [
        character for record in caplog.records for character in "\x1b\x9b\r\u202e" if character in record.getMessage()
    ]


def test_file_names_lose_what_is_not_printable_and_are_not_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = serve()
    hostile = "\x1b[2J\x1b[31mERROR forged.wav"
    response = client.post(
        "/api/classes", data={"name": "low"}, files=[("clips", (hostile, tone_wav(300))), ("clips", (hostile, b"text"))]
    )
    assert response.status_code == 200
    assert response.json()["state"]["classes"][0]["clip_names"] == ["[2J[31mERROR forged.wav"]
    assert not [record for record in caplog.records if "forged" in record.getMessage()]


# -- sentences ---------------------------------------------------------------------------------------------------------

Question = Callable[[TestClient], Any]
QUESTIONS: dict[str, tuple[Question, int, str]] = {
    "no name": (
        lambda client: client.post("/api/classes", files={"clips": ("a.wav", b"x")}),
        422,
        "The field “name” is missing; expected a class's name.",
    ),
    "no clips": (
        lambda client: client.post("/api/classes", data={"name": "a"}, files={"x": ("a.wav", b"x")}),
        422,
        "The field “clips” is missing; expected one or more recordings, as files of multipart/form-data.",
    ),
    "a text as clip": (lambda client: client.post("/api/classify", data={"clip": "x"}), 422, "expected a recording"),
    "no new name": (
        lambda client: client.patch("/api/classes", params={"name": "low"}, json={}),
        422,
        "The field “name” is missing; expected a class's name.",
    ),
    "no body": (lambda client: client.patch("/api/classes", params={"name": "low"}), 422, "Expected a JSON object"),
    "no object": (lambda client: client.patch("/api/classes", params={"name": "low"}, json=[1]), 422, "JSON object"),
    "no JSON": (
        lambda client: client.patch("/api/classes", params={"name": "low"}, content=b"{", headers=JSON),
        422,
        "The body is not JSON",
    ),
    "deep JSON": (
        lambda client: client.patch("/api/classes", params={"name": "low"}, content=b"[" * 4000, headers=JSON),
        400,
        "The body cannot be read",
    ),
    "a number as name": (
        lambda client: client.patch("/api/classes", params={"name": "low"}, json={"name": 3}),
        422,
        "The field “name” cannot be used (input should be a valid string); expected a class's name.",
    ),
    "no class": (
        lambda client: client.delete("/api/classes"),
        422,
        "The query parameter “name” is missing; expected a class's name.",
    ),
    "a word as revision": (
        lambda client: client.delete("/api/classes", params={"name": "low", "revision": "new"}),
        422,
        "expected the revision of a state, a whole number.",
    ),
    "no such path": (lambda client: client.get("/nowhere"), 404, "There is nothing at this address. /docs lists"),
    "no such method": (lambda client: client.put("/api/state"), 405, "does not take that method. /docs lists"),
    "no boundary": (
        lambda client: client.post("/api/classify", content=b"x", headers={"Content-Type": "multipart/form-data"}),
        400,
        "boundary",
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_errors_are_sentences_that_say_what_was_expected(name: str, serve: Serve) -> None:
    client = serve()
    teach(client, low=300.0)
    question, status, words = QUESTIONS[name]
    assert words in error(question(client), status)
    assert names(client) == {"low": 3}
