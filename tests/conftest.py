"""What all tests share: hypothesis without deadlines (this kind of machine is noisy), one torch thread a worker."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile(
    "otoyol", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("otoyol")


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """``script("benchmarks/serve.py")``: a file outside of the package as a module."""

    def load(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(Path(path).stem + "_script", Path(__file__).parents[1] / path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
