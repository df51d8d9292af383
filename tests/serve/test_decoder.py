"""Decoding in processes of their own: what comes back, and what cannot get out."""

import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.audio.decode import decode
from fewshot_audio.audio.decode_messages import BLOCK, DONE, HEAD, REJECTED
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.sandbox import DecodingProcess
from fewshot_audio.serve.decoder import Decoder
from tests.audio import flavors
from tests.serve.conftest import LIMITS, SharedDecoder
from tests.serve.hostile import UPLOADS
from tests.serve.sounds import tone, tone_wav, wav


def reply(kind: bytes, payload: bytes, length: int | None = None) -> str:
    """Code of a worker that answers so."""
    message = HEAD.pack(kind, len(payload) if length is None else length) + payload
    return f"import sys; sys.stdin.buffer.readline(); sys.stdout.buffer.write({message!r}); sys.stdout.flush()"


def program(code: str) -> list[str]:
    """A worker that does something else."""
    return [sys.executable, "-c", code]


@pytest.fixture
def temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process's temporary folders go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def single(temporary_folders: Path) -> Iterator[Decoder]:
    """A pool of one process."""
    decoder = Decoder(16_000, replace(LIMITS, decoders=1))
    yield decoder
    decoder.close()


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("OGG", "VORBIS")])
def test_the_samples_are_those_of_decode(kind: str, subtype: str, decoder: SharedDecoder, tmp_path: Path) -> None:
    data = wav(tone(440), 22_050, subtype, kind)
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data)
    np.testing.assert_array_equal(decoder.decode(data, path.name).samples, decode(path).samples)


@pytest.mark.parametrize("name", sorted(UPLOADS))
def test_hostile_uploads_are_rejected_with_a_reason(name: str, decoder: SharedDecoder) -> None:
    """Some of them hold sound: then it is finite, and as short as allowed."""
    file, data = UPLOADS[name]
    if name in ("4 GB claimed", "ten hours claimed", "truncated samples"):
        samples, damage = decoder.decode(data, file)
        assert damage.startswith("damaged: ") == (name != "4 GB claimed")  # as programs write it that know no size
        assert np.isfinite(samples).all()
        assert len(samples) <= 16_000 * LIMITS.clip_seconds
        return
    with pytest.raises(Rejected) as rejection:
        decoder.decode(data, file)
    assert rejection.value.detail
    assert "/" not in rejection.value.detail  # no path of the server


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text", Reason.UNREADABLE),
        ("empty", Reason.EMPTY),
        ("silence", Reason.SILENT),
        ("no samples", Reason.EMPTY),
        ("NaN", Reason.NON_FINITE),
        ("infinite", Reason.NON_FINITE),
        ("ten minutes", Reason.TOO_LONG),
        ("zip", Reason.NOT_AUDIO),
        ("zip as wav", Reason.UNREADABLE),
        ("no extension", Reason.NOT_AUDIO),
    ],
)
def test_reasons(name: str, reason: Reason, decoder: SharedDecoder) -> None:
    file, data = UPLOADS[name]
    with pytest.raises(Rejected) as rejection:
        decoder.decode(data, file)
    assert rejection.value.reason == reason


def test_what_is_wrong_with_a_file_is_told(decoder: SharedDecoder, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    flavors.edited(path, flavors.by_soundfile, flavors.halved)
    samples, damage = decoder.decode(path.read_bytes(), path.name)
    assert re.fullmatch(r"damaged: [\d.]+ of 6 s heard", damage)
    assert len(samples) == pytest.approx(16_000 * 3, rel=0.1)


def test_a_recording_that_is_too_long_is_decoded_no_further(temporary_folders: Path) -> None:
    """Nor is the process believed that sends it."""
    code = f"import sys\nwhile True: sys.stdout.buffer.write({HEAD.pack(BLOCK, 4000)!r} + bytes(4000))"
    decoder = Decoder(16_000, replace(LIMITS, decoders=1), program(code))
    with pytest.raises(Rejected, match="too long: more than 5 s"):
        decoder.decode(tone_wav(300), "a.wav")
    decoder.close()


def test_a_process_is_used_again_after_good_files_only(single: Decoder, temporary_folders: Path) -> None:
    def idle() -> DecodingProcess | None:
        process = single._idle.get()
        single._idle.put(process)
        return process

    assert idle() is None
    single.decode(tone_wav(300), "a.wav")
    first = idle()
    assert first
    single.decode(tone_wav(300), "a.wav")
    assert idle() is first
    assert not first.ended
    with pytest.raises(Rejected):
        single.decode(b"text", "a.wav")
    assert idle() is None
    assert first.ended
    single.decode(tone_wav(300), "a.wav")
    assert idle() is not None
    assert list(temporary_folders.iterdir()) == []


def test_a_decoder_that_hangs_is_killed_with_all_that_it_started(temporary_folders: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, pathlib; p = subprocess.Popen(['sleep', '1000']); "
        f"pathlib.Path({str(note)!r}).write_text(str(p.pid)); p.wait()"
    )
    decoder = Decoder(16_000, replace(LIMITS, decoders=1, decode_seconds=1.0), program(code))
    with pytest.raises(Rejected, match="took longer than 1 s"):
        decoder.decode(tone_wav(300), "a.wav")
    for _ in range(500):
        if not is_alive(int(note.read_text())):
            break
        time.sleep(0.01)
    assert not is_alive(int(note.read_text()))
    decoder.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "code",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "raise SystemExit(3)",
        reply(BLOCK, b"", (1 << 32) - 1),
        reply(BLOCK, b"1234567"),
        reply(REJECTED, b"{}"),
        reply(REJECTED, b'{"reason": "none", "detail": ""}'),
        reply(REJECTED, b"[1, 2, 3]"),
        reply(REJECTED, b"\xff{}"),
        reply(DONE, b"[" * 50_000),
        reply(BLOCK, b"1", 4),
        reply(b"r", b"16000"),
        "print()",
    ],
    ids=[
        *("segfault", "exit", "endless", "odd samples", "no reason", "other reason", "no object", "no text", "depth"),
        *("half a message", "another message", "no message"),
    ],
)
def test_a_decoder_that_crashes_costs_its_file_only(code: str, temporary_folders: Path) -> None:
    decoder = Decoder(16_000, replace(LIMITS, decoders=1), program(code))
    for _ in range(2):
        with pytest.raises(Rejected, match="damaged: the decoder crashed"):
            decoder.decode(tone_wav(300), "a.wav")
    decoder.close()
    assert list(temporary_folders.iterdir()) == []


