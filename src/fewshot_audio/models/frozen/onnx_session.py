"""An ONNX file's network at work, computed by onnxruntime."""

from typing import Any

from numpy.typing import NDArray

from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.graph import first_line, import_extra


class OnnxSession:
    """Computes the described output of an ONNX file.

    Args:
        description: names input and output.
        content: of the file.

    Raises:
        ConfigError: the file is not usable, or not as described.
    """

    def __init__(self, description: EncoderDescription, content: bytes) -> None:
        self._description = description
        onnxruntime = import_extra("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # windows run side by side instead
        options.log_severity_level = 4  # fatal
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own, by the kind of what is wrong
            raise description.refusal(f"onnxruntime does not take it ({first_line(error)})") from error
        inputs = {value.name: value for value in self._session.get_inputs()}
        if list(inputs) != [description.input]:
            raise description.refusal(f"its inputs are {sorted(inputs)}, expected {description.input!r} alone")
        rank, layout = len(inputs[description.input].shape), description.layout
        if rank not in (0, len(layout)):
            raise description.refusal(f"its input has {rank} axes, but layout is {layout}")
        if description.output not in [value.name for value in self._session.get_outputs()]:
            raise description.refusal(f"it has no output {description.output!r}")

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        """Compute the output of an input. Raises ConfigError if the network does not take it."""
        description = self._description
        try:
            (output,) = self._session.run([description.output], {description.input: values})
        except Exception as error:  # onnxruntime raises its own, by the kind of what is wrong
            what = f"it does not take an input of shape {values.shape} ({first_line(error)})"
            raise description.refusal(what) from error
        return output  # type: ignore[no-any-return]
