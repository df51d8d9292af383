"""``fewshot-audio export``: a recognizer as an ONNX file, which runs without torch."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line
from fewshot_audio.cli.options import Bundle
from fewshot_audio.errors import plural
from fewshot_audio.files import check_writable


@app.command()
def export(
    bundle: Bundle,
    onnx: Annotated[Path, typer.Option("--onnx", help="File to write.")],
) -> None:
    """Write a recognizer as one ONNX graph: a waveform segment in, probabilities of its classes out.

    The graph computes everything from the log-mel spectrogram to the calibrated probabilities. The metadata of the file
    hold class names, sample rate and segment length. See docs/export.md.
    """
    from fewshot_audio.recognition.onnx import export_onnx
    from fewshot_audio.recognition.recognizer import Recognizer

    check_writable(onnx)
    recognizer = Recognizer.load(bundle)
    result = export_onnx(recognizer, onnx)
    print_line(
        f"Wrote {onnx} ({result.size / 1e6:.1f} MB): {plural(len(recognizer.classes), 'class')}, segments of "
        f"{recognizer.segment_seconds:g} s at {recognizer.sample_rate} Hz"
    )
    print_line(f"Checked in onnxruntime: probabilities differ from torch's by at most {result.difference:.1g}")
