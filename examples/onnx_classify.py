"""Classify recordings with an exported recognizer; needs numpy, soundfile and onnxruntime.

python onnx_classify.py sounds.onnx recording.wav ...
"""

import json
import sys

import numpy as np
import onnxruntime
import soundfile

session = onnxruntime.InferenceSession(sys.argv[1])
about = session.get_modelmeta().custom_metadata_map
classes, length, threshold = json.loads(about["classes"]), int(about["segment_samples"]), about["unknown_threshold"]
for path in sys.argv[2:]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if str(rate) != about["sample_rate"]:
        sys.exit(f"{path}: {rate} Hz; resample it to {about['sample_rate']} Hz first")
    mono = samples.mean(axis=1)
    for start in range(0, len(mono), length):
        segment = np.resize(mono[start : start + length], (1, length))  # the last one is filled by repeating it
        probabilities, unknown_score = (output[0] for output in session.run(None, {"waveform": segment}))
        unknown = unknown_score > float(threshold or "inf") or np.isinf(unknown_score)
        label = "unknown" if unknown else classes[int(probabilities.argmax())]
        print(f"{path}\t{start / rate:g} s\t{label}\t{probabilities.max():.3f}")
