"""What a table's timings depend on, and the refusal of a table that was made elsewhere."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from otoyol.errors import SpecError
from otoyol.measure.engine import ENGINES, PACKAGES, Engine

SETTINGS = ("engine", "threads", "batch", "dtype")
FUSION = 2  # counts up when otoyol.measure.fused changes what it tells apart


def fingerprint(engine: Engine) -> dict[str, Any]:
    """Processor, cores, engine with versions, threads, batch, dtype."""
    settings = {
        "engine": engine.name, "threads": engine.threads, "batch": engine.batch, "dtype": engine.dtype
    }  # fmt: skip
    return _here(settings, dict(sorted(engine.versions.items())))


def here_like(made: dict[str, Any]) -> dict[str, Any]:
    """What :func:`fingerprint` would be here for the settings of another, without loading the engine. Raises
    SpecError for an engine that is not known."""
    name = made.get("engine")
    if name not in ENGINES:
        raise SpecError("table.engine", name, ", ".join(ENGINES))
    return _here({key: made.get(key) for key in SETTINGS}, _versions(PACKAGES[name]))


def _versions(package: str) -> dict[str, str]:
    """What ``package.__version__`` would be, without importing it: torch's has a build that its metadata leave out."""
    found = find_spec(package)
    if found is None:
        return {}
    start = Path(str(found.origin))
    for path in (start.with_name("version.py"), start):  # the distribution may have another name: onnxruntime-gpu
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if written := re.search(r"^__version__ = ['\"]([^'\"]+)", text, re.MULTILINE):
            return {package: written[1]}
    return {package: metadata.version(package)}


def _here(settings: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": cores(),
        "engine": settings["engine"],
        "versions": versions,
        "threads": settings["threads"],
        "batch": settings["batch"],
        "dtype": settings["dtype"],
        "fusion": FUSION,
    }


def check_fingerprint(made: dict[str, Any], here: dict[str, Any]) -> None:
    """Raises SpecError naming the first difference between where a table was made and what is here."""
    for key, value in here.items():
        if made.get(key) != value:
            raise SpecError(
                f"table.{key}", _words(made.get(key)), f"{_words(value)}: a table holds for the machine, the engine "
                "and the settings it was measured with, so measure again"
            )  # fmt: skip


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "nothing installed"
    return str(value)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Name, family, model and stepping where the system tells them, so that two generations of one name differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value}
    if "model name" not in told:
        return platform.processor() or platform.machine()
    details = [f"{key} {told[name]}" for key, name in _DETAILS if name in told]
    return " ".join([told["model name"], *details])


_DETAILS = (("family", "cpu family"), ("model", "model"), ("stepping", "stepping"))
