"""Long recordings on the server: read, looked at, searched, played, written as tables, and removed."""

import base64
import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from httpx2 import Response
from starlette.testclient import TestClient

from fewshot_audio.events.annotation import Annotation, Detection
from fewshot_audio.events.read import read_annotations
from fewshot_audio.serve import recording_search, recording_store
from fewshot_audio.serve.app import create_app
from fewshot_audio.serve.long_recording import LongRecording
from fewshot_audio.serve.recording_search import without_rejected
from fewshot_audio.serve.spectrogram_file import HOP, LOWEST_DB, ROWS, STEP_DB, SpectrogramWriter, levels, read_columns
from tests.events.detection.recordings import RATE, write_recording
from tests.serve.conftest import LIMITS, Serve, SharedDecoder
from tests.serve.fake import FakeRecognizer
from tests.serve.sounds import tone, wav
from tests.serve.test_api import error

SECONDS = 24.0
PATIENCE = 120.0


@pytest.fixture(scope="module")
def dawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Annotation]]:
    """A recording, and its calls."""
    path = tmp_path_factory.mktemp("recordings") / "dawn.wav"
    return path, write_recording(path, seconds=SECONDS)


@pytest.fixture(scope="module")
def client(decoder: SharedDecoder) -> Iterator[TestClient]:
    """A server without classes."""
    app = create_app(FakeRecognizer(), limits=LIMITS, decoder=decoder)
    with TestClient(app, base_url="http://localhost:8000") as own:
        yield own


@pytest.fixture(scope="module")
def key(client: TestClient, dawn: tuple[Path, list[Annotation]]) -> str:
    """The recording on the server, which has read it."""
    return ready(client, send(client, dawn[0].read_bytes()))["id"]  # type: ignore[no-any-return]


def send(client: TestClient, data: bytes, name: str = "dawn.wav") -> Response:
    return client.post("/api/recordings", files={"recording": (name, data)})


def ready(client: TestClient, response: Response) -> dict[str, Any]:
    """The state of a recording when the server has done with it what it was asked for."""
    state: dict[str, Any] = response.json()
    assert response.status_code == 200, state
    end = time.monotonic() + PATIENCE
    while state["progress"] not in ("ready", "failed"):
        assert time.monotonic() < end, state
        time.sleep(0.02)
        state = client.get(f"/api/recordings/{state['id']}").json()
    return state


def examples(calls: list[Annotation], count: int = 4) -> list[dict[str, Any]]:
    return [{"start": call.start, "end": call.end, "label": call.label} for call in calls[:count]]


def search(client: TestClient, key: str, **request: Any) -> Response:
    return client.post(f"/api/recordings/{key}/search", json=request)


def test_the_state_says_what_was_sent(client: TestClient, key: str) -> None:
    state = client.get(f"/api/recordings/{key}").json()
    assert (state["name"], state["progress"], state["error"], state["damage"]) == ("dawn.wav", "ready", None, "")
    assert state["seconds"] == SECONDS
    assert state["high_hz"] == RATE / 2


def test_the_rest_is_found(client: TestClient, key: str, dawn: tuple[Path, list[Annotation]]) -> None:
    """All calls but the marked ones, and none that was rejected."""
    calls = dawn[1]
    state = ready(client, search(client, key, marks=examples(calls), complete_between=True))
    assert (state["error"], state["searched"]) == (None, 1.0)
    assert state["searches"] >= 1
    reply = client.get(f"/api/recordings/{key}/events").json()
    sure = [event for event in reply["events"] if event["score"] >= 0.85]
    np.testing.assert_allclose([event["start"] for event in sure], [call.start for call in calls[4:]], atol=0.15)
    np.testing.assert_allclose([event["end"] for event in sure], [call.end for call in calls[4:]], atol=0.15)
    assert reply["left_out"] == 0

    # Rejected, the last call is a counterexample, and is not found again.
    last = {"start": sure[-1]["start"], "end": sure[-1]["end"], "label": "chirp", "quality": "NEG"}
    ready(client, search(client, key, marks=[*examples(calls), last], complete_between=True))
    again = client.get(f"/api/recordings/{key}/events").json()["events"]
    assert all(abs(event["start"] - calls[-1].start) > 0.15 for event in again)


def test_a_rejected_event_is_one_of_the_same_label_at_the_same_time() -> None:
    events = [Detection(1.0, 2.0, "wren", 0.9), Detection(1.0, 2.0, "robin", 0.9), Detection(5.0, 6.0, "wren", 0.9)]
    rejected = [Annotation(Path("a"), 1.2, 2.2, "wren", quality="NEG"), Annotation(Path("a"), 5.0, 6.0, "wren")]
    assert without_rejected(events, rejected) == events[1:]


