"""Clients that send the largest and the strangest requests that a server's limits allow, each in a process of its own.

python -m tests.soak.floods KIND HOST PORT SECONDS

A flood repeats its request for that many seconds, at least once, and prints the answers' statuses.
"""

import io
import itertools
import socket
import sys
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import numpy as np

MEGABYTE = 1 << 20
LARGEST = 64 * MEGABYTE
DRIPPING_CLIENTS = 32

Flood = Callable[[str, int, float], Counter[str]]


def recording(seconds: float, rate: int, channels: int = 1) -> bytes:
    """A wav file of noise."""
    noise = np.random.default_rng(0).normal(scale=3000, size=round(seconds * rate) * channels).astype("<i2")
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(noise.tobytes())
    return stream.getvalue()


def body(*parts: tuple[str, bytes]) -> bytes:
    """A multipart body with the boundary x."""
    joined = b"".join(f"--x\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
    return joined + b"--x--\r\n"


def file_part(name: str, data: bytes) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="a.wav"', data


def clip(data: bytes) -> bytes:
    return body(file_part("clip", data))


def filled(pattern: bytes, size: int = LARGEST - MEGABYTE) -> bytes:
    return pattern * (size // len(pattern))


def http_flood(method: str, path: str, content: bytes = b"", content_type: str | None = None) -> Flood:
    """Send a request again and again."""

    def flood(host: str, port: int, seconds: float) -> Counter[str]:
        statuses: Counter[str] = Counter()
        headers = {"Content-Type": content_type} if content_type else {}
        deadline = time.monotonic() + seconds
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=120) as client:
            while not statuses or time.monotonic() < deadline:
                try:
                    response = client.request(method, path, content=content or None, headers=headers)
                    statuses[str(response.status_code)] += 1
                except httpx.TransportError as error:  # a server that refuses may close the connection
                    statuses[type(error).__name__] += 1
        return statuses

    return flood


def form_flood(path: str, content: bytes) -> Flood:
    return http_flood("POST", path, content, FORM)


def chunk_flood(path: str, content_type: str, total: int) -> Flood:
    """Send a body in chunks of one byte, as fast as the server takes them."""

    def flood(host: str, port: int, seconds: float) -> Counter[str]:
        chunks = b"1\r\na\r\n" * (total // 6)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\n"
        head += "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        statuses: Counter[str] = Counter()
        deadline = time.monotonic() + seconds
        while not statuses or time.monotonic() < deadline:
            with socket.create_connection((host, port), timeout=120) as client:
                try:
                    client.sendall(head.encode() + b"6a\r\n" + PREFIX + b"\r\n" + chunks + b"0\r\n\r\n")
                    statuses[client.recv(65536).partition(b"\r\n")[0].decode()] += 1
                except OSError as error:
                    statuses[type(error).__name__] += 1
        return statuses

    return flood


PREFIX = b'--x\r\nContent-Disposition: form-data; name="clip"; filename="a.wav"\r\n\r\n'.ljust(0x6A, b"a")


def drip_flood(host: str, port: int, seconds: float) -> Counter[str]:
    """Many clients that send a byte of their heads, or of their bodies, at a time."""
    head = f"POST /api/classify HTTP/1.1\r\nHost: {host}:{port}\r\nX: ".encode()
    start = f"POST /api/classify HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 60000000\r\n".encode()
    start += b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + PREFIX
    clients = [socket.create_connection((host, port), timeout=120) for _ in range(DRIPPING_CLIENTS)]
    for number, client in enumerate(clients):
        client.sendall(start if number % 2 else head)
    deadline = time.monotonic() + seconds
    sent: Counter[str] = Counter()
    for client in itertools.cycle(clients):
        if time.monotonic() > deadline:
            break
        try:
            client.sendall(b"a")
            sent["bytes"] += 1
        except OSError:
            sent["refused"] += 1
        time.sleep(0.0005)
    for client in clients:
        client.close()
    return sent


def pipeline_flood(host: str, port: int, seconds: float) -> Counter[str]:
    """Thousands of requests in one piece."""
    request = f"GET /api/state HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    answers: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    with socket.create_connection((host, port), timeout=120) as client:
        client.sendall(request * 2000)
        while time.monotonic() < deadline and (block := client.recv(1 << 20)):
            answers["200"] += block.count(b"HTTP/1.1 200")
    return answers


def fifty_clips() -> bytes:
    name = ('Content-Disposition: form-data; name="name"', b"flooded")
    return body(name, *[file_part("clips", recording(35, 16_000)) for _ in range(50)])


def many_parts() -> Iterator[tuple[str, bytes]]:
    for _ in range(100_000):
        yield 'Content-Disposition: form-data; name="name"', b""


JSON, TEXT_FORM, FORM = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
CLASSES, CLASS, CLASSIFY = "/api/classes", "/api/classes?name=a", "/api/classify"
FLOODS: dict[str, Callable[[], Flood]] = {
    "state": lambda: http_flood("GET", "/api/state"),
    "map": lambda: http_flood("GET", "/api/map"),
    "diagnosis": lambda: http_flood("GET", "/api/diagnosis"),
    "bundle": lambda: http_flood("GET", "/api/bundle"),
    "description": lambda: http_flood("GET", "/openapi.json"),
    "largest recording": lambda: form_flood(CLASSIFY, clip(recording(299, 48_000, 2))),
    "largest upload of noise": lambda: form_flood(CLASSIFY, clip(filled(b"noise"))),
    "50 recordings": lambda: form_flood(CLASSES, fifty_clips()),
    "boundaries in a recording": lambda: form_flood(CLASSIFY, clip(filled(b"\r\n--"))),
    "line ends in a recording": lambda: form_flood(CLASSIFY, clip(filled(b"\r\n"))),
    "100,000 parts": lambda: form_flood(CLASSES, body(*many_parts())),
    "100,000 headers of a part": lambda: form_flood(CLASSES, body(("\r\n".join(["A: b"] * 100_000), b""))),
    "a part's header of 60 MB": lambda: form_flood(CLASSES, body(("A: " + "b" * 60 * MEGABYTE, b""))),
    "100,000 empty headers": lambda: form_flood(CLASSES, b"--x\r\n" + b"A:\r\n" * 100_000),
    "a name of 60 MB": lambda: http_flood("PATCH", CLASS, b'{"name": "' + filled(b"x") + b'"}', JSON),
    "deep JSON of 60 MB": lambda: http_flood("PATCH", CLASS, filled(b"["), JSON),
    "a form of 60 MB as text": lambda: http_flood("POST", CLASSES, filled(b"a=b&"), TEXT_FORM),
    "chunks of a byte, as a recording": lambda: chunk_flood(CLASSIFY, FORM, 12 * MEGABYTE),
    "chunks of a byte, refused": lambda: chunk_flood(CLASSIFY, JSON, 12 * MEGABYTE),
    "pipelined requests": lambda: pipeline_flood,
    "dripping clients": lambda: drip_flood,
}


if __name__ == "__main__":
    kind, address, number, duration = sys.argv[1:]
    flood = FLOODS[kind]()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{dict(flood(address, int(number), float(duration)))}\n")
