"""Tiny artifacts: graphs written by hand, with the metadata that an exporter writes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from otoyol.deploy.metadata import Metadata, write_props

CLASSES = ("red", "green", "blue")


def save(path: Path, nodes: list[Any], constants: dict[str, Any], inputs: Any, outputs: Any, about: Metadata) -> Path:
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", [inputs], outputs, given), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 10
    onnx.checker.check_model(model)
    write_props(model, about)
    onnx.save(model, str(path))
    return path


def colours(path: Path, layout: str = "nchw", gain: float = 1.0, **about: Any) -> Path:
    """A classifier of 8×8 images whose logits are the means of red, green and blue, times ``gain``."""
    nhwc = layout == "nhwc"
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "gain"], ["logits"]),
    ]
    shape = ["n", 8, 8, 3] if nhwc else ["n", 3, 8, 8]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8 if nhwc else TensorProto.FLOAT, shape)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])
    fields: dict[str, Any] = {
        "task": "classification", "spec": "resnet18@head=3,input=3x8x8", "classes": CLASSES, "outputs": ("logits",),
        "layout": layout, "height": 8, "width": 8, "opset": 18, **about,
    }  # fmt: skip
    axes = np.array([1, 2] if nhwc else [2, 3], dtype=np.int64)
    return save(path, nodes, {"axes": axes, "gain": np.float32(gain)}, image, [logits], Metadata(**fields))


def detector(path: Path, height: int = 20, width: int = 40) -> Path:
    """Finds the same three boxes in every image, in pixels of the input; the third has a score of 0.2."""
    constants = {
        "boxes_c": np.array([[0, 0, 10, 20], [8, 4, 20, 16], [0, 0, 1, 1]], dtype=np.float32),
        "labels_c": np.array([1, 0, 1], dtype=np.int64),
        "scores_c": np.array([0.9, 0.6, 0.2], dtype=np.float32),
        "zero": np.float32(0),
    }
    nodes = [
        helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["boxes_c", "nothing"], ["boxes"]),
        helper.make_node("Identity", ["labels_c"], ["labels"]),
        helper.make_node("Identity", ["scores_c"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["d", 4]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["d"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["d"]),
    ]
    about = Metadata(
        task="detection", spec="resnet18", classes=("cat", "dog"), outputs=("boxes", "labels", "scores"),
        height=height, width=width, opset=18,
    )  # fmt: skip
    return save(path, nodes, constants, image, outputs, about)


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    """An image file of one colour."""
    return encoded(Image.new("RGB", size, colour), kind)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()