def test_a_search_that_fails_says_why_and_another_can_follow(client: TestClient, key: str) -> None:
    one = [{"start": 1.0, "end": 1.4, "label": "chirp"}]
    state = ready(client, search(client, key, marks=one))
    assert state["progress"] == "ready"
    assert state["error"] == "one example of 'chirp': expected 2 or more of each label"
    assert "no example" in ready(client, search(client, key, marks=[]))["error"]
    assert search(client, key, marks=one).json()["error"] is None
    assert ready(client, client.get(f"/api/recordings/{key}"))["error"] == state["error"]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ({"start": 5.0, "end": 4.0}, "marks[0] is from 5 to 4 s: expected a part of 0 to 24.00 s."),
        ({"start": 5.0, "end": 31.0}, "marks[0] is from 5 to 31 s"),
        ({"start": -1.0, "end": 4.0}, "The field “marks” cannot be used"),
        ({"start": 1.0, "end": 2.0, "label": "a\x1b[2J"}, "printable"),
        ({"start": 1.0, "end": 2.0, "label": " "}, "printable"),
        ({"start": 1.0, "end": 2.0, "label": "x" * 101}, "at most 100 characters"),
        ({"start": 1.0, "end": 2.0, "quality": "MAYBE"}, "'POS', 'NEG' or 'UNK'"),
    ],
)
def test_a_mark_that_cannot_be_used_is_named(client: TestClient, key: str, mark: dict[str, Any], message: str) -> None:
    assert message in error(search(client, key, marks=[{"label": "chirp", **mark}]), 422)


def test_bodies_are_bounded(client: TestClient, key: str) -> None:
    marks = [{"start": 1.0, "end": 2.0, "label": "a"}] * 21
    assert error(search(client, key, marks=marks), 413) == "The request has 21 marks; at most 20 are accepted."
    address = f"/api/recordings/{key}/search"
    headers = {"Content-Type": "application/json"}
    assert "1 MB" in error(client.post(address, content=b" " * ((1 << 20) + 1), headers=headers), 413)
    assert client.post(address, content=b"[" * (1 << 20), headers=headers).status_code in (400, 422)
    assert "4 MB" in error(send(client, bytes(LIMITS.recording_bytes)), 413)


def test_the_spectrogram_shows_a_tone_where_it_is(serve: Serve) -> None:
    """At 3 kHz, in the second half only, from far and from near."""
    client = serve()
    samples = np.concatenate([0.001 * np.random.default_rng(0).normal(size=16_000 * 8), tone(3000.0, 8.0)])
    key = ready(client, send(client, wav(samples)))["id"]
    for start, end in ((0.0, 16.0), (7.0, 9.0)):
        view = client.get(
            f"/api/recordings/{key}/spectrogram", params={"start": start, "end": end, "columns": 200}
        ).json()
        assert (view["start"], view["end"], view["columns"], view["high_hz"]) == (start, end, 200, 11025.0)
        picture = np.frombuffer(base64.b64decode(view["levels"]), np.uint8).reshape(view["rows"], view["columns"])
        loudest = picture[:, 110:].mean(axis=1).argmax()
        frequency = (view["rows"] - 0.5 - loudest) / view["rows"] * view["high_hz"]
        assert abs(frequency - 3000.0) < 2 * view["high_hz"] / view["rows"]
        row = picture[loudest].astype(float)
        assert row[110:].min() > row[:90].max() + 60


def test_a_part_of_the_spectrogram_is_at_most_as_wide_as_asked_for(client: TestClient, key: str) -> None:
    address = f"/api/recordings/{key}/spectrogram"
    for start, end, columns in ((0.0, 1e9, 7), (23.999, 24.0, 1000), (3.0, 3.0001, 5), (0.0, 12.0, 2000)):
        view = client.get(address, params={"start": start, "end": end, "columns": columns}).json()
        assert 1 <= view["columns"] <= columns
        assert view["end"] == min(end, SECONDS)
        assert len(base64.b64decode(view["levels"])) == view["rows"] * view["columns"]
    assert "begins at 24 s" in error(client.get(address, params={"start": 24, "end": 31}), 422)
    assert "has no length" in error(client.get(address, params={"start": 3, "end": 2}), 422)
    assert "columns" in error(client.get(address, params={"start": 0, "end": 2, "columns": 3000}), 422)
    assert "end" in error(client.get(address, params={"start": 0, "end": "nan"}), 422)


