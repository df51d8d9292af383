"""Any phase evaluated with any seed and number of tasks."""

from dataclasses import replace

from fewshot_audio.config import ExperimentConfig, Phase
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import TaskProtocol
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent


def evaluate_phase(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    data: TrainingData,
    phase: Phase,
    *,
    seed: int,
    tasks: int,
    fresh_views: bool = False,
    progress: Progress = silent,
) -> TaskScores:
    protocol = TaskProtocol.test(experiment) if phase == "test" else TaskProtocol.validation(experiment, seed)
    system = NetworkSystem(network, data, phase, seed, experiment.query_views(phase))
    protocol = replace(protocol, seed=seed, n_tasks=tasks)
    return evaluate_network(system, protocol, fresh_views=fresh_views, progress=progress)
