"""torch as an engine: eager in either layout, torch.compile, AOTInductor."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from otoyol.deploy.wrap import Deployed
from otoyol.errors import OtoyolError

Array = np.ndarray[Any, Any]
# Weights become constants, so that they can be laid out once as oneDNN wants them, with the operator behind fused in.
FREEZE: dict[str, Any] = {"freezing": True}


class TorchSession:
    """A function of one tensor. ``channels_last``: the layout of images and weights alike."""

    def __init__(self, call: Callable[[Tensor], Sequence[Tensor]], threads: int, channels_last: bool = False) -> None:
        self._call, self._threads, self._channels_last = call, threads, channels_last

    def run(self, image: Array) -> Sequence[Array]:
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        x = torch.from_numpy(image)
        if self._channels_last and x.is_floating_point():
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            return [y.numpy() for y in self._call(x)]


def load(name: str, module: Deployed, shape: Sequence[int], threads: int) -> TorchSession:
    """The module in ``eager``, ``eager-nhwc``, ``compile`` or ``aot``. Raises OtoyolError where compiling fails."""
    if threads:
        torch.set_num_threads(threads)
    if name == "eager":
        return TorchSession(module, threads)
    module = module.to(memory_format=torch.channels_last)
    if name == "eager-nhwc":
        return TorchSession(module, threads, channels_last=True)
    example = torch.zeros(tuple(shape), dtype=torch.uint8 if module.prepare is not None else torch.float32)
    try:
        with _quiet(), torch.no_grad():
            call = _compiled(module, example) if name == "compile" else _ahead(module, example)
    except Exception as error:  # compilers fail in many ways
        raise OtoyolError(f"engine {name}: it cannot be compiled: {str(error).strip()[:300]}") from error
    return TorchSession(call, threads)


def _compiled(module: Deployed, example: Tensor) -> Callable[[Tensor], Sequence[Tensor]]:
    call: Callable[[Tensor], Sequence[Tensor]] = torch.compile(module, dynamic=False, options=FREEZE)
    call(example)
    return call


def _ahead(module: Deployed, example: Tensor) -> Callable[[Tensor], Sequence[Tensor]]:
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    program = torch.export.export(module, (example,))
    with tempfile.TemporaryDirectory(prefix="otoyol-") as folder:
        place = aoti_compile_and_package(program, package_path=str(Path(folder) / "model.pt2"), inductor_configs=FREEZE)
        call: Callable[[Tensor], Sequence[Tensor]] = aoti_load_package(place)  # unpacks to a place of its own
    return call


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Compilers warn about what is not the user's."""
    import warnings

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
