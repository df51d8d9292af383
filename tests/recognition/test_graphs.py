"""Recognizers that compute in onnxruntime: the answers of torch, from graphs that are built on this machine alone."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_audio.errors import DataError, FewShotError
from fewshot_audio.recognition.bundle.description import read_description
from fewshot_audio.recognition.bundle.graph import VARIABLE, name_network
from fewshot_audio.recognition.graph_building import build, build_in_background
from fewshot_audio.recognition.graphs import NO_GRAPH, RETRY_AFTER, graphs_folder, read_graph, write_graph
from fewshot_audio.recognition.onnx_embedder import OnnxEmbedder
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.shipped import shipped_folder
from fewshot_audio.recognition.torch_embedder import TorchEmbedder
from tests.compatibility.conftest import V0_1
from tests.recognition.recognizers import SAMPLES, Sound, recognizer, sound

TOLERANCE = 1e-4
"""Largest difference of a probability between back ends."""

CASES: dict[str, Callable[[], Recognizer]] = {
    "views as rows, CNN, squared": lambda: recognizer(
        {"test_query_augmentations": True, "distance": "squared"}, scenario=2, encoder="CNN"
    ),
    "attention, contrastive, bidirectional LSTM": lambda: recognizer(
        {"Hybrid.seq_type": "LSTM", "Hybrid.bidirectional": True}, scenario=5
    ),
    "committee": lambda: recognizer({"members": 2}, calibration=None),
    "committee of different encoders, whitened": lambda: recognizer(
        {"members": ["Hybrid", "CNN"], "CNN.pool_dim": 2, "embedding_transform": "wccn", "score_scale": 10.0}
    ),
    "ResNet-12, transformed, cosine, scaled": lambda: recognizer(
        {
            "encoder_name": "ResNet12",
            "distance": "cosine",
            "embedding_transform": "center_l2",
            "score_scale": 10.0,
        }
    ),
}
HEADS: dict[str, Callable[[], Recognizer]] = {
    "logistic regression on both": lambda: recognizer(head="both"),
    "on embeddings": lambda: recognizer(head="embedding"),
    "on timbre": lambda: recognizer(head="timbre", calibration=None),
}
TORCH_ONLY: dict[str, Callable[[], Recognizer]] = {
    "relation head": lambda: recognizer({"relation_head": True}),
    "waveforms": lambda: recognizer({"input_type": "wav", "specaug_params.use": False}),
}


def clips() -> list[Sound]:
    """Sounds of several lengths at levels from a whisper to 16-bit integers, and some that are hardly sounds."""
    random = np.random.default_rng(5)
    lengths = (0.1, 0.5, 1, 1.5, 2, 3.7, 10)
    levels = (1e-6, 1e-3, 0.1, 1, 3e4)
    varied = [
        level * sound(number % 3, number, int(length * SAMPLES))
        for number, (length, level) in enumerate((length, level) for length in lengths for level in levels)
    ]
    time = np.arange(SAMPLES)
    odd = [time == 4000, np.where(time > 5000, random.normal(size=SAMPLES), 0), np.sign(np.sin(0.1 * time))]
    return [np.asarray(samples, np.float32) for samples in (*varied, *odd)]


def saved(original: Recognizer, folder: Path) -> Path:
    original.save(folder)
    return folder


def key_of(folder: Path) -> str:
    network = name_network(folder, read_description(folder)[0])
    assert network is not None
    return network.key


@pytest.mark.parametrize("case", CASES | HEADS)
def test_answers_are_those_of_torch(case: str, graphs: Path, tmp_path: Path) -> None:
    folder = saved((CASES | HEADS)[case](), tmp_path / "bundle")
    assert build(folder)
    in_torch, light = Recognizer.load(folder), Recognizer.load(folder, backend="auto")
    assert isinstance(in_torch.embedder, TorchEmbedder)
    assert isinstance(light.embedder, OnnxEmbedder)
    expected, actual = in_torch.classify(clips(), rate=16_000), light.classify(clips(), rate=16_000)
    table = np.array([list(answer.probabilities.values()) for answer in expected])
    assert table.std(axis=0).max() > 1e-2
    np.testing.assert_allclose([list(answer.probabilities.values()) for answer in actual], table, atol=TOLERANCE)
    for one, other in zip(actual, expected, strict=True):
        assert (one.label, one.best, one.segments) == (other.label, other.best, other.segments)
        assert one.unknown_score == pytest.approx(other.unknown_score, rel=TOLERANCE)
    assert [clip.answer for clip in light.diagnose().clips] == [clip.answer for clip in in_torch.diagnose().clips]


def test_a_clip_embeds_to_the_same_bits_in_any_company(graphs: Path, tmp_path: Path) -> None:
    folder = saved(CASES["attention, contrastive, bidirectional LSTM"](), tmp_path / "bundle")
    build(folder)
    light = Recognizer.load(folder, backend="auto")
    together = light.embed(clips(), rate=16_000)
    assert np.array_equal(together, np.concatenate([light.embed(clip, rate=16_000) for clip in clips()]))
    assert np.array_equal(together[::-1], light.embed(clips()[::-1], rate=16_000))


def test_what_is_enrolled_in_one_back_end_is_read_in_the_other(graphs: Path, bundle: Path, tmp_path: Path) -> None:
    """The files of the network stay the same to the last byte; a clip is known as the same recording."""
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    weights = {path.name: path.read_bytes() for path in folder.glob("model-*")}
    build(folder)
    light = Recognizer.load(folder, backend="auto")
    clip = sound(1, 40)
    light.enroll("new", [clip, sound(2, 40)], rate=16_000)
    light.save(folder)
    assert {path.name: path.read_bytes() for path in folder.glob("model-*")} == weights
    in_torch = Recognizer.load(folder)
    in_torch.enroll("again", clip, rate=16_000)
    (duplicate,) = in_torch.diagnose().duplicates
    assert (duplicate.class_name, duplicate.duplicate_of) == ("again", "new/clip 1")
    in_torch.save(folder)
    light.refresh(folder)
    assert isinstance(light.embedder, OnnxEmbedder)
    assert light.classes == in_torch.classes
    assert torch.equal(light.network.norm_mean, in_torch.network.norm_mean)  # torch's, for those who ask for it


@pytest.mark.parametrize("case", TORCH_ONLY)
def test_other_networks_stay_in_torch(case: str, graphs: Path, tmp_path: Path) -> None:
    folder = saved(TORCH_ONLY[case](), tmp_path / "bundle")
    assert not build(folder)
    assert build_in_background(folder) is None
    assert isinstance(Recognizer.load(folder, backend="auto").embedder, TorchEmbedder)


def test_a_bundle_of_format_1_and_what_is_made_of_it_have_one_graph(graphs: Path, tmp_path: Path) -> None:
    former = {path.parent for path in (V0_1 / "bundles").glob("*/recognizer.json")}
    removed = {V0_1 / "bundles" / name for name in ("relation", "residual")}  # their options are not read any more
    folders = [shipped_folder(), *sorted(former - removed)]
    names = {folder: name_network(folder, read_description(folder)[0]) for folder in folders}
    assert names[shipped_folder()]
    assert sum(network is not None for network in names.values()) > 2
    for number, (folder, network) in enumerate(names.items()):
        if network is not None:
            Recognizer.load(folder).save(tmp_path / str(number))
            assert key_of(tmp_path / str(number)) == network.key
            _, digest = read_description(tmp_path / str(number))[0].tensor_file("model")
            assert hashlib.sha256(network.content).hexdigest() == digest


def test_the_name_of_a_graph_stands_for_all_that_the_network_is_made_of(graphs: Path, tmp_path: Path) -> None:
    makers = [
        *CASES.values(),
        lambda: recognizer({}),
        lambda: recognizer({"specaug_params.mask_value": 0.5}, scenario=5),
        lambda: recognizer({"embedding_transform": "power"}),  # with the weights of a plain one
    ]
    keys = {key_of(saved(make(), tmp_path / str(number))) for number, make in enumerate(makers)}
    assert len(keys) == len(makers)
    plain = recognizer({})
    key = key_of(saved(plain, tmp_path / "plain"))
    plain.enroll("more", sound(0, 50), rate=16_000)
    assert key_of(saved(plain, tmp_path / "more")) == key
    plain.network.get_parameter("encoder.linear.bias").data[0] += 1e-3
    assert key_of(saved(plain, tmp_path / "other weights")) != key


def test_weights_that_are_not_those_of_the_description_are_refused(graphs: Path, bundle: Path, tmp_path: Path) -> None:
    build(bundle)
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    (weights,) = folder.glob("model-*")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match="damaged, or of another recognizer"):
        Recognizer.load(folder, backend="auto")


def test_graphs_that_cannot_be_used_leave_the_work_to_torch(graphs: Path, bundle: Path) -> None:
    key = key_of(bundle)
    build(bundle)
    graph = read_graph(key)
    assert graph

    def embedder() -> Any:
        return Recognizer.load(bundle, backend="auto").embedder

    assert isinstance(embedder(), OnnxEmbedder)
    (path,) = graphs_folder().glob(f"{key}*")
    try:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)  # flipped bits would be other weights
        assert read_graph(key) is None
        assert isinstance(embedder(), TorchEmbedder)
        write_graph(key, b"no graph at all")
        assert isinstance(embedder(), TorchEmbedder)
        write_graph(key, NO_GRAPH)
        assert isinstance(embedder(), TorchEmbedder)
        assert not build(bundle)
        assert build_in_background(bundle) is None
        long_ago = time.time() - RETRY_AFTER - 10
        os.utime(path, (long_ago, long_ago))
        assert read_graph(key) is None
    finally:
        write_graph(key, graph)
    assert isinstance(embedder(), OnnxEmbedder)


def test_the_variable_and_missing_packages_leave_the_work_to_torch(
    graphs: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(bundle)
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, "torch")
        assert isinstance(Recognizer.load(bundle, backend="auto").embedder, TorchEmbedder)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        assert isinstance(Recognizer.load(bundle, backend="auto").embedder, TorchEmbedder)
        assert build_in_background(bundle) is None
    assert isinstance(Recognizer.load(bundle).embedder, TorchEmbedder)


def test_the_oldest_graphs_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(tmp_path))
    monkeypatch.setattr("fewshot_audio.recognition.graphs.MOST_GRAPHS", 2)
    for number, key in enumerate("abc"):
        write_graph(key, key.encode())
        os.utime(graphs_folder() / f"{key}.graph", (number, number))
    write_graph("d", b"d")
    assert [read_graph(key) for key in "abcd"] == [None, None, b"c", b"d"]


def test_the_graphs_have_a_largest_size_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(tmp_path))
    monkeypatch.setattr("fewshot_audio.recognition.graphs.MOST_BYTES", 250)
    for number, key in enumerate("abc"):
        write_graph(key, bytes(50))  # 82 bytes with the digest
        os.utime(graphs_folder() / f"{key}.graph", (number, number))
    assert [read_graph(key) for key in "abc"] == 3 * [bytes(50)]
    write_graph("d", bytes(50))
    assert [read_graph(key) is None for key in "abcd"] == [True, False, False, False]


@pytest.mark.parametrize("case", ["none", "relative", "private"])
def test_a_user_without_a_cache_is_answered_by_torch(
    case: str, graphs: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(name: str) -> str:
        if case == "none":
            raise RuntimeError("could not determine the home directory")  # as newer versions of platformdirs do
        return "~/.cache" if case == "relative" else str(tmp_path / "private" / "cache")

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(str(tmp_path / "private")):
            raise PermissionError(13, "Permission denied", str(path))
        return real_stat(path, *arguments, **options)

    monkeypatch.chdir(tmp_path)
    key = key_of(bundle)
    planted = tmp_path / "~" / ".cache" / "graphs" / f"{key}.graph"  # by who made the current folder
    planted.parent.mkdir(parents=True)
    planted.write_bytes(hashlib.sha256(b"graph").digest() + b"graph")
    monkeypatch.setattr("platformdirs.user_cache_dir", folder)
    real_stat = os.stat
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "access", lambda path, mode: case != "private")
    assert read_graph(key) is None
    assert isinstance(Recognizer.load(bundle, backend="auto").embedder, TorchEmbedder)
    assert build_in_background(bundle) is None


def test_a_graph_is_marked_as_begun_before_torch_is_imported(
    graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import takes seconds, in which other commands would begin to build it, too."""
    folder = saved(recognizer({"score_scale": 3.0}), tmp_path / "bundle")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError):
        build(folder)
    assert read_graph(key_of(folder)) == NO_GRAPH


