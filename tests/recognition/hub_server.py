"""A small Hugging Face hub on this machine: repositories of files, whose commits are numbered by their digests."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """The server; ``files`` holds the one branch of each repository, ``requests`` what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.sizes: dict[str, int] = {}
        self.private: dict[str, bool] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repository: str) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in sorted(self.files[repository].items()):
            digest.update(name.encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if is_api else parts[:2])
        files = self.server.files.get(repository)
        if files is None:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif is_api:
            sizes = {name: self.server.sizes.get(name, len(content)) for name, content in files.items()}
            siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
            self._json({"id": repository, "sha": self.server.commit(repository), "siblings": siblings})
        elif "/".join(parts[4:]) not in files:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            content = files["/".join(parts[4:])]
            headers = {
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": self.server.commit(repository),
            }
            self._answer(200, content, headers)

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/repos/create":
            values = json.loads(body)
            repository = "/".join(filter(None, (values.get("organization"), values["name"])))
            self.server.files.setdefault(repository, {})
            self.server.private[repository] = values.get("private", values.get("visibility") == "private")
            self._json({"url": f"{self.server.url}/{repository}"})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            asked = json.loads(body)["files"]
            self._json(
                {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]}
            )
        elif "/commit/" in path:
            repository = "/".join(path.strip("/").split("/")[2:4])
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.files[repository][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            commit = self.server.commit(repository)
            self._json({"commitUrl": f"{self.server.url}/{repository}/commit/{commit}", "commitOid": commit})
        else:
            self._answer(404, b"{}", {})

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