def test_the_stored_spectrogram_does_not_depend_on_the_blocks(tmp_path: Path) -> None:
    """And is, column by column, the power of a window at that time: here against numpy's own transform."""
    samples = np.random.default_rng(0).normal(scale=0.1, size=5000).astype(np.float32)
    paths = []
    for size in (5000, 333):
        paths.append(tmp_path / str(size))
        with paths[-1].open("wb") as file:
            writer = SpectrogramWriter(file)
            for start in range(0, len(samples), size):
                writer.add(samples[start : start + size])
            writer.close()
    stored = read_columns(paths[0], 0, 10**9, 10**9)
    np.testing.assert_array_equal(stored, read_columns(paths[1], 0, 10**9, 10**9))
    assert len(stored) == 1 + (len(samples)) // HOP
    window = np.hanning(512) / np.hanning(512).sum()
    column = 11
    power = np.abs(np.fft.rfft(samples[column * HOP - 256 : column * HOP + 256] * window))[1:] ** 2
    expected = (10 * np.log10(power.reshape(ROWS, 2).max(axis=1)) - LOWEST_DB) / STEP_DB
    np.testing.assert_allclose(stored[column], expected, atol=1.01)
    joined = read_columns(paths[0], 0, 20, 5)
    np.testing.assert_array_equal(joined, stored[:20].reshape(5, 4, ROWS).max(axis=1))
    assert levels(np.zeros(512, np.float32), 1).max() == 0


def test_an_excerpt_is_exactly_as_long_as_asked_for(client: TestClient, key: str, dawn: tuple[Path, Any]) -> None:
    address = f"/api/recordings/{key}/sound"
    response = client.get(address, params={"start": 3.0, "end": 3.75})
    assert response.headers["content-type"] == "audio/wav"
    samples, rate = soundfile.read(io.BytesIO(response.content))
    assert (rate, len(samples)) == (RATE, round(0.75 * RATE))
    whole = soundfile.read(dawn[0])[0]
    part = whole[3 * RATE : 3 * RATE + len(samples)]
    np.testing.assert_allclose(samples, part * 0.9 / np.abs(whole).max(), atol=1e-4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.app.state.context.service, "limits", replace(LIMITS, excerpt_seconds=2.0))
        assert error(client.get(address, params={"start": 0, "end": 3}), 422).startswith("An excerpt lasts at most 2 s")


@pytest.mark.parametrize("kind", ["csv", "raven", "audacity", "dcase"])
def test_tables_are_read_as_what_they_are(kind: str, client: TestClient, key: str, dawn: Any, tmp_path: Path) -> None:
    events = [
        {"start": 3.5, "end": 3.75, "label": "chirp", "score": 0.5},
        {"start": 1.25, "end": 1.5, "label": "chirp", "score": 1.0},
    ]
    response = client.post(f"/api/recordings/{key}/table", json={"events": events, "format": kind})
    assert response.status_code == 200
    expected = "text/csv" if kind in ("csv", "dcase") else "text/plain"
    assert response.headers["content-type"].startswith(expected)
    name = {"raven": "dawn.selections.txt", "audacity": "dawn.labels.txt"}.get(kind, "dawn.csv")
    (tmp_path / name).write_text(response.text)
    table = read_annotations(tmp_path / name, audio=dawn[0])
    assert not table.problems
    assert [(mark.start, mark.end, mark.label) for mark in table.annotations] == [
        (1.25, 1.5, "chirp"),
        (3.5, 3.75, "chirp"),
    ]


def test_a_table_is_bounded_and_its_events_lie_in_the_recording(client: TestClient, key: str) -> None:
    address = f"/api/recordings/{key}/table"
    event = {"start": 1.0, "end": 2.0, "label": "a", "score": 1.0}
    assert "at most 5020" in error(client.post(address, json={"events": [event] * 5021}), 413)
    assert "expected a part" in error(client.post(address, json={"events": [{**event, "end": 40.0}]}), 422)
    assert "csv" in error(client.post(address, json={"events": [event], "format": "xls"}), 422)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("dawn.wav", b"this is no sound", "not a sound file"),
        ("dawn.wav", b"", "0 bytes"),
        ("silent.wav", wav(np.zeros(16_000)), "below -90 dBFS"),
        ("long.wav", wav(np.full(41 * 8000, 0.1), 8000), "more than 40 s"),
    ],
)
def test_a_recording_that_cannot_be_used_says_why(name: str, data: bytes, reason: str, serve: Serve) -> None:
    client = serve()
    state = ready(client, send(client, data, name))
    assert state["progress"] == "failed"
    assert reason in state["error"]
    assert "/" not in state["error"].replace("/s", "")  # no path of the server
    view = client.get(f"/api/recordings/{state['id']}/spectrogram", params={"start": 0, "end": 1})
    assert error(view, 422).startswith("The recording cannot be used: ")


def test_a_file_of_another_name_is_refused_at_once(serve: Serve) -> None:
    assert "expected a sound file" in error(send(serve(), b"x", "dawn.txt"), 422)


