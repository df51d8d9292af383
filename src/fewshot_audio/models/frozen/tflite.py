"""TFLite files: read as data before the interpreter sees them, given the named tensor as output, and computed."""

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import ConfigError, on_one_line
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.graph import MAX_NODES, first_line, import_extra

IDENTIFIER = b"TFL3"  # at byte 4 of a file


def with_output(content: bytes, output: str) -> bytes:
    """The file with a tensor, inner or not, as its only output; all else stays as it is.

    Raises:
        ConfigError: it is no TFLite file, uses operators that are not TFLite's, or has no such tensor.
    """
    if content[4:8] != IDENTIFIER:
        raise ConfigError("not a TFLite file")
    schema = import_extra("ai_edge_litert.schema_py_generated", "tflite")
    changed = bytearray(content)
    try:
        model = schema.Model.GetRootAs(changed)
        graph = model.Subgraphs(0)
        counts = model.OperatorCodesLength(), graph.OperatorsLength(), graph.TensorsLength()
        if max(counts) > MAX_NODES:
            raise ConfigError(f"more than {MAX_NODES} operators or tensors")
        foreign = {model.OperatorCodes(number).CustomCode() for number in range(counts[0])} - {None, b""}
        names = [_text(graph.Tensors(number).Name()) for number in range(counts[2])]
        outputs = graph.OutputsAsNumpy()  # a view: what is written into it is written into the file
        before = [names[number] for number in outputs]
        if not foreign and output in names:
            outputs[:] = names.index(output)
    except ConfigError:
        raise
    except Exception as error:  # offsets that lead anywhere make the reader raise anything
        raise ConfigError(f"not a readable TFLite file ({type(error).__name__})") from error
    if foreign:
        raise ConfigError(f"uses operators that are not TFLite's ({on_one_line(_text(min(foreign)))!r})")
    if output not in names:
        raise ConfigError(f"has no tensor {output!r}; its outputs are {', '.join(map(repr, before)) or 'none'}")
    return bytes(changed)


class TfliteSession:
    """Computes the output of a TFLite file, a window at a time.

    Args:
        description: names input and output.
        content: of the file, whose only output is the described tensor (``with_output``).

    Raises:
        ConfigError: the file is not usable, or not as described.
    """

    def __init__(self, description: EncoderDescription, content: bytes) -> None:
        self._description = description
        self._lock = Lock()  # an interpreter keeps the tensors of one input
        interpreter = import_extra("ai_edge_litert.interpreter", "tflite").Interpreter
        try:
            self._interpreter = interpreter(model_content=content, num_threads=1)
        except (ValueError, RuntimeError) as error:
            raise description.refusal(f"LiteRT does not take it ({first_line(error)})") from error
        inputs = {value["name"]: value for value in self._interpreter.get_input_details()}
        if list(inputs) != [description.input]:
            raise description.refusal(f"its inputs are {sorted(inputs)}, expected {description.input!r} alone")
        self._input = inputs[description.input]
        rank, layout = len(self._input["shape"]), description.layout
        if rank not in (0, len(layout)):
            raise description.refusal(f"its input has {rank} axes, but layout is {layout}")
        outputs = self._interpreter.get_output_details()
        if {value["name"] for value in outputs} != {description.output}:
            raise description.refusal(f"it has no output {description.output!r}")
        self._output = outputs[0]
        self._shape: tuple[int, ...] = ()

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        """Compute the output of an input. Raises ConfigError if the network does not take it."""
        with self._lock:
            try:
                if values.shape != self._shape:
                    self._shape = ()
                    self._interpreter.resize_tensor_input(self._input["index"], values.shape)
                    self._interpreter.allocate_tensors()
                    self._shape = values.shape
                self._interpreter.set_tensor(self._input["index"], values)
                self._interpreter.invoke()
                output: NDArray[Any] = self._interpreter.get_tensor(self._output["index"])  # a copy
            except (ValueError, RuntimeError) as error:
                what = f"it does not take an input of shape {values.shape} ({first_line(error)})"
                raise self._description.refusal(what) from error
        scale, zero_point = self._output["quantization"]
        if np.issubdtype(output.dtype, np.integer) and scale:
            output = (output.astype(np.float32) - zero_point) * np.float32(scale)
        return output


def _text(name: bytes | None) -> str:
    return (name or b"").decode(errors="replace")