def test_an_upload_that_nobody_reads_does_not_block(temporary_folders: Path) -> None:
    """More than a pipe holds, into a process that never reads."""
    limits = replace(LIMITS, decoders=1, decode_seconds=0.5)
    decoder = Decoder(16_000, limits, program("import time; time.sleep(1000)"))
    with pytest.raises(Rejected, match="took longer"):
        decoder.decode(bytes(4 << 20), "a.wav")
    decoder.close()


def test_a_process_without_samples(temporary_folders: Path) -> None:
    decoder = Decoder(16_000, replace(LIMITS, decoders=1), program(reply(DONE, b'{"damage": ""}')))
    with pytest.raises(Rejected, match="empty: the recording has 0 samples"):
        decoder.decode(tone_wav(300), "a.wav")
    decoder.close()


def test_memory_is_bounded(temporary_folders: Path) -> None:
    """Samples that take 400 MB, in a process that may hold 300 MB, libraries included."""
    code = (
        "import sys, numpy as np; from fewshot_audio.audio import decode_worker as w\n"
        "w.send_samples = lambda *_: str(np.ones(100_000_000, np.float32).sum()); w.main(int(sys.argv[1]))"
    )
    decoder = Decoder(16_000, replace(LIMITS, decoders=1, decode_bytes=300 << 20), program(code))
    with pytest.raises(Rejected, match="needs more memory than is allowed"):
        decoder.decode(tone_wav(300), "a.wav")
    decoder.close()


def test_a_long_recording_takes_little_memory(temporary_folders: Path) -> None:
    """An hour of sound, allowed by its length: the process sends the samples, 230 MB, block by block."""
    limits = replace(LIMITS, decoders=1, clip_seconds=7200.0, decode_bytes=300 << 20)
    decoder = Decoder(16_000, limits)
    samples = np.zeros(3600 * 4000, dtype=np.int16)
    samples[::4000] = 5000
    assert len(decoder.decode(wav(samples, 4000, kind="FLAC"), "a.flac").samples) == 3600 * 16_000
    decoder.close()


def test_a_worker_that_was_killed_between_files_is_replaced(single: Decoder) -> None:
    single.decode(tone_wav(300), "a.wav")
    process = single._idle.get()
    assert process is not None
    os.kill(process._child.pid, signal.SIGKILL)
    single._idle.put(process)
    with pytest.raises(Rejected, match="crashed"):
        single.decode(tone_wav(300), "a.wav")
    assert len(single.decode(tone_wav(300), "a.wav").samples) == 9600


def test_a_worker_whose_time_is_up_just_after_it_finished_is_replaced(
    single: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = DecodingProcess.message

    def late(process: DecodingProcess, *kinds: bytes) -> tuple[bytes, Any]:
        answer = message(process, *kinds)
        if answer[0] == DONE:
            time.sleep(1.5)
        return answer

    single.limits = replace(single.limits, decode_seconds=1.0)
    monkeypatch.setattr(DecodingProcess, "message", late)
    assert len(single.decode(tone_wav(300), "a.wav").samples) == 9600
    monkeypatch.undo()
    assert len(single.decode(tone_wav(300), "a.wav").samples) == 9600


def test_side_by_side(decoder: SharedDecoder) -> None:
    """More threads than processes, good and bad files mixed: everybody gets their own answer."""
    answers: dict[int, object] = {}

    def work(number: int) -> None:
        data = b"text" if number % 3 == 0 else wav(np.full(2000 + number, 0.1), subtype="FLOAT")
        try:
            answers[number] = len(decoder.decode(data, "a.wav").samples)
        except Rejected as rejected:
            answers[number] = rejected.reason

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: Reason.UNREADABLE if n % 3 == 0 else 2000 + n for n in range(12)}
