"""Classify recordings with an exported recognizer; needs numpy, soundfile and onnxruntime.

python onnx_classify.py sounds.onnx recording.wav ...
"""

import json
import sys

import numpy as np
import onnxruntime
import soundfile


def open_model(path):
    """Return the graph and what its metadata say: classes, rate and length of a segment, unknown threshold."""
    try:
        session = onnxruntime.InferenceSession(path)
        about = session.get_modelmeta().custom_metadata_map
        threshold = float(about["unknown_threshold"] or "inf")
        return (
            session,
            json.loads(about["classes"]),
            int(about["sample_rate"]),
            int(about["segment_samples"]),
            threshold,
        )
    except KeyError as error:
        sys.exit(f"{path}: its metadata lack {error}: it was not written by `fewshot-audio export`")
    except Exception as error:  # noqa: BLE001 - onnxruntime's own kinds have no public base
        sys.exit(f"{path}: cannot be read as an ONNX file: {error}")


def read_mono(path, rate):
    """Return the samples of a recording, or raise ValueError with the reason why it cannot be used."""
    try:
        samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise ValueError(f"cannot be read: {error}") from error
    if own_rate != rate:
        raise ValueError(f"{own_rate} Hz; resample it to {rate} Hz first")
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError("no samples, or some that are not finite")
    return samples.mean(axis=1)


def main(model, *recordings):
    """Print the answer for each segment of the recordings; return the number of those that cannot be used."""
    session, classes, rate, length, threshold = open_model(model)
    failed = 0
    for path in recordings:
        try:
            mono = read_mono(path, rate)
        except ValueError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
            continue
        for start in range(0, len(mono), length):
            segment = np.resize(mono[start : start + length], (1, length))  # the last one is filled by repeating it
            probabilities, unknown_score = (output[0] for output in session.run(None, {"waveform": segment}))
            unknown = unknown_score > threshold or np.isinf(unknown_score)
            label = "unknown" if unknown else classes[int(probabilities.argmax())]
            print(f"{path}\t{start / rate:g} s\t{label}\t{probabilities.max():.3f}")
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python onnx_classify.py sounds.onnx recording.wav ...")
    if main(*sys.argv[1:]):
        sys.exit(1)
