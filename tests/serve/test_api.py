"""The JSON API, over a fake recognizer and a real one: the same questions, the same answers."""

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.recognition.recognizer import Recognizer
from tests.serve.conftest import Serve, tiny_recognizer
from tests.serve.sounds import RATE, tone, tone_wav, wav

LOW, HIGH = 300.0, 3000.0


def enroll(client: TestClient, name: str, *clips: bytes) -> Response:
    return client.post("/api/classes", data={"name": name}, files=[("clips", ("a.wav", clip)) for clip in clips])


def classify(client: TestClient, clip: bytes, name: str = "a.wav") -> Response:
    return client.post("/api/classify", files={"clip": (name, clip)})


def teach(client: TestClient, **classes: float) -> None:
    """Enroll classes of three tones each."""
    for name, pitch in classes.items():
        assert enroll(client, name, *(tone_wav(pitch, seed) for seed in range(3))).status_code == 200


def names(client: TestClient) -> dict[str, int]:
    return {enrolled["name"]: enrolled["clips"] for enrolled in client.get("/api/state").json()["classes"]}


def error(response: Response, status: int) -> str:
    """The message of an error."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == ({"error", "state"} if status == 409 else {"error"})
    assert set(body["error"]) == {"code", "message"}
    return str(body["error"]["message"])


def test_a_fresh_server_says_what_it_is(client: TestClient) -> None:
    state = client.get("/api/state").json()
    assert (state["classes"], state["unsaved"], state["saves"]) == ([], 0, False)
    assert (state["sample_rate"], state["segment_seconds"]) == (16_000, 0.5)
    assert state["limits"] == {
        "upload_bytes": 1 << 20,
        "recording_bytes": 4 << 20,
        "clip_seconds": 5.0,
        "clips": 5,
        "name_length": 100,
    }
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/api/map").json() == {"points": [], "explained": [0, 0], "revision": state["revision"]}
    assert client.get("/api/diagnosis").json() == {"findings": [], "next": None}


def test_enroll_and_classify(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    assert names(client) == {"low": 3, "high": 3}
    for pitch, name in ((LOW, "low"), (HIGH, "high")):
        answer = classify(client, tone_wav(pitch, seed=9)).json()
        assert answer["best"] == name
        assert answer["label"] in (name, None)
        assert (answer["label"] is None) == (answer["unknown_score"] > answer["unknown_threshold"])
        chances = [entry["probability"] for entry in answer["probabilities"]]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) == pytest.approx(1)
        assert {entry["name"] for entry in answer["probabilities"]} == {"low", "high"}
        assert answer["seconds"] == pytest.approx(0.6)
        assert answer["segments"] == 2


def test_the_same_clip_gets_the_same_answer(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    clip = tone_wav(LOW, seed=4)
    assert classify(client, clip).json() == classify(client, clip).json()


def test_a_strange_sound_is_none_of_the_classes(serve: Serve) -> None:
    client = serve()
    teach(client, low=LOW, high=HIGH)
    answer = classify(client, wav(np.random.default_rng(0).normal(scale=0.3, size=16_000))).json()
    assert answer["label"] is None
    assert answer["unknown_score"] > answer["unknown_threshold"] == 1.0


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF"])
def test_formats_and_rates(kind: str, serve: Serve) -> None:
    client = serve()
    teach(client, low=LOW, high=HIGH)
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(kind, "PCM_16")
    stereo = np.stack([tone(HIGH)] * 2, axis=1)
    answer = classify(client, wav(stereo, 16_000, subtype, kind), f"X.{kind.lower()}").json()
    assert answer["best"] == "high"


def test_the_picture_is_what_the_network_hears(client: TestClient) -> None:
    """Against the features of the samples that were sent, computed here."""
    teach(client, low=LOW)
    samples = np.concatenate([tone(HIGH, 0.4), 0.01 * tone(LOW, 0.4)])
    picture = classify(client, wav(samples, subtype="FLOAT")).json()["picture"]
    image = np.frombuffer(base64.b64decode(picture["log_mel"]), np.uint8).reshape(picture["rows"], picture["columns"])
    preprocessing = tiny_recognizer().preprocessing
    if picture["rows"] == preprocessing.n_mels:
        segments = preprocessing.segments(preprocessing.normalize(samples.astype(np.float32)))
        features = np.concatenate(list(preprocessing.features(segments)), axis=1)[::-1]
        expected = 255 * (1 + (features - features.max()) / picture["range_db"]).clip(0, 1)
        assert np.abs(image - expected).max() <= 0.51
    assert picture["seconds"] == pytest.approx(1.0)  # two segments of half a second
    assert image.max() == 255
    left, right = image[:, : picture["columns"] // 3], image[:, picture["columns"] // 2 : 3 * picture["columns"] // 4]
    assert left.mean(axis=1).argmax() < right.mean(axis=1).argmax()  # a high tone is drawn above a low one
    highest = np.array(picture["highest"])
    assert np.abs(highest).max() <= 1
    assert highest[: len(highest) // 3].mean() > 10 * highest[len(highest) // 2 : 3 * len(highest) // 4].mean()


def test_unusable_recordings_are_told_one_by_one(client: TestClient) -> None:
    silence, short = wav(np.zeros(8000)), wav(tone(LOW, 0.01))
    reply = enroll(client, "low", tone_wav(LOW), b"no sound", silence, tone_wav(LOW, 1), short).json()
    assert reply["enrolled"] == 2
    assert [(clip["clip"], clip["reason"]) for clip in reply["rejected"]] == [
        (1, "unreadable"),
        (2, "silent"),
        (4, "too_short"),
    ]
    assert names(client) == {"low": 2}
    assert "silent" in error(enroll(client, "high", silence), 422)
    assert "silent" in error(classify(client, silence), 422)
    assert names(client) == {"low": 2}


def test_clips_are_normalized_once_and_named(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    normalized: list[int] = []
    normalize = Preprocessing.normalize

    def counting(preprocessing: Preprocessing, samples: Samples) -> Samples:
        normalized.append(len(samples))
        return normalize(preprocessing, samples)

    monkeypatch.setattr(Preprocessing, "normalize", counting)
    recognizer = tiny_recognizer()
    client = serve(recognizer)
    assert enroll(client, "low", tone_wav(LOW, seconds=0.7), b"no sound", tone_wav(LOW)).json()["enrolled"] == 2
    assert sorted(normalized) == [9_600, 11_200]
    assert [clip.name for clip in recognizer.clips("low")] == ["a.wav", "a.wav (2)"]
    assert classify(client, tone_wav(LOW, seconds=0.8)).json()["seconds"] == pytest.approx(0.8)
    assert sorted(normalized) == [9_600, 11_200, 12_800]


def test_rename_and_remove_touch_nothing_else(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    clip = tone_wav(HIGH, 7)
    before = classify(client, clip).json()
    state = client.patch("/api/classes", params={"name": "low"}, json={"name": "  deep / ../ <b> "}).json()
    assert [enrolled["name"] for enrolled in state["classes"]] == ["deep / ../ <b>", "high"]
    after = classify(client, clip).json()
    assert after["probabilities"][0] == before["probabilities"][0]
    assert client.delete("/api/classes", params={"name": "deep / ../ <b>"}).status_code == 200
    assert names(client) == {"high": 3}
    assert classify(client, clip).json()["probabilities"] == [{"name": "high", "probability": 1.0}]


def test_errors(client: TestClient) -> None:
    assert "no class" in error(classify(client, tone_wav(LOW)), 409).lower()
    teach(client, low=LOW, high=HIGH)
    assert "“mid”" in error(client.delete("/api/classes", params={"name": "mid"}), 404)
    error(client.patch("/api/classes", params={"name": "mid"}, json={"name": "x"}), 404)
    assert "already" in error(client.patch("/api/classes", params={"name": "low"}, json={"name": "high"}), 409)
    assert "100" in error(enroll(client, "x" * 101, tone_wav(LOW)), 422)
    assert "printable" in error(enroll(client, "a\nb", tone_wav(LOW)), 422)
    error(enroll(client, "  ", tone_wav(LOW)), 422)
    error(enroll(client, "Unknown", tone_wav(LOW)), 422)
    assert "clips" in error(client.post("/api/classes", data={"name": "mid"}), 422)
    error(client.post("/api/classify"), 422)
    error(client.get("/api/nothing"), 404)
    error(client.put("/api/state"), 405)
    assert names(client) == {"low": 3, "high": 3}


def test_counts_are_bounded(client: TestClient) -> None:
    clip = tone_wav(LOW)
    assert "5" in error(enroll(client, "many", *[clip] * 6), 413)
    for name in "abc":
        assert enroll(client, name, clip).status_code == 200
    assert enroll(client, "d", *[clip] * 5).status_code == 200
    assert "4 classes" in error(enroll(client, "e", clip), 409)
    assert "12 clips" in error(enroll(client, "d", *[clip] * 5), 409)
    assert sum(names(client).values()) == 8


def test_the_map_is_a_fixed_projection(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    embedding_map = client.get("/api/map").json()
    assert client.get("/api/map").json() == embedding_map
    points = {
        name: np.array([[p["x"], p["y"]] for p in embedding_map["points"] if p["name"] == name])
        for name in ("low", "high")
    }
    assert {name: len(rows) for name, rows in points.items()} == {"low": 3, "high": 3}
    center = {name: rows.mean(axis=0) for name, rows in points.items()}
    assert np.linalg.norm(center["low"] - center["high"]) > 5 * max(rows.std(axis=0).max() for rows in points.values())
    # An enrolled clip asked about lies where it was enrolled; the first axis shows more than the second.
    answer = classify(client, tone_wav(LOW, 1)).json()
    np.testing.assert_allclose([answer["point"]["x"], answer["point"]["y"]], points["low"][1], atol=1e-3)
    assert answer["revision"] == embedding_map["revision"] == client.get("/api/state").json()["revision"]
    assert 1 >= embedding_map["explained"][0] > embedding_map["explained"][1] >= 0
    teach(client, mid=1000.0)
    assert [point["name"] for point in client.get("/api/map").json()["points"]] == ["low"] * 3 + ["high"] * 3 + [
        "mid"
    ] * 3


def test_ultrasound_is_slowed_down_as_the_recognizer_says(serve: Serve) -> None:
    recognizer = tiny_recognizer(slowdown=10)
    client = serve(recognizer, decoder=None)  # which decodes at the recognizer's rate
    for name, pitch in (("low", LOW), ("high", HIGH)):
        recognizer.enroll(name, [(tone(pitch, seed=seed), 10 * RATE) for seed in range(3)])
    state = client.get("/api/state").json()
    assert (state["sample_rate"], state["segment_seconds"]) == (10 * RATE, 0.05)
    samples = tone(HIGH, seed=5)
    answer = classify(client, wav(samples, 10 * RATE, subtype="FLOAT")).json()
    [expected] = recognizer.classify((samples, 10 * RATE))
    assert answer["best"] == expected.best == "high"
    assert answer["unknown_score"] == pytest.approx(expected.unknown_score)
    assert (answer["seconds"], answer["segments"]) == (pytest.approx(0.06), expected.segments)


def test_the_bundle_can_be_downloaded_and_loaded(serve: Serve, tmp_path: Path) -> None:
    client = serve(tiny_recognizer())
    teach(client, low=LOW, high=HIGH)
    response = client.get("/api/bundle")
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == 'attachment; filename="recognizer.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"recognizer"}
        archive.extractall(tmp_path)
    loaded = Recognizer.load(tmp_path / "recognizer")
    assert loaded.classes == ["low", "high"]
    answer = classify(client, wav(tone(HIGH, seed=5), subtype="FLOAT")).json()
    [again] = loaded.classify(tone(HIGH, seed=5).astype(np.float32), rate=16_000)
    assert again.unknown_score == pytest.approx(answer["unknown_score"])
    assert again.probabilities["high"] == pytest.approx(answer["probabilities"][0]["probability"])


def test_changes_stay_in_memory_unless_asked_to_save(serve: Serve, bundle: Path) -> None:
    client = serve(Recognizer.load(bundle))
    teach(client, low=LOW)
    assert client.get("/api/state").json()["unsaved"] == 1
    assert Recognizer.load(bundle).classes == []


def test_every_change_is_saved_where_asked(serve: Serve, bundle: Path) -> None:
    client = serve(Recognizer.load(bundle), folder=bundle)
    teach(client, low=LOW, high=HIGH)
    assert Recognizer.load(bundle).classes == ["low", "high"]
    client.patch("/api/classes", params={"name": "low"}, json={"name": "deep"})
    client.delete("/api/classes", params={"name": "high"})
    assert Recognizer.load(bundle).classes == ["deep"]
    state = client.get("/api/state").json()
    assert (state["saves"], state["unsaved"], state["save_error"]) == (True, 0, None)
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_save_that_fails_is_told_and_made_up_for(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    place.write_text("in the way")
    client = serve(folder=place)
    teach(client, low=LOW)
    state = client.get("/api/state").json()
    assert state["unsaved"] == 1
    assert "could not be written" in state["save_error"]
    assert str(tmp_path) not in state["save_error"]
    place.unlink()
    teach(client, high=HIGH)
    state = client.get("/api/state").json()
    assert (state["unsaved"], state["save_error"]) == (0, None)


def test_findings_are_in_words(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    findings = client.get("/api/diagnosis").json()["findings"]
    assert findings[0] == {
        "kind": "good",
        "message": "Each compared with the others as if it were new: 6 of 6 clips are recognized.",
    }


def test_metrics(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    classify(client, tone_wav(LOW, 5))
    classify(client, b"nothing")
    client.get("/nowhere/at/all")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = samples_of(response.text)
    assert values['fewshot_audio_requests_total{route="/api/classes",method="POST",status="200"}'] == 2
    assert values['fewshot_audio_requests_total{route="other",method="GET",status="404"}'] == 1
    assert values['fewshot_audio_errors_total{status="422"}'] == 1
    assert values['fewshot_audio_clips_total{outcome="enrolled"}'] == 6
    assert values['fewshot_audio_clips_total{outcome="rejected"}'] == 1
    assert (
        sum(values.get(f'fewshot_audio_clips_total{{outcome="{kind}"}}', 0) for kind in ("classified", "unknown")) == 1
    )
    assert (values["fewshot_audio_classes"], values["fewshot_audio_enrolled_clips"]) == (2, 6)
    buckets = [
        value
        for name, value in values.items()
        if name.startswith('fewshot_audio_request_seconds_bucket{route="/api/classify"')
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == values['fewshot_audio_request_seconds_count{route="/api/classify"}'] == 2


def samples_of(text: str) -> dict[str, float]:
    """Parse Prometheus' text format, strictly enough: every sample follows the HELP and TYPE of its family."""
    values: dict[str, Any] = {}
    family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family
        else:
            name, _, value = line.rpartition(" ")
            assert name.startswith(family)
            assert name not in values
            values[name] = float(value)
    return values


def test_what_is_wrong_with_a_recording_is_told(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    whole = tone_wav(LOW, 9, seconds=2.0)
    reply = enroll(client, "low", tone_wav(LOW, 8), whole[: len(whole) // 2]).json()
    assert (reply["enrolled"], reply["rejected"]) == (2, [])
    assert [damaged["clip"] for damaged in reply["damaged"]] == [1]
    assert reply["damaged"][0]["detail"].startswith("damaged: 0.99")
    answer = classify(client, whole[: len(whole) // 2]).json()
    assert answer["damage"] == reply["damaged"][0]["detail"]
    assert answer["best"] == "low"
    assert classify(client, whole).json()["damage"] == ""