def test_the_building_process_is_waited_for(tmp_path: Path, graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that begins it runs for weeks."""
    folder = saved(recognizer({"score_scale": 2.0}), tmp_path / "bundle")
    monkeypatch.setattr(sys, "executable", shutil.which("true"))
    process = build_in_background(folder)
    assert process is not None
    end = time.monotonic() + 60
    while process.returncode is None:  # which nobody here asks the system for
        assert time.monotonic() < end
        time.sleep(0.01)
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the cores of a process")
def test_segments_are_embedded_on_the_cores_that_the_process_may_use(
    graphs: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(bundle)
    embedder = Recognizer.load(bundle, backend="auto").embedder
    workers: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, max_workers: int) -> None:
            workers.append(max_workers)
            super().__init__(max_workers)

    monkeypatch.setattr("fewshot_audio.recognition.onnx_embedder.ThreadPoolExecutor", Pool)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    embedder.rows(np.zeros((5, *embedder.segment_shape), np.float32))
    assert workers == [3]


def test_a_graph_is_built_by_a_process_that_outlives_the_command(bundle: Path, tmp_path: Path) -> None:
    """Once; and another start finds it, without torch."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}

    def run(code: str) -> str:
        line = [
            sys.executable,
            "-c",
            f"import sys\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n{code}",
            bundle,
        ]
        return subprocess.run(line, check=True, capture_output=True, text=True, env=environment).stdout

    begin = "from fewshot_audio.recognition.graph_building import build_in_background as b; print(bool(b(folder)))"
    assert run(begin) == "True\n"
    end = time.monotonic() + 120
    while not (graphs := [path for path in tmp_path.rglob("*.graph") if path.stat().st_size > 100]):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert len(graphs) == 1
    assert run(begin) == "False\n"
    load = (
        "from fewshot_audio import Recognizer; Recognizer.load(folder, backend='auto'); print('torch' in sys.modules)"
    )
    assert run(load) == "False\n"


def test_a_graph_that_computes_something_else_is_not_kept(
    graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(recognizer({"Hybrid.seq_type": "GRU"}), tmp_path / "bundle")
    monkeypatch.setattr("fewshot_audio.recognition.embedding_graph.TOLERANCE", 0.0)
    with pytest.raises(FewShotError, match="from torch's"):
        build(folder)
    assert read_graph(key_of(folder)) == NO_GRAPH
