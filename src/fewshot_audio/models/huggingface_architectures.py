"""The kinds of Hugging Face audio encoders that are supported, and how each is built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fewshot_audio.models.front_ends import ASTFrontEnd, CLAPFrontEnd, FrontEnd, Waveform, WhisperFrontEnd


@dataclass(frozen=True)
class Architecture:
    """How to build one kind of encoder: names of classes of ``transformers``, which is imported only when needed."""

    encoder: str
    front_end: Callable[[dict[str, Any]], FrontEnd]
    checkpoint: str = ""  # the class of the checkpoints, if the encoder is a part of a larger model
    part: str = ""  # name of the encoder in that model
    section: str = ""  # name of the encoder's config in that model's


AST = Architecture("ASTModel", ASTFrontEnd)
CLAP = Architecture("ClapAudioModel", CLAPFrontEnd, "ClapModel", "audio_model", "audio_config")
WHISPER = Architecture("models.whisper.modeling_whisper.WhisperEncoder", WhisperFrontEnd, "WhisperModel", "encoder")
ARCHITECTURES = {
    "audio-spectrogram-transformer": AST,
    "clap": CLAP,
    "whisper": WHISPER,
    "wav2vec2": Architecture("Wav2Vec2Model", Waveform),
    "hubert": Architecture("HubertModel", Waveform),
    "wavlm": Architecture("WavLMModel", Waveform),
    "unispeech-sat": Architecture("UniSpeechSatModel", Waveform),
    "data2vec-audio": Architecture("Data2VecAudioModel", Waveform),
    "sew": Architecture("SEWModel", Waveform),
}