def test_a_damaged_recording_is_used_as_far_as_it_goes(serve: Serve) -> None:
    client = serve()
    data = wav(tone(500.0, 4.0))
    state = ready(client, send(client, data[: len(data) // 2]))
    assert state["progress"] == "ready"
    assert state["damage"].startswith("damaged: ")
    assert state["seconds"] == pytest.approx(2.0, abs=0.01)


def test_the_oldest_recording_makes_room_if_nobody_looks_at_it(serve: Serve) -> None:
    client = serve()
    keys = [ready(client, send(client, wav(tone(500.0))))["id"] for _ in range(2)]
    assert "2 long recordings, the maximum" in error(send(client, wav(tone(500.0))), 503)
    for key in keys:
        client.app.state.context.recordings.get(key).touched -= 130.0
    assert client.get(f"/api/recordings/{keys[0]}").status_code == 200  # touched: now the other one is older
    third = ready(client, send(client, wav(tone(500.0))))["id"]
    assert [client.get(f"/api/recordings/{key}").status_code for key in (*keys, third)] == [200, 404, 200]


def test_what_nobody_asks_for_is_removed(serve: Serve) -> None:
    client = serve()
    store = client.app.state.context.recordings
    key = ready(client, send(client, wav(tone(500.0))))["id"]
    folder = store.get(key).folder
    store.remove_idle()
    assert folder.is_dir()
    store.get(key).touched -= 3601.0
    store.remove_idle()
    assert not folder.exists()
    assert "There is no such recording" in error(client.get(f"/api/recordings/{key}"), 404)


def test_a_removed_recording_leaves_nothing_and_the_server_neither(decoder: SharedDecoder) -> None:
    with TestClient(
        create_app(FakeRecognizer(), limits=LIMITS, decoder=decoder), base_url="http://localhost:8000"
    ) as client:
        key, other = (ready(client, send(client, wav(tone(500.0))))["id"] for _ in range(2))
        folder = client.app.state.context.recordings.get(key).folder
        assert sorted(path.name for path in folder.iterdir()) == ["sound.wav", "spectrogram"]
        assert client.delete(f"/api/recordings/{key}").status_code == 204
        assert not folder.exists()
        assert client.delete(f"/api/recordings/{key}").status_code == 404
        assert (folder.parent / other).is_dir()
    assert not folder.parent.exists()


def test_a_recording_can_be_removed_while_it_is_searched(
    serve: Serve, dawn: tuple[Path, list[Annotation]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    key = ready(client, send(client, dawn[0].read_bytes()))["id"]
    monkeypatch.setattr(recording_store, "search", lambda *_, **__: time.sleep(0.3))
    assert search(client, key, marks=examples(dawn[1])).json()["progress"] == "learning"
    assert "being searched" in error(search(client, key, marks=examples(dawn[1])), 503)
    assert client.delete(f"/api/recordings/{key}").status_code == 204
    assert client.get(f"/api/recordings/{key}/events").status_code == 404


def test_what_a_full_disk_stops_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "/secret/path")

    with monkeypatch.context() as patch:
        patch.setattr(recording_store.shutil, "copyfileobj", full)
        message = error(send(client, wav(tone(500.0))), 507)
    assert message.endswith("No space left on device.")
    assert "secret" not in message
    with monkeypatch.context() as patch:
        patch.setattr(recording_store.LongRecording, "read", full)
        state = ready(client, send(client, wav(tone(500.0))))
    assert state["progress"] == "failed"
    assert "No space left on device" in state["error"]
    assert "secret" not in json.dumps(state)


def test_the_first_minutes_of_a_long_recording_are_told_before_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those that a search of these minutes alone finds, and those of all of it take their place."""
    calls = write_recording(tmp_path / "long.wav", seconds=200.0)
    monkeypatch.setattr(recording_search, "FIRST_MINUTES", 1)
    recording = LongRecording("key", "long.wav", tmp_path)
    recording.sound, recording.seconds = tmp_path / "long.wav", 200.0
    told: list[tuple[float, list[Detection]]] = []
    found = recording_search.without_rejected

    def telling(events: Sequence[Detection], marks: Sequence[Annotation]) -> list[Detection]:
        told.append((recording.found_until, found(events, marks)))
        return told[-1][1]

    monkeypatch.setattr(recording_search, "without_rejected", telling)
    recording_search.search(recording, calls[:5], complete_between=True)
    (before, first), (until, every) = told
    assert (before, until, recording.found_until) == (0.0, 60.0, 200.0)
    assert recording.events == every
    sure = [event.start for event in first if event.score >= 0.85]
    assert sure == [event.start for event in every if event.score >= 0.85 and event.start < 60.0]
    np.testing.assert_allclose(sure, [call.start for call in calls[5:] if call.start < 60.0], atol=0.15)

    recording_search.search(recording, calls[:5], complete_between=True)  # in place of what is there, all at once
    assert [events for _, events in told[2:]] == [every]
