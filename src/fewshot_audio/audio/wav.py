"""Write sounds as wav files."""

import io
from pathlib import Path

import soundfile

from fewshot_audio.audio.samples import Samples
from fewshot_audio.files import write_bytes


def write_wav(path: Path, samples: Samples, sample_rate: int) -> None:
    """Write mono samples (n,) within -1..1 as a 16-bit wav file, atomically; missing parent folders are made."""
    content = io.BytesIO()  # libsndfile would only print an error of the disk
    soundfile.write(content, samples, sample_rate, "PCM_16", format="WAV")
    write_bytes(path, content.getvalue())
