"""What a recognizer consists of."""

from typing import NamedTuple

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.recognition.audio_store import AudioStore
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.enrolled import EnrolledSounds


class RecognizerParts(NamedTuple):
    """The parts of a recognizer, in the order in which ``Recognizer`` takes them.

    Attributes:
        embedder: the network, its preprocessing and its frozen views.
        experiment: the config that the network was built and trained by.
        model: its model config.
        calibration: numbers of the validation classes; None if it is not calibrated.
        sounds: what is enrolled.
        decision: how clips are told apart, None if that is not decided yet.
        encoders: the frozen encoders beside the network.
        audio: the files of the sound that is kept of clips; None if there are none.
    """

    embedder: Embedder
    experiment: ExperimentConfig
    model: ModelConfig
    calibration: Calibration | None
    sounds: EnrolledSounds
    decision: DecisionState | None
    encoders: ClipEncoders
    audio: AudioStore | None = None
