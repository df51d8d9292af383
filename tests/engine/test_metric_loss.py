"""Losses of pytorch-metric-learning on prototypes and queries, against calling the library."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_metric_learning.losses as library
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_audio.config import validate
from fewshot_audio.config.losses import LossConfig, MetricConfig
from fewshot_audio.engine.metric_loss import Metric
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.tiny import tiny_configs

NAMES = sorted(
    name
    for name, value in vars(library).items()
    if inspect.isclass(value) and issubclass(value, library.BaseMetricLossFunction)
)
NEEDED: dict[str, dict[str, Any]] = {"RankedListLoss": {"margin": 0.4, "Tn": 2}, "ManifoldLoss": {"l": 6}}
REFUSED = {
    "learns vectors of a fixed set of classes": {
        *("ArcFaceLoss", "CosFaceLoss", "LargeMarginSoftmaxLoss", "NormalizedSoftmaxLoss", "P2SGradLoss"),
        *("ProxyAnchorLoss", "ProxyNCALoss", "SoftTripleLoss", "SphereFaceLoss", "SubCenterArcFaceLoss"),
        "ManifoldLoss",
    },
    "depends on former batches": {"DynamicSoftMarginLoss"},
    "cannot judge an episode: ValueError": {"VICRegLoss"},  # it compares two lists of pairs
    "missing 1 required positional argument: 'mat_based_loss'": {"GenericPairLoss"},
    "expected a loss of pytorch_metric_learning": {"BaseMetricLossFunction"},
}
THREE: list[tuple[str, dict[str, Any]]] = [
    ("SupConLoss", {"temperature": 0.3}),
    ("TripletMarginLoss", {"margin": 0.2, "triplets_per_anchor": "all"}),
    ("NTXentLoss", {}),
]


def episode(way: int = 3, queries: int = 4, width: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    anchors = F.normalize(torch.randn(way, width, generator=generator), dim=-1).requires_grad_()
    rows = F.normalize(torch.randn(way * queries, width, generator=generator), dim=-1).requires_grad_()
    return anchors, rows, torch.arange(way).repeat_interleave(queries)


@pytest.mark.parametrize(("name", "params"), THREE)
def test_it_is_the_library_on_one_labeled_batch(name: str, params: dict[str, Any]) -> None:
    anchors, queries, labels = episode()
    actual = Metric(name, params)(anchors, queries, labels, torch.Generator())
    batch = torch.stack([*anchors.detach(), *queries.detach()]).requires_grad_()
    expected = getattr(library, name)(**params)(batch, torch.tensor([0, 1, 2, *labels.tolist()]))
    assert torch.equal(actual, expected)
    torch.autograd.backward([actual, expected])
    assert anchors.grad is not None
    assert queries.grad is not None
    assert batch.grad is not None
    torch.testing.assert_close(torch.cat([anchors.grad, queries.grad]), batch.grad)
    assert anchors.grad.any()


def test_sup_con_is_what_its_paper_says() -> None:
    """Khosla et al. 2020, equation 2, one pair at a time."""
    anchors, queries, labels = episode()
    actual = Metric("SupConLoss", {"temperature": 0.3})(anchors, queries, labels, torch.Generator())
    rows, classes = [*anchors, *queries], [0, 1, 2, *labels.tolist()]
    each = []
    for i, row in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        total = torch.stack([(row @ rows[j] / 0.3).exp() for j in others]).sum()
        same = [j for j in others if classes[j] == classes[i]]
        each.append(-sum(((row @ rows[j] / 0.3).exp() / total).log() for j in same) / len(same))
    torch.testing.assert_close(actual, sum(each) / len(each))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_each_loss_of_the_library_judges_episodes_or_is_refused_with_the_reason(name: str) -> None:
    reason = next((reason for reason, names in REFUSED.items() if name in names), None)
    params = NEEDED.get(name, {})
    if reason is not None:
        with pytest.raises(ConfigError) as error:
            Metric(name, params)
        assert reason in str(error.value)
        assert name in str(error.value)
        return
    anchors, queries, labels = episode()
    value = Metric(name, params)(anchors, queries, labels, torch.Generator())
    assert value.shape == ()
    torch.autograd.backward(value)
    assert queries.grad is not None
    assert queries.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "SupConLos",
            {},
            "loss.metric.loss is 'SupConLos' (did you mean 'SupConLoss'?), expected a loss of pytorch_metric_learning: "
            "AngularLoss, ",
        ),
        ("CrossBatchMemory", {}, "expected a loss of"),  # wraps another loss
        ("inspect", {}, "expected a loss of"),
        ("SupConLoss", {"temp": 1, "reducer": None}, "SupConLoss has no temp, reducer; its params are temperature"),
        ("NPairsLoss", {"margin": 1}, "NPairsLoss has no margin; its params are none"),
        ("NTXentLoss", {"mat_based_loss": True}, "NTXentLoss has no mat_based_loss"),
        ("SupConLoss", {"temperature": "warm"}, "SupConLoss cannot judge an episode: TypeError"),
        ("RankedListLoss", {"margin": 0.1}, "refuses its params: TypeError"),
        ("ProxyAnchorLoss", {"num_classes": 5, "embedding_size": 8}, "learns vectors"),
        ("MarginLoss", {"learn_beta": True, "num_classes": 5}, "learns vectors"),
    ],
)
def test_wrong_names_and_params_are_refused(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Metric(name, params)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"loss": "os.system"}, "loss"),
        ({"loss": "losses:SupConLoss"}, "loss"),
        ({"loss": ""}, "loss"),
        ({"params": [1]}, "params"),
        ({"params": {"temperature": object()}}, "params.temperature"),
    ],
)
def test_a_config_names_a_class_and_plain_values(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"key 'metric.{key}'"):
        validate(LossConfig, {"l_param": 1.0, "metric": {"use": True, **values}}, "e.json")


def test_random_triplets_follow_the_global_generator() -> None:
    loss = Metric("TripletMarginLoss", {"triplets_per_anchor": 1})
    values = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            values.append(loss(*episode(), torch.Generator()).item())
    assert values[0] == values[1] != values[2]


def test_a_missing_library_is_named_before_any_work(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"loss.cpl.use": False, "loss.metric.use": True, "num_epochs": 1}
    experiment, model = tiny_configs(changes, scenario=4)
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(ConfigError, match=r"pip install 'fewshot-audio\[metric\]'"):
        run_experiment(experiment, model, tiny_dataset, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_library_is_imported_only_if_it_is_used() -> None:
    work = (
        "import sys, fewshot_audio.engine.module, fewshot_audio.engine.metric_loss, fewshot_audio.config\n"
        "assert not [name for name in sys.modules if name.startswith('pytorch_metric_learning')]"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", work], check=True)


@pytest.mark.parametrize(("name", "params"), THREE)
def test_an_experiment_trains_with_it(name: str, params: dict[str, Any], tiny_dataset: Path, tmp_path: Path) -> None:
    changes = {
        "loss.cpl.use": False,
        "loss.metric": MetricConfig(use=True, loss=name, params=params).model_dump(),
        "num_epochs": 1,
        "n_testing_tasks": 2,
    }
    run_experiment(*tiny_configs(changes, scenario=4), tiny_dataset, tmp_path)
    header, row = (tmp_path / "tiny" / "run-1" / "metrics.csv").read_text().splitlines()
    assert float(row.split(",")[header.split(",").index("contrastive_loss")]) > 0
