"""The engines that can run an artifact, each installed or not, each loaded only when it is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from otoyol.deploy import huge_pages
from otoyol.deploy.artifact import Artifact
from otoyol.errors import MissingExtraError, OtoyolError, SpecError

EngineName = Literal["eager", "eager-nhwc", "compile", "aot", "ort", "ort-hugepages", "openvino", "openvino-hugepages"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
# And the engine whose memory lies in them.
HUGE_PAGES: dict[str, EngineName] = {"ort-hugepages": "ort", "openvino-hugepages": "openvino"}
PACKAGES = {"ort": "onnxruntime", "openvino": "openvino"}  # the others are torch
COMPILED = ("compile", "aot")  # need a C++ compiler, and a minute or more at every start
Array = np.ndarray[Any, Any]


class Session(Protocol):
    """An artifact, loaded into an engine."""

    def run(self, image: Array) -> Sequence[Array]:
        """``image`` as the artifact takes it, in the batch that was loaded for; the outputs in the artifact's order."""
        ...


def package(name: str) -> str:
    return PACKAGES.get(HUGE_PAGES.get(name, name), "torch")


def version(name: str) -> str:
    """The version of an engine's library; empty where it is not installed."""
    try:
        return metadata.version(package(name)) if find_spec(package(name)) else ""
    except metadata.PackageNotFoundError:
        return ""


def obstacle(name: str, artifact: Artifact) -> str:
    """Why an engine cannot run an artifact here; empty where it can."""
    if find_spec(package(name)) is None:
        return f"{package(name)} is not installed"
    if name in HUGE_PAGES:
        return huge_pages.obstacle()
    if name not in PACKAGES and not artifact.has_module:
        return f"torch has no module of a {artifact.metadata.task} artifact in {artifact.metadata.precision}"
    if name in COMPILED and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return "there is no C++ compiler on the path"
    return ""


def load_engine(name: str, artifact: Artifact, batch: int, threads: int) -> Session:
    """The artifact in an engine: ``eager`` and ``eager-nhwc`` (torch; channels last), ``compile`` (torch.compile),
    ``aot`` (AOTInductor), ``ort`` (ONNX Runtime), ``openvino``, and the last two in huge pages, which takes a run and a
    tenth of a second or more to load. Batches are of ``batch`` images.

    Raises SpecError for another name, MissingExtraError where it is not installed, OtoyolError where it cannot run.
    """
    if name not in ENGINES:
        raise SpecError("engine", name, ", ".join(ENGINES))
    if find_spec(package(name)) is None:
        raise MissingExtraError(package(name), "deploy")
    if reason := obstacle(name, artifact):
        raise OtoyolError(f"engine {name}: {reason}")
    shape = artifact.shape(batch)
    if name in PACKAGES:
        return load_graph(name, artifact.path, shape, threads)
    if name in HUGE_PAGES:
        from otoyol.deploy.verify import images

        with huge_pages.huge_pages():
            session = load_graph(name, artifact.path, shape, threads)
            session.run(images(artifact.metadata, shape))  # only now has it all the memory that it will use
        return session
    from otoyol.deploy import torch_engines

    return torch_engines.load(name, artifact.module(), shape, threads)


def load_graph(name: str, graph: bytes | Path, shape: Sequence[int], threads: int) -> Session:
    """An ONNX graph, as a file or as its bytes, in ``ort`` or ``openvino``, whatever pages ``name`` asks for. Raises
    OtoyolError where it cannot run."""
    if HUGE_PAGES.get(name, name) == "ort":
        from otoyol.deploy.ort import OrtSession

        return OrtSession(graph, threads)
    from otoyol.deploy.openvino_engine import OpenVinoSession

    return OpenVinoSession(graph, shape, threads)
