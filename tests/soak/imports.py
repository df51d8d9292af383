"""What the commands of the soak tests need, imported once by the process that they are forked from."""

import matplotlib.figure  # noqa: F401
import onnxscript  # noqa: F401
import optuna  # noqa: F401
import sqlalchemy  # noqa: F401

import fewshot_audio.audio.decode
import fewshot_audio.audio.recordings
import fewshot_audio.cli
import fewshot_audio.engine.fit
import fewshot_audio.engine.module
import fewshot_audio.experiments.run_experiment
import fewshot_audio.recognition.bundle.read
import fewshot_audio.recognition.bundle.write
import fewshot_audio.recognition.onnx
import fewshot_audio.recognition.scan
import fewshot_audio.studies.crossval.work
import fewshot_audio.studies.report.page
import fewshot_audio.studies.tune.outcome  # noqa: F401
