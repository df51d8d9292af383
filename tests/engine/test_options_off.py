"""The documented scenarios, without any of the later options, train to the numbers that they always had."""

from pathlib import Path
from typing import Any, Literal

import pytest

from fewshot_audio.experiments.run_experiment import run_experiment
from tests.engine.comparison import metrics
from tests.tiny import tiny_configs, write_tiny_dataset, write_tiny_waveforms

# Training losses of two epochs as the program computed them before it had options.
LOSSES: dict[tuple[Literal["CNN", "Hybrid"], int, Literal["cpl", "angular"], str], tuple[float, float]] = {
    ("CNN", 1, "cpl", "spec"): (1.164633959531784, 1.0570057034492493),
    ("CNN", 3, "cpl", "spec"): (1.103822648525238, 0.9289422333240509),
    ("CNN", 5, "cpl", "spec"): (1.5722998976707458, 1.3873197436332703),
    ("CNN", 1, "cpl", "wav"): (1.1034993529319763, 1.020317792892456),
    ("Hybrid", 1, "cpl", "spec"): (1.0419893860816956, 1.1194482743740082),
    ("Hybrid", 2, "cpl", "spec"): (1.0915825963020325, 1.041894257068634),
    ("Hybrid", 3, "cpl", "spec"): (1.2420527935028076, 1.1035930514335632),
    ("Hybrid", 4, "cpl", "spec"): (1.5032526850700378, 1.5823241472244263),
    ("Hybrid", 4, "angular", "spec"): (6.606186628341675, 6.692260503768921),
    ("Hybrid", 5, "cpl", "spec"): (1.7030161619186401, 1.5656853318214417),
    ("Hybrid", 5, "angular", "spec"): (6.629047393798828, 6.575281620025635),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options")
    write_tiny_waveforms(write_tiny_dataset(folder))
    return folder


@pytest.mark.parametrize(("setting", "losses"), LOSSES.items(), ids=["-".join(map(str, setting)) for setting in LOSSES])
def test_a_scenario_trains_as_it_always_did(
    setting: Any, losses: tuple[float, float], root: Path, tmp_path: Path
) -> None:
    encoder, scenario, loss, kind = setting
    configs = tiny_configs({"input_type": kind}, scenario=scenario, loss=loss, encoder=encoder)
    run_experiment(*configs, root, tmp_path)
    actual = [float(row["train_loss"]) for row in metrics(tmp_path / "tiny" / "run-1")]
    assert actual == pytest.approx(losses, rel=1e-4)
