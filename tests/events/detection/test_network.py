"""The event network in both back ends, and networks of one's own."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import platformdirs
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from fewshot_audio.errors import ConfigError, DataError, FewShotError
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection import network as module
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.frames import N_MELS
from fewshot_audio.events.detection.network import (
    HOME,
    LARGEST_FILE,
    NETWORK_FILE,
    network_key,
    open_hearing,
    read_network_file,
    save_network,
)
from fewshot_audio.events.detection.network_graph import build_network, build_network_in_background
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.events.detection.scan import detection_fingerprint
from fewshot_audio.models import event_graph
from fewshot_audio.models.event_network import EventNetwork
from fewshot_audio.recognition.bundle.graph import VARIABLE
from fewshot_audio.recognition.graphs import NO_GRAPH, graphs_folder, read_graph, write_graph
from tests.events.detection.recordings import write_recording
from tests.shell import Shell

COMMAND = """
import sys
from fewshot_audio.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
assert "onnxruntime" in sys.modules
assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache with the graph of the shipped network."""
    folder: Path = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder / name))
        assert build_network()
    return folder


@pytest.fixture
def graphs(user_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Graphs are used and built, in ``user_cache``."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(user_cache / name))
    monkeypatch.delenv(VARIABLE)
    return user_cache


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Annotation]:
    """The calls of half a minute."""
    return write_recording(tmp_path_factory.mktemp("recordings") / "dawn.wav", seconds=30.0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained network."""
    folder: Path = tmp_path_factory.mktemp("own")
    torch.manual_seed(0)
    save_network(folder / NETWORK_FILE, EventNetwork())
    return folder


