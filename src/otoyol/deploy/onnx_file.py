"""ONNX files: from a torch module through torch's exporter, cleaned, described, and read back."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from otoyol.deploy.metadata import INPUT_NAME, Metadata, read_props, write_props
from otoyol.errors import MissingExtraError, OtoyolError, SpecError
from otoyol.spec.files import read_bytes

try:
    import onnx
    import onnxscript
    import torch
except ModuleNotFoundError as error:
    raise MissingExtraError(str(error.name), "deploy") from error

OPSET = 20
BATCH = "batch"
MAX_BYTES = (1 << 31) - 1  # of one protobuf message


def to_onnx(
    module: torch.nn.Module, image: torch.Tensor, outputs: Sequence[str], sizes: Sequence[int], opset: int = OPSET
) -> onnx.ModelProto:
    """The module as an ONNX graph with one input, ``image``. ``sizes`` are the axes of ``image`` that may vary.

    Raises OtoyolError where torch's exporter cannot follow the module.
    """
    names = {axis: torch.export.Dim.DYNAMIC if axis else torch.export.Dim(BATCH) for axis in sizes}
    try:
        with _quiet():
            program = torch.onnx.export(
                module, (image,), dynamo=True, opset_version=opset, input_names=[INPUT_NAME],
                output_names=list(outputs), dynamic_shapes=(names,) if names else None, optimize=True, verbose=False,
            )  # fmt: skip
    except Exception as error:  # the exporter wraps whatever went wrong, of many kinds
        told = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
        raise OtoyolError(f"export: torch's ONNX exporter gives up: {' '.join(told[:3])[:400]}") from error
    if program is None:
        raise OtoyolError("export: torch's ONNX exporter gave nothing")
    return cleaned(program.model_proto)


def cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what the exporter tells about this machine's files and frames."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for thing in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        thing.doc_string = ""
        del thing.metadata_props[:]
    _name_axes(graph)
    model.producer_name, model.producer_version = "otoyol", ""
    return model


def _name_axes(graph: onnx.GraphProto) -> None:
    """Axes that vary get names that people read, in place of the exporter's symbols."""
    shape = [dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim]
    symbols = dict(zip((symbol for symbol in shape[1:] if symbol), ("height", "width"), strict=False))
    symbols |= {shape[0]: BATCH} if shape[0] else {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda word: symbols.get(word[0], word[0]), dim.dim_param)


def versions() -> dict[str, str]:
    """Of the libraries that write a file."""
    return {"torch": torch.__version__, "onnx": onnx.__version__, "onnxscript": onnxscript.__version__}


def checked_bytes(model: onnx.ModelProto, metadata: Metadata) -> bytes:
    """The described model as it stands in a file, passed by ONNX's checker. Raises OtoyolError."""
    write_props(model, metadata)
    if model.ByteSize() > MAX_BYTES:
        raise OtoyolError(f"export: the model takes {model.ByteSize()} bytes; one ONNX file holds {MAX_BYTES}")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OtoyolError(f"export: ONNX's checker refuses the graph: {str(error)[:400]}") from error
    return bytes(model.SerializeToString())


def load_model(path: str | os.PathLike[str]) -> tuple[onnx.ModelProto, Metadata]:
    """An artifact and its description. Raises SpecError where the file is none."""
    data = read_bytes(path, "artifact", MAX_BYTES)
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
    except Exception:  # protobuf's errors have no common base; a damaged file can raise any of them
        raise SpecError("artifact", Path(path).name, "an ONNX file; this is none, or a damaged one") from None
    return model, read_props(model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints and warns about its own insides."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


__all__ = ["MAX_BYTES", "OPSET", "checked_bytes", "cleaned", "load_model", "to_onnx", "versions"]
