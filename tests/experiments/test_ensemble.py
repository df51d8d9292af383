"""Runs joined into one network: what it embeds, how it scores, and that it is used as any run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_audio.cli import main
from fewshot_audio.config import check_configs
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.ensemble import join_runs
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.models.network import FewShotNetwork
from tests.tiny import FRAMES, MELS, tiny_configs

THREE = {"num_runs": 3, "num_epochs": 1}


def train(root: Path, output: Path, changes: dict[str, Any], scenario: int = 1) -> list[Path]:
    """Train an experiment; its runs' folders."""
    run_experiment(*tiny_configs(THREE | changes, scenario=scenario), root, output)
    return sorted(output.glob("tiny/run-*"))


@pytest.fixture(scope="module")
def runs(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of scenario 1."""
    return train(tiny_dataset, tmp_path_factory.mktemp("plain"), {})


@torch.no_grad()
def embed(network: FewShotNetwork, seed: int = 0) -> torch.Tensor:
    """Rows of six random segments, transformed as for testing. Shape: (6, width)."""
    raw = torch.randn(6, MELS, FRAMES, generator=torch.Generator().manual_seed(seed)) * 12 - 40
    return network.transform(network.eval().encode(network.normalize(raw)))


def test_embeddings_stand_side_by_side(runs: list[Path], tmp_path: Path) -> None:
    joined = join_runs(runs, tmp_path / "joined")
    network = Run.read(joined.folder).trained_network()
    parts = [embed(Run.read(run).trained_network()) for run in runs]
    torch.testing.assert_close(embed(network), torch.cat(parts, dim=1) / 3**0.5)
    assert network.width == sum(part.shape[1] for part in parts)


def test_a_squared_distance_is_the_mean_of_the_members(tiny_dataset: Path, tmp_path: Path) -> None:
    runs = train(tiny_dataset, tmp_path, {"distance": "squared", "score_scale": 0.5})
    networks = [Run.read(run).trained_network() for run in runs]
    network = join_runs(runs, tmp_path / "joined").trained_network()
    means = torch.stack([((rows := embed(member))[:3, None] - rows[3:]).square().sum(-1) for member in networks])
    rows = embed(network)
    with torch.no_grad():
        scores = network.score(rows[3:], rows[:3])
    torch.testing.assert_close(scores, -0.5 * means.mean(0))


def test_the_centers_are_joined(tiny_dataset: Path, tmp_path: Path) -> None:
    runs = train(tiny_dataset, tmp_path, {"embedding_transform": "center_l2"})
    centered = []
    for run in runs:
        network = Run.read(run).trained_network()
        network.embedding_transform = "none"
        assert network.center is not None
        centered.append(embed(network) - network.center)
    expected = torch.nn.functional.normalize(torch.cat(centered, dim=1), dim=-1)
    torch.testing.assert_close(embed(join_runs(runs, tmp_path / "joined").trained_network()), expected)


def test_joins_are_joined(tiny_dataset: Path, tmp_path: Path) -> None:
    four = train(tiny_dataset, tmp_path / "four", {"num_runs": 4})
    first, last, middle = (join_runs(four[n : n + 2], tmp_path / f"pair-{n}").folder for n in (0, 2, 1))
    more = train(tiny_dataset, tmp_path / "more", {"num_runs": 2, "seed": 100})
    with pytest.raises(ConfigError, match=r"of another experiment than .* seed"):
        join_runs([first, join_runs(more, tmp_path / "other").folder], tmp_path / "c")
    network = join_runs([first, last], tmp_path / "f").trained_network()
    parts = torch.cat([embed(Run.read(run).trained_network()) for run in four], dim=1)
    torch.testing.assert_close(embed(network), parts / 2)
    with pytest.raises(ConfigError, match=r"pair-1 and .*pair-0 hold the same network: join each once"):
        join_runs([first, middle], tmp_path / "g")
    assert not (tmp_path / "g").exists()


def of_encoders(root: Path, output: Path, changes: dict[str, Any]) -> list[Path]:
    """A run of each of three encoders, with embeddings of other widths."""
    parts = {
        "Hybrid": {},
        "CNN": {"encoder_name": "CNN", "CNN.hidden_channels": 3, "CNN.out_dim": 5, "CNN.pool_dim": 2, "lr": 0.002},
        "ResNet12": {"encoder_name": "ResNet12", "ResNet12.widths": [2, 3, 4, 5], "ResNet12.stem_stride": 1,
                     "ResNet12.pool_last": False, "ResNet12.out_dim": 6},
    }  # fmt: skip
    once = {"num_runs": 1} | changes
    return [train(root, output / name, once | part)[0] for name, part in parts.items()]


@pytest.mark.parametrize("transform", ["none", "center_l2", "wccn"])
def test_networks_of_different_encoders_are_joined(tiny_dataset: Path, tmp_path: Path, transform: str) -> None:
    runs = of_encoders(tiny_dataset, tmp_path, {"embedding_transform": transform})
    more = train(tiny_dataset, tmp_path / "more", {"embedding_transform": transform, "num_runs": 2})
    pair = join_runs([runs[1], runs[2]], tmp_path / "pair").folder  # a join of a join has the members in this order
    joined = join_runs([pair, *more], tmp_path / "joined")
    assert joined.model.members == ["CNN", "ResNet12", "Hybrid", "Hybrid"]
    parts = []
    for run in (runs[1], runs[2], *more):
        network = Run.read(run).trained_network()
        network.embedding_transform = "none"
        rows = embed(network) - (0 if network.center is None else network.center)
        parts.append((rows if network.whitening is None else rows @ network.whitening) / 2)
    expected = torch.cat(parts, dim=1)
    expected = torch.nn.functional.normalize(expected, dim=-1) if transform != "none" else expected
    network = Run.read(joined.folder).trained_network()
    torch.testing.assert_close(embed(network), expected)
    assert network.width == expected.shape[1] == joined.model.out_dim("CNN") == 5 + 6 + 8 + 8
    assert evaluate_run(joined, tiny_dataset, joined.experiment).tasks == 10


def test_what_differs_between_encoders_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    (run,) = train(tiny_dataset, tmp_path / "a", {"num_runs": 1})
    cnn = {"encoder_name": "CNN", "CNN.pool_dim": 2, "num_runs": 1}
    (other,) = train(tiny_dataset, tmp_path / "b", cnn | {"distance": "cosine"})
    with pytest.raises(ConfigError, match=r"b.*: distance is 'cosine', but 'euclidean' in .*a"):
        join_runs([run, other], tmp_path / "joined")
    (first,) = train(tiny_dataset, tmp_path / "c", cnn)
    (wide,) = train(tiny_dataset, tmp_path / "d", cnn | {"CNN.out_dim": 9, "seed": 5})
    with pytest.raises(ConfigError, match="of another experiment"):
        join_runs([run, first, wide], tmp_path / "joined")
    pair = join_runs([run, wide], tmp_path / "pair").folder
    with pytest.raises(ConfigError, match="its section CNN is another one"):
        join_runs([pair, first], tmp_path / "joined")
    with pytest.raises(ConfigError, match=r"are the same run \(seed 0\)"):
        join_runs([run, first, first], tmp_path / "joined")


def test_a_contrastive_branch_is_left_behind(tiny_dataset: Path, tmp_path: Path) -> None:
    changes = {"use_attention": False, "num_runs": 2}
    joined = join_runs(train(tiny_dataset, tmp_path, changes, scenario=4), tmp_path / "joined")
    assert joined.trained_network().projection is None
    assert evaluate_run(joined, tiny_dataset, joined.experiment).tasks == 10


def command(line: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(line)
    assert stop.value.code == 0


def test_it_is_used_as_any_run(
    runs: list[Path], tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joined = tmp_path / "joined"
    command(["join", *map(str, runs), "-o", str(joined)])
    parameters = sum(weights.numel() for run in runs for weights in Run.read(run).trained_network().parameters())
    assert f"3 encoders side by side, {parameters:,} parameters" in capsys.readouterr().out
    command(["evaluate", str(joined), "--data-root", str(tiny_dataset), "--json", str(tmp_path / "test.json")])
    assert 1 / 3 < json.loads((tmp_path / "test.json").read_text())["accuracy"] < 1


def test_what_cannot_be_joined_is_refused(runs: list[Path], tiny_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "joined"
    with pytest.raises(ConfigError, match="at least two runs, found 1"):
        join_runs(runs[:1], out)
    with pytest.raises(ConfigError, match=r"are the same run \(seed 0\)"):
        join_runs([runs[0], runs[1], runs[0]], out)
    with pytest.raises(DataError, match="not a run folder"):
        join_runs([runs[0], tmp_path], out)
    with pytest.raises(DataError, match="exists: choose another folder"):
        join_runs(runs, tmp_path)
    other = train(tiny_dataset, tmp_path / "other", {"lr": 0.004})
    with pytest.raises(ConfigError, match=r"of another experiment than .* lr \(0.005 -> 0.004\)"):
        join_runs([runs[0], other[1]], out)
    attentive = train(tiny_dataset, tmp_path / "attentive", {}, scenario=3)
    with pytest.raises(ConfigError, match="use_attention is True: only networks of an encoder and distances"):
        join_runs(attentive, out)
    assert not out.exists()


def test_members_are_trained_together_too(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Attention.embed_dim is 8, expected Hybrid.out_dim x 2 members = 16"):
        check_configs(*tiny_configs({"members": 2, "Attention.embed_dim": 8}, scenario=3))
    with pytest.raises(ConfigError, match=r"expected 64 \(Hybrid.out_dim 8 x 2 members x 4 views\)"):
        check_configs(*tiny_configs({"members": 2, "Projection.input_dim": 32}, scenario=5))
    with pytest.raises(
        ConfigError, match=r"Projection.input_dim is 32, expected 16 \(Hybrid.out_dim 8 \+ CNN.out_dim 8\)"
    ):
        check_configs(*tiny_configs({"members": ["Hybrid", "CNN"], "Projection.input_dim": 32}, scenario=4))
    with pytest.raises(ConfigError, match="without encoder_name 'Hybrid'"):
        check_configs(*tiny_configs({"members": ["CNN", "CNN"]}))
    for wrong in (["Hybrid", "Nothing"], ["Hybrid"], 0, 2.5, True):
        with pytest.raises(ValueError, match="expected a whole number from 1 on, or a list of 2 to 64 names"):
            tiny_configs({"members": wrong})
    (run,) = train(tiny_dataset, tmp_path, {"members": 2, "num_runs": 1})
    assert embed(Run.read(run).trained_network()).shape == (6, 16)