def test_both_back_ends_hear_the_same(graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    light = open_hearing()
    monkeypatch.setenv(VARIABLE, "torch")
    in_torch = open_hearing()
    for count in (2, 64, 1501 * 2):
        levels = np.random.default_rng(count).uniform(-0.5, 3.5, (count, N_MELS)).astype(np.float32)
        for mine, expected in zip(light(levels), in_torch(levels), strict=True):
            assert np.abs(expected).max() > 0.1
            np.testing.assert_allclose(mine, expected, atol=1e-4)


def detect(calls: list[Annotation], network: Path | None = None) -> list[tuple[float, float, float]]:
    """Start, end and score of the events behind the first five."""
    options = DetectionOptions(threshold=0.05, rescore=False, network=network)
    events = Detector.fit(calls[:5], options=options).detect(calls[0].file)
    return [(event.start, event.end, event.score) for event in events]


@pytest.fixture(scope="module")
def in_torch(calls: list[Annotation]) -> list[tuple[float, float, float]]:
    """What the shipped network detects in torch."""
    return detect(calls)


def test_both_back_ends_detect_the_same(
    in_torch: list[tuple[float, float, float]], calls: list[Annotation], graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load_network", None)  # and torch
    light = detect(calls)
    assert len(light) >= 4
    np.testing.assert_allclose(light, in_torch, atol=1e-4)


def test_the_command_detects_without_torch(graphs: Path, calls: list[Annotation]) -> None:
    table = calls[0].file.with_name("calls.csv")
    rows = [f"dawn.wav,{call.start},{call.end},{call.label}" for call in calls[:5]]
    table.write_text("\n".join(["file,start,end,label", *rows]))
    line = [sys.executable, "-c", COMMAND, "detect", str(calls[0].file), "--examples", str(table), "--no-rescore"]
    environment = os.environ | {name: str(graphs) for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA")}
    process = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("chirp") == len(calls) - 5


def test_a_graph_that_cannot_be_used_leaves_the_work_to_torch(
    graphs: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = network_key(read_network_file(own / NETWORK_FILE))
    asked: list[Path] = []
    load = module.load_network
    monkeypatch.setattr(module, "load_network", lambda path, content: asked.append(path) or load(path, content))
    for graph in (None, b"no graph at all", NO_GRAPH):
        module._hearing.cache_clear()
        if graph is not None:
            write_graph(key, graph)
        open_hearing(own)
    assert asked == 3 * [own / NETWORK_FILE]
    assert not build_network(own)


def test_a_graph_that_computes_something_else_is_not_kept(
    graphs: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = read_graph(network_key(read_network_file(HOME / NETWORK_FILE)))
    program = SimpleNamespace(model_proto=SimpleNamespace(SerializeToString=lambda: other))
    monkeypatch.setattr(event_graph, "trace", lambda *arguments, **options: program)
    key = network_key(read_network_file(own / NETWORK_FILE))
    path = graphs_folder() / f"{key}.graph"
    path.unlink(missing_ok=True)
    with pytest.raises(FewShotError, match="from torch"):
        build_network(own)
    assert read_graph(key) == NO_GRAPH
    path.unlink()


def test_no_graph_is_built_where_torch_is_asked_for(monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
    started: list[object] = []
    place = "fewshot_audio.events.detection.network_graph."
    monkeypatch.setattr(place + "start_process", lambda *arguments: started.append(arguments))
    monkeypatch.setattr(place + "read_graph", lambda key: None)
    build_network_in_background(own)
    assert not started
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("fewshot_audio.recognition.graph_building.can_write_graphs", lambda: True)
    build_network_in_background(own)
    build_network_in_background()
    assert started == [("fewshot_audio.events.detection.network_graph", folder) for folder in (own, HOME)]


def test_an_own_network_hears_and_detects(
    own: Path, calls: list[Annotation], in_torch: list[tuple[float, float, float]]
) -> None:
    levels = np.random.default_rng(0).uniform(-0.5, 3.5, (64, N_MELS)).astype(np.float32)
    oracle = EventNetwork()
    oracle.load_state_dict(load_file(own / NETWORK_FILE))
    with torch.no_grad():
        expected = oracle.eval()(torch.from_numpy(levels)[None])
    for mine, other in zip(open_hearing(own)(levels), expected, strict=True):
        np.testing.assert_allclose(mine, other[0].numpy(), atol=1e-5)
    assert detect(calls, own) != in_torch
    prints = {detection_fingerprint(calls[:5], [], DetectionOptions(network=network)) for network in (None, own)}
    assert len(prints) == 2


def test_files_that_are_no_event_network_are_refused_by_name(tmp_path: Path, own: Path) -> None:
    path = tmp_path / NETWORK_FILE
    content = (own / NETWORK_FILE).read_bytes()
    state = load_file(own / NETWORK_FILE)
    first, second = sorted(state)[:2]
    cases = {
        "cannot be read": None,
        "more than": bytes(LARGEST_FILE + 1),
        "not a safetensors file": b"no network",
        "damaged": content[:-1] + bytes([content[-1] ^ 1]),
        f"'{first}' is absent, expected float32": save({second: state[second]}),
        f"'{first}' is float16": save(state | {first: state[first].half()}),
        "'more' is float32": save(state | {"more": torch.zeros(1)}),
        f"{first} holds values that are not finite": save(state | {first: state[first] * float("nan")}),
    }
    for message, text in cases.items():
        if text is not None:
            path.write_bytes(text)
        with pytest.raises(DataError, match=message) as raised:
            open_hearing(tmp_path)
        assert str(path) in str(raised.value)
    path.write_bytes(save(state | {first: torch.full_like(state[first], 1e30)}))
    with pytest.raises(DataError, match="its weights are unusable"):
        open_hearing(tmp_path)(np.full((4, N_MELS), 3.0, np.float32))
    save_file(state, path)  # as version 0.1 wrote it, without a digest
    assert callable(open_hearing(tmp_path))


def test_the_command_takes_an_own_network_and_refuses_what_is_none(
    tmp_path: Path, own: Path, calls: list[Annotation], shell: Shell
) -> None:
    table = calls[0].file.with_name("calls.csv")
    rows = [f"dawn.wav,{call.start},{call.end},{call.label}" for call in calls[:5]]
    table.write_text("\n".join(["file,start,end,label", *rows]))
    command = ["detect", calls[0].file, "--examples", table, "--no-rescore"]
    assert shell(*command, "--network", own).code == 0
    outcome = shell(*command, "--network", tmp_path)
    assert outcome.code == 1
    assert NETWORK_FILE in outcome.err
    outcome = shell("detect", calls[0].file, "--bundle", tmp_path, "--network", own)
    assert outcome.code == 2
    assert "--network" in outcome.err
    with pytest.raises(ConfigError, match="network concern marked examples"):
        Detector.from_recognizer(None, DetectionOptions(network=own))  # type: ignore[arg-type]
