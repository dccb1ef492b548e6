"""Ways from a float32 ONNX file to int8: each takes the file and calibration images, and gives a graph of QDQ pairs.

ONNX Runtime's static quantiser, U8U8 (no saturation anywhere) and U8S8 with 7-bit weights (AVX2 adds pairs of products
in 16 bits, which 8-bit weights can overflow), and NNCF's, which is OpenVINO's own.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from otoyol.deploy.metadata import INPUT_NAME
from otoyol.errors import MissingExtraError

Array = np.ndarray[Any, Any]
Way = Callable[[Path, Sequence[Array]], onnx.ModelProto]


class _Reader:
    """The images once, as ONNX Runtime's calibration asks for them."""

    def __init__(self, images: Sequence[Array]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, Array] | None:
        image = next(self._left, None)
        return None if image is None else {INPUT_NAME: image}


def _ort(path: Path, images: Sequence[Array], *, signed: bool) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    reader = type("Reader", (_Reader, CalibrationDataReader), {})(images)
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it recommends a preprocessing that our graphs have behind them
    try:
        with tempfile.TemporaryDirectory(prefix="otoyol-") as folder:
            out = Path(folder) / "int8.onnx"
            quantize_static(
                str(path), str(out), reader, quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8 if signed else QuantType.QUInt8, per_channel=signed, reduce_range=signed,
            )  # fmt: skip
            return onnx.load(str(out))
    finally:
        logging.disable(level)


def u8u8(path: Path, images: Sequence[Array]) -> onnx.ModelProto:
    """ONNX Runtime: activations and weights unsigned, a scale for each tensor."""
    return _ort(path, images, signed=False)


def u8s8(path: Path, images: Sequence[Array]) -> onnx.ModelProto:
    """ONNX Runtime: weights signed in 7 bits, a scale for each channel."""
    return _ort(path, images, signed=True)


def nncf(path: Path, images: Sequence[Array]) -> onnx.ModelProto:
    """NNCF's post-training quantisation (min-max with bias correction)."""
    os.environ["NNCF_CI"] = "1"  # read at import: no telemetry
    try:
        import nncf as library
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "int8") from error
    library.set_log_level(logging.ERROR)
    data = library.Dataset(list(images), lambda image: {INPUT_NAME: image})
    with contextlib.redirect_stdout(io.StringIO()):  # bars of progress, where JSON may be expected
        found: onnx.ModelProto = library.quantize(onnx.load(str(path)), data, subset_size=len(images))
    return found


CANDIDATES: Mapping[str, Way] = {"u8u8": u8u8, "u8s8": u8s8, "nncf": nncf}
