"""Two writers of one bundle, two tabs on one server: nobody's change is lost, nobody changes what they do not see."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.recognition.diagnosis import Diagnosis
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.serve.revisions import Revisions
from tests.serve.conftest import Serve, tiny_recognizer
from tests.serve.fake import FakeRecognizer
from tests.serve.sounds import tone, tone_wav
from tests.serve.test_api import HIGH, LOW, classify, enroll, error, names, teach

Backend = FakeRecognizer | Recognizer


@pytest.fixture(params=["fake", "real"])
def load(request: pytest.FixtureRequest, bundle: Path) -> Callable[[], Backend]:
    """Loads the bundle as another program does; it has the class "low"."""
    kind = FakeRecognizer if request.param == "fake" else Recognizer
    recognizer = FakeRecognizer() if request.param == "fake" else tiny_recognizer()
    if request.param == "fake":
        (bundle / "recognizer.json").unlink()
    recognizer.enroll("low", [tone(LOW).astype("float32")], rate=16_000)
    recognizer.save(bundle)
    return lambda: kind.load(bundle)


@pytest.fixture
def backend(load: Callable[[], Backend]) -> Backend:
    """The server's own."""
    return load()


@pytest.fixture
def served(serve: Serve, backend: Backend, bundle: Path) -> TestClient:
    """A server that saves to the bundle."""
    return serve(backend, folder=bundle)


@contextmanager
def full_disk(backend: Backend) -> Iterator[None]:
    """Let saving fail."""

    def no_space(folder: Path) -> None:
        raise OSError(28, "No space left on device", str(folder))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "save", no_space)
        yield


def add_elsewhere(load: Callable[[], Backend], folder: Path, name: str, pitch: float = HIGH) -> None:
    other = load()
    other.enroll(name, [tone(pitch).astype("float32")], rate=16_000)
    other.save(folder)


def check_refused(response: Response) -> None:
    """The change was not made, and the answer has what another program saved."""
    assert "Another program" in error(response, 409)
    assert state_of(response) == {"low": 1, "high": 1}
    assert response.json()["state"]["unsaved"] == 0


def state_of(response: Response) -> dict[str, Any]:
    return {enrolled["name"]: enrolled["clips"] for enrolled in response.json()["state"]["classes"]}


def test_questions_are_answered_by_what_another_program_saved(
    served: TestClient, load: Callable[[], Backend], bundle: Path
) -> None:
    before = served.get("/api/state").json()
    add_elsewhere(load, bundle, "high")
    assert classify(served, tone_wav(HIGH, 5)).json()["best"] == "high"
    assert {point["name"] for point in served.get("/api/map").json()["points"]} == {"low", "high"}
    state = served.get("/api/state").json()
    assert names(served) == {"low": 1, "high": 1}
    assert state["revision"] > before["revision"]
    assert (state["unsaved"], state["save_error"]) == (0, None)


@pytest.mark.parametrize("action", ["enroll", "remove", "rename"])
def test_a_change_on_a_changed_folder_is_refused_once(
    action: str, served: TestClient, load: Callable[[], Backend], bundle: Path
) -> None:
    changes: dict[str, Callable[[], Response]] = {
        "enroll": lambda: enroll(served, "low", tone_wav(LOW, 3)),
        "remove": lambda: served.delete("/api/classes", params={"name": "low"}),
        "rename": lambda: served.patch("/api/classes", params={"name": "low"}, json={"name": "deep"}),
    }
    add_elsewhere(load, bundle, "high")
    check_refused(changes[action]())
    assert load().classes == ["low", "high"]
    assert changes[action]().status_code == 200
    after = {"enroll": {"low": 2, "high": 1}, "remove": {"high": 1}, "rename": {"deep": 1, "high": 1}}
    assert names(served) == after[action]
    assert {name: len(load().clips(name)) for name in load().classes} == after[action]


def test_a_changed_folder_is_noticed_before_a_change_is_made(
    served: TestClient, backend: Backend, load: Callable[[], Backend], bundle: Path
) -> None:
    """Also if saving would not notice it: the disk is full."""
    add_elsewhere(load, bundle, "high")
    with full_disk(backend):
        check_refused(served.delete("/api/classes", params={"name": "low"}))


