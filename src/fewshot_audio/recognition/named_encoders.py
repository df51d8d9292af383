"""The encoders that a person names for a recognizer: installed ones, files, trained runs and shipped networks."""

from fewshot_audio.config.frozen import RUN
from fewshot_audio.models.frozen.conversion import sha256
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.installed import install, installed_encoders
from fewshot_audio.models.frozen.references import find_encoder
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.shipped import shipped_folder, shipped_names


def named_encoder(reference: str) -> EncoderDescription:
    """One of this user's encoders, to which that of a file, a run or a shipped recognizer is added.

    Args:
        reference: the name of an encoder, "onnx:<file>", "tflite:<file>", "run:<run folder>", or the name of a shipped
            recognizer.

    Raises:
        ConfigError: there is none, or it cannot be used.
        DataError: the folder is no run.
        WriteError: it cannot be kept.
    """
    if reference.startswith(RUN):
        from fewshot_audio.experiments.run_encoder import run_as_encoder  # torch, which other encoders do without

        return run_as_encoder(reference)
    if reference in shipped_names():
        return _shipped(reference)
    return find_encoder(reference, named_by_user=True)


def _shipped(reference: str) -> EncoderDescription:
    folder = shipped_folder(reference)
    name = reference.replace("_", "-")
    source = f"shipped recognizer, {sha256((folder / BUNDLE_FILE).read_bytes())[:12]}"
    former = installed_encoders().get(name)
    if former and former.source == source:
        return former
    import torch

    from fewshot_audio.experiments.run_encoder import WaveformEmbedder, network_encoder
    from fewshot_audio.recognition.bundle.description import read_description
    from fewshot_audio.recognition.bundle.network import read_torch_embedder

    embedder = read_torch_embedder(folder, read_description(folder)[0], torch.device("cpu"))
    checked = network_encoder(WaveformEmbedder(embedder.network, embedder.preprocessing), name, source)
    return install(checked, replace=True)
