"""A server that is killed while it saves, and other programs that write its bundle: no confirmed change is lost."""

import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from fewshot_audio.recognition.recognizer import Recognizer
from tests.serve.conftest import tiny_recognizer
from tests.serve.sounds import tone_wav
from tests.soak.reliability import record

pytestmark = pytest.mark.soak

TRIALS = 20
COMMAND_LINE = "from fewshot_audio.cli import main; main()"
MAX_CLASSES = 30  # more are removed again
CLIP = tone_wav(440.0)

Classes = dict[str, int]  # clips by class


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with one class."""
    recognizer = tiny_recognizer()
    (tmp_path / "clip.wav").write_bytes(CLIP)
    recognizer.enroll("first", tmp_path / "clip.wav")
    recognizer.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def saved(folder: Path) -> Classes:
    recognizer = Recognizer.load(folder)
    return {name: len(recognizer.clips(name)) for name in recognizer.classes}


@contextmanager
def server(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """``serve --save``; yields the process and its address."""
    words = [sys.executable, "-c", COMMAND_LINE, "serve", str(folder), "--save", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            match = re.match(r"Open (http://\S+) ", process.stdout.readline())
            assert match, process.communicate()
            yield process, match[1]
        finally:
            process.kill()


@dataclass
class Client:
    """Makes random changes, one after the other, and keeps what the server has confirmed to be on disk."""

    url: str
    classes: Classes
    chance: random.Random
    prefix: str
    confirmed: int = 0
    conflicts: int = 0
    pending: Classes | None = None  # the classes if the change under way is made
    failures: list[str] = field(default_factory=list)

    def change_until_it_ends(self, stop: threading.Event) -> None:
        """Change until told to stop, or the server is gone."""
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not stop.is_set():
                try:
                    self._change(client)
                except httpx.TransportError:
                    return

    def _change(self, client: httpx.Client) -> None:
        own = [name for name in self.classes if name.startswith(self.prefix)]
        name = self.chance.choice(own) if own else ""
        kind = self.chance.choices(["enroll", "add", "rename", "remove"], [4, 2, 2, 2])[0] if own else "enroll"
        if len(self.classes) >= MAX_CLASSES:
            kind = "remove"
        new = f"{self.prefix}{self.chance.randrange(10**9)}"
        params = {"name": name}
        after = dict(self.classes)
        if kind in ("enroll", "add"):
            target = new if kind == "enroll" else name
            after[target] = after.get(target, 0) + 1
            self.pending = after
            files = {"clips": ("a.wav", CLIP)}
            response = client.post("/api/classes", data={"name": target}, files=files)
        elif kind == "rename":
            after = {new if other == name else other: clips for other, clips in after.items()}
            self.pending = after
            response = client.patch("/api/classes", params=params, json={"name": new})
        else:
            del after[name]
            self.pending = after
            response = client.delete("/api/classes", params=params)
        if response.status_code == 409:  # another program was faster; nothing is made
            self.conflicts += 1
            self.classes = classes_of(response.json()["state"])
        elif response.status_code != 200:
            self.failures.append(f"{kind}: {response.text}")
        else:
            state = response.json().get("state", response.json())
            if state["unsaved"] or classes_of(state) != after:
                self.failures.append(f"{kind}: {state}, expected {after}")
            self.classes = after
            self.confirmed += 1
        self.pending = None


def classes_of(state: dict[str, list[dict[str, str | int]]]) -> Classes:
    return {str(entry["name"]): int(entry["clips"]) for entry in state["classes"]}


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_what_was_confirmed_is_there_after_a_kill(
    kind: signal.Signals, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    lost = wrong = confirmed = under_way = leftovers = 0
    for _ in range(TRIALS):
        with server(bundle) as (process, url):
            client = Client(url, saved(bundle), chance, "own ")
            stop = threading.Event()
            thread = threading.Thread(target=client.change_until_it_ends, args=(stop,))
            thread.start()
            while not client.confirmed and thread.is_alive():
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.5))
            process.send_signal(kind)
            code = process.wait(timeout=60)
            thread.join()
        leftovers += any(path.name.endswith(".tmp") for path in bundle.iterdir())
        confirmed += client.confirmed
        under_way += client.pending is not None
        now = saved(bundle)
        allowed = [client.classes] + ([client.pending] if client.pending is not None else [])
        lost += any(now.get(name, 0) < clips for name, clips in client.classes.items()) and now not in allowed
        wrong += now not in allowed or bool(client.failures) or code != (0 if kind == signal.SIGTERM else -kind)
    with capsys.disabled():
        print(f"\n{kind.name}: {TRIALS} kills, {confirmed} confirmed changes, {under_way} kills during a change, "  # noqa: T201
              f"{leftovers} left temporary files; seed {seed}")  # fmt: skip
    record(f"serve --save: {kind.name} at a random moment while it saves", trials=TRIALS, lost=lost, wrong=wrong)


def test_nobody_is_lost_between_a_server_and_enroll(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In each trial two ``enroll --add`` at once, beside a client that changes other classes all the time."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    lost = wrong = confirmed = conflicts = 0
    clip = bundle.parent / "clip.wav"
    with server(bundle) as (process, url):
        for trial in range(TRIALS):
            client = Client(url, saved(bundle), chance, f"web {trial} ")
            stop = threading.Event()
            thread = threading.Thread(target=client.change_until_it_ends, args=(stop,))
            thread.start()
            names = [f"command {trial} {number}" for number in range(2)]
            commands = []
            for name in names:
                words = [sys.executable, "-c", COMMAND_LINE, "enroll", str(bundle), "--add", name, str(clip)]
                commands.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            errors = [command.communicate(timeout=300)[1] for command in commands]
            time.sleep(chance.uniform(0, 0.1))
            stop.set()
            thread.join()
            confirmed += client.confirmed
            conflicts += client.conflicts
            assert [command.returncode for command in commands] == [0, 0], errors
            now = saved(bundle)
            own = {name: clips for name, clips in client.classes.items() if name.startswith(client.prefix)}
            lost += any(now.get(name, 0) < clips for name, clips in (own | dict.fromkeys(names, 1)).items())
            served = classes_of(httpx.get(f"{url}/api/state", timeout=60).json())
            wrong += (
                served != now or {name for name in now if name.startswith("web")} != own.keys() or bool(client.failures)
            )
            for name in [name for name in now if name != "first"]:
                assert httpx.delete(f"{url}/api/classes", params={"name": name}, timeout=60).status_code in (200, 409)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    with capsys.disabled():
        print(f"\n{TRIALS} trials, {confirmed} confirmed changes of the page, {conflicts} answers 409; seed {seed}")  # noqa: T201
    record("serve --save beside two enroll --add of the same bundle", trials=TRIALS, lost=lost, wrong=wrong)