def test_a_race_that_only_saving_notices(
    served: TestClient, backend: Backend, load: Callable[[], Backend], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_elsewhere(load, bundle, "high")
    with monkeypatch.context() as late:
        late.setattr(backend, "is_current", lambda folder: True)  # the other program was a little later
        check_refused(enroll(served, "mid", tone_wav(1000.0)))
    assert enroll(served, "mid", tone_wav(1000.0)).status_code == 200
    assert load().classes == ["low", "high", "mid"]


def test_unsaved_changes_join_what_another_program_saved(
    served: TestClient, backend: Backend, load: Callable[[], Backend], bundle: Path
) -> None:
    with full_disk(backend):
        assert enroll(served, "mid", tone_wav(1000.0)).json()["state"]["unsaved"] == 1
    add_elsewhere(load, bundle, "high")
    state = served.get("/api/state").json()
    assert names(served) == {"low": 1, "high": 1, "mid": 1}
    assert state["unsaved"] == 1
    assert "No space left on device" in state["save_error"]
    assert served.delete("/api/classes", params={"name": "low"}).json()["save_error"] is None
    assert set(load().classes) == {"high", "mid"}


def test_an_unsaved_change_that_does_not_fit_any_more_is_told(
    served: TestClient, backend: Backend, load: Callable[[], Backend], bundle: Path
) -> None:
    with full_disk(backend):
        served.delete("/api/classes", params={"name": "low"})
    other = load()
    other.enroll("high", [tone(HIGH).astype("float32")], rate=16_000)
    other.remove("low")
    other.save(bundle)
    state = served.get("/api/state").json()
    assert state["unsaved"] == 1
    assert state["save_error"]
    assert load().classes == ["high"]  # the other program's state is whole


def test_a_folder_that_cannot_be_read_again_leaves_the_state_here(served: TestClient, bundle: Path) -> None:
    (bundle / "recognizer.json").write_text("{")
    state = served.get("/api/state").json()
    assert "Another program has changed" in state["save_error"]
    assert str(bundle) not in state["save_error"]
    assert classify(served, tone_wav(LOW, 5)).json()["best"] == "low"
    state = enroll(served, "high", tone_wav(HIGH)).json()["state"]
    assert state["unsaved"] == 1
    assert names(served) == {"low": 1, "high": 1}


def test_a_bundle_that_hears_otherwise_needs_a_restart(serve: Serve, tmp_path: Path) -> None:
    """Clips are loaded by the preprocessing of the start."""

    class Replaced(FakeRecognizer):
        def refresh(self, folder: Path, *, undo: int = 0) -> None:
            super().refresh(folder, undo=undo)
            self.preprocessing = Preprocessing.of(segment_seconds=0.25)

    backend = Replaced()
    client = serve(backend, folder=tmp_path)
    teach(client, low=LOW)
    add_elsewhere(lambda: FakeRecognizer.load(tmp_path), tmp_path, "high")
    assert "Restart" in error(classify(client, tone_wav(LOW)), 503)
    assert "Restart" in error(enroll(client, "low", tone_wav(LOW)), 503)
    assert names(client) == {"low": 3, "high": 1}


def test_the_check_up_is_made_once_for_a_state(serve: Serve) -> None:
    class Counting(FakeRecognizer):
        diagnoses = 0

        def diagnose(self) -> Diagnosis:
            self.diagnoses += 1
            return super().diagnose()

    backend = Counting()
    client = serve(backend)
    for count in (1, 2):
        teach(client, low=LOW, high=HIGH)
        client.get("/api/diagnosis")
        assert client.get("/api/diagnosis").json()["findings"][0]["message"].startswith("Each compared")
        assert backend.diagnoses == count


def test_what_could_not_be_saved_is_saved_at_the_end(
    served: TestClient, backend: Backend, load: Callable[[], Backend]
) -> None:
    with full_disk(backend):
        enroll(served, "mid", tone_wav(1000.0))
    assert load().classes == ["low"]
    served.app.state.context.service.close()  # type: ignore[attr-defined]
    assert load().classes == ["low", "mid"]


# -- two tabs ----------------------------------------------------------------------------------------------------------


def revision(client: TestClient) -> int:
    return int(client.get("/api/state").json()["revision"])


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
@pytest.mark.parametrize("change", ["recreated", "renamed", "clips", "removed"])
def test_a_class_that_is_another_by_now_is_not_changed(change: str, method: str, client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    seen = revision(client)
    if change in ("recreated", "removed"):
        client.delete("/api/classes", params={"name": "low"})
    if change == "recreated":
        teach(client, low=1000.0)
    if change == "renamed":
        client.patch("/api/classes", params={"name": "low"}, json={"name": "deep"})
        client.patch("/api/classes", params={"name": "high"}, json={"name": "low"})
    if change == "clips":
        enroll(client, "low", tone_wav(LOW, 9))
    before = names(client)
    body = {"json": {"name": "x"}} if method == "PATCH" else {}
    refused = client.request(method, "/api/classes", params={"name": "low", "revision": seen}, **body)  # type: ignore[arg-type]
    assert "has changed" in error(refused, 409)
    assert state_of(refused) == before == names(client)
    if change == "removed":
        return
    now = refused.json()["state"]["revision"]
    again = client.request(method, "/api/classes", params={"name": "low", "revision": now}, **body)  # type: ignore[arg-type]
    assert again.status_code == 200


def test_changes_of_other_classes_do_not_matter(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    seen = revision(client)
    enroll(client, "high", tone_wav(HIGH, 9))
    teach(client, mid=1000.0)
    renamed = client.patch("/api/classes", params={"name": "low", "revision": seen}, json={"name": "deep"})
    assert renamed.status_code == 200
    removed = client.delete("/api/classes", params={"name": "deep", "revision": renamed.json()["revision"]})
    assert removed.status_code == 200
    assert names(client) == {"high": 4, "mid": 3}


def test_revisions_of_an_earlier_start_are_refused(serve: Serve) -> None:
    clients = [serve(), serve()]
    for client in clients:
        teach(client, low=LOW, high=HIGH)
    first, second = map(revision, clients)
    assert first != second
    refused = clients[0].delete("/api/classes", params={"name": "low", "revision": second})
    assert "has changed" in error(refused, 409)
    for wrong in (0, -1, first + 1, first - 3, 2**53):
        error(clients[0].delete("/api/classes", params={"name": "low", "revision": wrong}), 409)
    assert clients[0].delete("/api/classes", params={"name": "low", "revision": first}).status_code == 200


def test_the_memory_of_revisions_is_that_of_the_classes() -> None:
    revisions = Revisions()
    for number in range(100):
        revisions.add([f"class {number}"], ["a", f"class {number}"])
    assert len(revisions._of_class) == 1
