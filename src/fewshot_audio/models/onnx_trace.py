"""Tracing of torch modules as ONNX graphs."""

import importlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_audio.errors import ConfigError

OPSET = 18


def trace(module: nn.Module, example: Tensor, input_name: str, output_names: Sequence[str], *, any_batch: bool) -> Any:
    """Trace a module of one input as an ONNX program, whose ``model_proto`` is the graph.

    Args:
        module: in evaluation mode.
        example: an input.
        input_name: of the graph.
        output_names: of the graph.
        any_batch: whether the graph takes any length of the first axis; if not, the example's.

    Raises:
        ConfigError: the module has operators that ONNX lacks, or a package for that is not installed.
    """
    optimizer = import_onnx("onnxscript.optimizer")
    with _quiet(), _unfused_attention():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[input_name],
                output_names=output_names,
                dynamic_shapes=({0: torch.export.Dim("batch")},) if any_batch else None,
                optimize=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ConfigError(f"this network cannot be exported to ONNX: {reason}") from error
        # Not all that the exporter would do: one of its rules takes the log-mel's 2e-16 for 0 and removes it.
        assert program is not None
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
        return program


def import_onnx(module: str) -> Any:
    """Import a module of the extra ``onnx``. Raises ConfigError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"export needs {module.partition('.')[0]}: pip install 'fewshot-audio[onnx]'") from error


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """Trace transformer layers as the operators that they consist of."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings, none of which a user can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
