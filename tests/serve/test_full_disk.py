"""A full disk, wherever the server writes: a clear answer, nothing that was there is lost, nothing is called saved."""

import errno
import io
import logging
import resource
import signal
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors import SafetensorError

from fewshot_audio.errors import DataError, WriteError
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.serve.decoder import Decoder
from tests.serve.conftest import LIMITS, Serve
from tests.serve.fake import FakeRecognizer
from tests.serve.sounds import tone_wav
from tests.serve.test_api import HIGH, LOW, classify, enroll, error, names, teach
from tests.serve.test_command import command

FULL = OSError(errno.ENOSPC, "No space left on device", "/secret/place")
SMALL = 4096  # bytes that a file may have where the disk is "full"


class FullDisk(FakeRecognizer):
    """Cannot be saved as long as ``failure`` is there."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure: Exception | None = failure

    def save(self, folder: Path) -> None:
        if self.failure:
            raise self.failure
        super().save(folder)


def write_error() -> WriteError:
    """As the library raises it: with the disk's error as its cause."""
    failure = WriteError("/secret/place/recognizer.json: cannot be written: No space left on device")
    failure.__cause__ = FULL
    return failure


FAILURES: dict[str, tuple[Exception, str]] = {
    "the system's": (FULL, "No space left on device"),
    "our own": (write_error(), "No space left on device"),
    "a lock": (DataError("BUNDLE: another program is writing it"), "the folder: another program is writing it"),
    "safetensors'": (SafetensorError("I/O error in /secret/place"), "SafetensorError"),
    "anything": (RuntimeError("/secret/place"), "RuntimeError"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_whatever_saving_raises_the_change_is_told_to_be_unsaved(
    kind: str, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failure, words = FAILURES[kind]
    folder = tmp_path / "bundle"
    if isinstance(failure, DataError):
        failure = DataError(str(failure).replace("BUNDLE", str(folder)))
    backend = FullDisk(failure)
    client = serve(backend, folder=folder)
    for number in (1, 2):
        state = enroll(client, "low", tone_wav(LOW, number)).json()["state"]
        assert state["unsaved"] == number
        assert words in state["save_error"]
        assert "/" not in state["save_error"]
    assert client.get("/api/state").json() == state
    assert "Traceback" in caplog.text
    backend.failure = None
    state = client.patch("/api/classes", params={"name": "low"}, json={"name": "deep"}).json()
    assert (state["unsaved"], state["save_error"]) == (0, None)
    assert FakeRecognizer.load(folder).classes == ["deep"]


def test_a_server_whose_files_may_not_grow_says_so_and_makes_up_for_it(bundle: Path) -> None:
    """The real command and the real bundle, under a limit on the size of files that is lifted in the end."""
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    with command(bundle, "--save") as (process, url, _):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))
        with httpx.Client(base_url=url, timeout=60) as client:
            clips = [("clips", ("a.wav", tone_wav(300, seconds=0.1)))]
            state = client.post("/api/classes", data={"name": "low"}, files=clips).json()["state"]
            assert state["unsaved"] == 1, state
            assert "File too large" in state["save_error"]
            assert Recognizer.load(bundle).classes == []
            assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
            refused = client.get("/api/bundle")
            assert refused.status_code == 507
            assert "cannot be packed" in refused.json()["error"]["message"]
            large = client.post("/api/classify", files={"clip": ("a.wav", bytes(2 << 20))})
            assert large.status_code == 507, large.text
            assert "File too large" in large.json()["error"]["message"]
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            state = client.post("/api/classes", data={"name": "high"}, files=clips).json()["state"]
            assert (state["unsaved"], state["save_error"]) == (0, None)
            assert zipfile.ZipFile(io.BytesIO(client.get("/api/bundle").content)).testzip() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "not saved" in err
    assert Recognizer.load(bundle).classes == ["low", "high"]


def test_no_half_a_bundle_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    teach(client, low=LOW)

    def full(*_: Any) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "write", full)
        message = error(client.get("/api/bundle"), 507)
    assert "No space left on device" in message
    assert "/" not in message
    with monkeypatch.context() as patch:
        patch.setattr(FakeRecognizer, "save", lambda *_: full_folder())
        assert "No space left on device" in error(client.get("/api/bundle"), 507)
    response = client.get("/api/bundle")
    assert int(response.headers["content-length"]) == len(response.content)


def full_folder() -> None:
    raise write_error()


def test_uploads_that_cannot_be_stored(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads above one megabyte go into a temporary file."""

    def full(*_: Any, **__: Any) -> None:
        raise FULL

    client = serve(limits=type(LIMITS)(total_clips=9))
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    message = error(classify(client, bytes(2 << 20)), 507)
    assert "cannot be stored" in message
    assert "/secret" not in message


def test_decoders_without_a_folder(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = serve(decoder=Decoder(16_000, LIMITS))
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        message = error(enroll(client, "low", tone_wav(LOW), tone_wav(LOW, 1)), 507)
        assert "cannot be decoded" in message
        assert str(tmp_path) not in message
    assert names(client) == {}
    teach(client, low=LOW)


def test_an_upload_that_cannot_be_stored_is_not_called_the_recordings_fault(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise FULL

    client = serve()
    monkeypatch.setattr(Path, "write_bytes", full)
    message = error(classify(client, tone_wav(LOW)), 507)
    assert "No space left on device" in message
    assert "/secret" not in message


def test_a_decoding_process_keeps_a_lower_limit_that_it_was_given(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    decoder = Decoder(16_000, LIMITS, [sys.executable, "-c", LIMITED])
    try:
        assert len(decoder.decode(tone_wav(HIGH), "a.wav").samples) == 9600
    finally:
        decoder.close()


LIMITED = (
    "import resource, sys; from fewshot_audio.audio import decode_worker as w\n"
    "resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20)); set = resource.setrlimit\n"
    "def strict(kind, limits):\n"
    "    assert kind != resource.RLIMIT_AS or limits[1] <= 700 << 20; set(kind, limits)\n"
    "resource.setrlimit = strict; w.main(int(sys.argv[1]))"
)
