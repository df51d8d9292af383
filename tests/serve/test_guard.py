"""The checks on requests: hosts, origins, tokens, sizes, numbers, times."""

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from fewshot_audio.serve.decoder import Decoder
from fewshot_audio.serve.guard import SECURITY_HEADERS, RequestGuard
from fewshot_audio.serve.metrics import Metrics
from tests.serve.conftest import LIMITS, Serve, SharedDecoder
from tests.serve.fake import FakeRecognizer
from tests.serve.hostile import UPLOADS
from tests.serve.live import running
from tests.serve.sounds import tone_wav
from tests.serve.test_api import classify, error, names, teach

TOKEN = "0123456789abcdef-secret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "192.168.1.7", "box.example:8000"],
)
def test_own_names(host: str, serve: Serve) -> None:
    client = serve(hosts=frozenset({"box.example"}))
    assert client.get("/api/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "a b", "[::1"],
)
def test_foreign_names_are_turned_away(host: str, serve: Serve) -> None:
    """DNS rebinding: a page of evil.example whose name resolves to this machine."""
    client = serve()
    for path in ("/", "/api/state", "/health"):
        assert "host name" in error(client.get(path, headers={"Host": host}), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8001"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "localhost:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=lambda headers: next(iter(headers.values())) or "empty",
)
def test_other_pages_cannot_change_anything(headers: dict[str, str], serve: Serve) -> None:
    client = serve()
    teach(client, low=300.0)
    error(client.delete("/api/classes", params={"name": "low"}, headers=headers), 403)
    error(client.patch("/api/classes", params={"name": "low"}, json={"name": "x"}, headers=headers), 403)
    error(client.post("/api/classify", files={"clip": ("a.wav", tone_wav(300))}, headers=headers), 403)
    assert names(client) == {"low": 3}


def test_the_own_page_can(serve: Serve) -> None:
    client = serve()
    teach(client, low=300.0)
    headers = {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.delete("/api/classes", params={"name": "low"}, headers=headers).status_code == 200


def test_cors_is_closed(serve: Serve) -> None:
    client = serve()
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    for response in (client.options("/api/classes", headers=preflight), client.get("/api/state", headers=preflight)):
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert client.options("/api/classes", headers=preflight).status_code == 405


def test_every_answer_carries_the_security_headers(serve: Serve) -> None:
    client = serve()
    for path in ("/", "/assets/app.js", "/docs", "/api/state", "/metrics", "/nowhere"):
        headers = client.get(path).headers
        assert {name: headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    refused = client.get("/", headers={"Host": "evil.example"})
    assert {name: refused.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


GUARDED = [
    "/api/state",
    "/api/map",
    "/api/diagnosis",
    "/api/bundle",
    "/metrics",
    "/nowhere",
    "/api/state/",
    "//api/state",
]


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe9"],
)
def test_without_the_token_nothing_is_told(path: str, authorization: str | None, serve: Serve) -> None:
    client = serve(token=TOKEN)
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    response = client.get(f"http://localhost:8000{path}", headers=headers)  # type: ignore[arg-type]
    assert "token" in error(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"


def test_with_the_token(serve: Serve) -> None:
    client = serve(token=TOKEN)
    for public in ("/", "/assets/app.js", "/assets/style.css", "/docs", "/openapi.json", "/health"):
        response = client.get(public)
        assert response.status_code == 200
        assert TOKEN not in response.text
    error(client.post("/api/classes", data={"name": "a"}, files={"clips": ("a.wav", tone_wav(300))}), 401)
    client.headers.update({"Authorization": f"bearer {TOKEN}"})
    teach(client, low=300.0)
    assert names(client) == {"low": 3}


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "%2fetc%2fpasswd", "x", ""]
)
def test_assets_are_a_list_and_no_folder(name: str, serve: Serve) -> None:
    assert serve().get(f"/assets/{name}").status_code == 404


def test_too_large(serve: Serve) -> None:
    client = serve()
    assert "1 MB" in error(classify(client, bytes(1 << 20)), 413)

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(1 << 16)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "1 MB" in error(client.post("/api/classify", content=pieces(), headers=kind), 413)
    error(client.request("DELETE", "/api/classes", params={"name": "x"}, content=bytes(2 << 20)), 413)


def test_compressed_bodies_are_not_unpacked(serve: Serve) -> None:
    error(serve().post("/api/classify", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), 415)


def test_hostile_uploads_cost_nobody_anything(serve: Serve) -> None:
    client = serve()
    teach(client, low=300.0, high=3000.0)
    for name, (file, data) in UPLOADS.items():
        response = classify(client, data, file)
        assert response.status_code in (200, 422), name
        if response.status_code == 422:
            error(response, 422)
        assert classify(client, tone_wav(3000, 5)).json()["label"] == "high", name
    reply = client.post(
        "/api/classes",
        data={"name": "low"},
        files=[("clips", UPLOADS[name]) for name in ("NaN", "zip", "65535 channels")]
        + [("clips", ("a.wav", tone_wav(300)))],
    )
    assert reply.status_code == 200, reply.text
    assert (reply.json()["enrolled"], len(reply.json()["rejected"])) == (1, 3)


def test_a_hanging_decoder_delays_only_itself(serve: Serve) -> None:
    """One of two decoders hangs; good requests go on meanwhile."""
    limits = replace(LIMITS, decode_seconds=2.0)
    code = (
        "import sys; from fewshot_audio.audio import decode_worker as w; send_samples = w.send_samples\n"
        "def hang(path, *rest):\n"
        "    import time; b'hang' in path.read_bytes() and time.sleep(1000)\n"
        "    return send_samples(path, *rest)\n"
        "w.send_samples = hang; w.main(int(sys.argv[1]))"
    )
    client = serve(limits=limits, decoder=Decoder(16_000, limits, [sys.executable, "-c", code]))
    teach(client, low=300.0, high=3000.0)
    outcome: dict[str, Any] = {}

    def ask() -> None:
        outcome["hanging"] = classify(client, b"hang" * 100)
        outcome["order"] = list(outcome)

    thread = threading.Thread(target=ask)
    thread.start()
    outcome["good"] = classify(client, tone_wav(300, 5)).json()["label"]
    thread.join()
    assert outcome["good"] == "low"
    assert outcome["order"][0] == "good"
    assert "longer than 2 s" in error(outcome["hanging"], 422)
    assert classify(client, tone_wav(3000, 5)).json()["label"] == "high"


class Pausing(FakeRecognizer):
    """Waits in the middle of an answer until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.inside = self.most = 0

    def classify_with_embeddings(self, clips: Any) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.go.wait()
        answer = super().classify_with_embeddings(clips)
        self.inside -= 1
        return answer


class Counting:
    """The shared decoder; every recording that reaches it belongs to a request that has its place."""

    def __init__(self, decoder: SharedDecoder) -> None:
        self.decoder = decoder
        self.reached = threading.Semaphore(0)

    def decode(self, data: bytes, name: str) -> Any:
        self.reached.release()
        return self.decoder.decode(data, name)

    def close(self) -> None:
        """The decoder is shared."""


@pytest.mark.parametrize(("changes", "status"), [({"requests": 3}, 503), ({"requests_per_client": 3}, 429)])
def test_only_so_many_wait(changes: dict[str, int], status: int, serve: Serve, decoder: SharedDecoder) -> None:
    backend, counting = Pausing(), Counting(decoder)
    client = serve(backend, limits=replace(LIMITS, **changes), decoder=counting)
    teach(client, low=300.0)
    for _ in range(3):
        assert counting.reached.acquire(timeout=0)  # the enrolled clips
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(classify(client, tone_wav(300)).status_code)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            assert counting.reached.acquire(timeout=60), answers
        refused = client.get("/api/state")
        assert answers == []
        error(refused, status)
        assert refused.headers["retry-after"] == "1"
        assert client.get("/health").status_code == 200
        assert client.get("/").status_code == 200
    finally:
        backend.go.set()
        for thread in threads:
            thread.join()
    assert answers == [200, 200, 200]
    assert backend.most == 1  # the model answers one at a time
    assert client.get("/api/state").status_code == 200


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    """Against a real socket: a client that sends half a request and waits."""
    with running(FakeRecognizer(), limits=replace(LIMITS, upload_seconds=0.3)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(
                f"POST /api/classify HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode()
            )
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 408")
        assert httpx.get(f"{url}/api/state").status_code == 200


def test_a_client_that_goes_away_is_forgotten() -> None:
    backend = Pausing()
    with running(backend, limits=replace(LIMITS, requests=1)) as url:
        clips = [("clips", ("a.wav", tone_wav(300)))]
        assert httpx.post(f"{url}/api/classes", data={"name": "low"}, files=clips, timeout=60).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/api/classify", files={"clip": ("a.wav", tone_wav(300))}, timeout=1)
        backend.go.set()
        for _ in range(200):
            if httpx.get(f"{url}/api/state").status_code == 200:
                break
            time.sleep(0.02)
        assert httpx.get(f"{url}/api/state").status_code == 200


async def _call(guard: RequestGuard, scope: Scope, messages: AsyncIterator[Message]) -> tuple[int, dict[str, Any]]:
    sent: list[Message] = []

    async def receive() -> Message:
        return await anext(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_refused_client_may_finish_sending_so_that_it_sees_the_answer() -> None:
    read = 0

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the application must not be reached")

    async def messages() -> AsyncIterator[Message]:
        nonlocal read
        for remaining in range(9, -1, -1):
            read += 1
            yield {"type": "http.request", "body": bytes(1000), "more_body": remaining > 0}

    scope = {"type": "http", "method": "POST", "path": "/api/classify", "headers": [(b"host", b"evil.example")]}
    guard = RequestGuard(never, frozenset(), None, LIMITS, Metrics())
    status, body = asyncio.run(_call(guard, scope, messages()))
    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert read == 10


def test_two_host_headers_are_one_too_many() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the application must not be reached")

    async def messages() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    guard = RequestGuard(never, frozenset(), None, LIMITS, Metrics())
    assert asyncio.run(_call(guard, scope, messages()))[0] == 403


def test_an_error_inside_tells_nothing_of_the_inside(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    class Broken(FakeRecognizer):
        def diagnose(self) -> Any:
            raise RuntimeError("secret path /home/user")

    client = serve(Broken())
    teach(client, low=300.0)
    client._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    message = error(client.get("/api/diagnosis"), 500)
    assert "secret" not in message
    assert names(client) == {"low": 3}
