"""Write sounds as wav files."""

from pathlib import Path

import soundfile

from fewshot_audio.audio.decode import Samples
from fewshot_audio.files import write_atomic


def write_wav(path: Path, samples: Samples, sample_rate: int) -> None:
    """Write mono samples (n,) within -1..1 as a 16-bit wav file, atomically; missing parent folders are made."""
    write_atomic(path, lambda stream: soundfile.write(stream, samples, sample_rate, "PCM_16", format="WAV"))
