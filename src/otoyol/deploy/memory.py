"""How much a process grows by one engine: measured in a process of its own, so that no order of engines matters.

Where engines are loaded one after another into one process, the second finds the allocator's pages and the libraries
of the first. A fresh process has the artifact open and the engine's library imported; what it grows by until the engine
has run once is the engine's: weights as it lays them out, activations, generated code, what loading leaves behind.
"""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
from pathlib import Path

from otoyol.deploy.artifact import Artifact
from otoyol.deploy.engines import load_engine, package
from otoyol.deploy.verify import images

SECONDS = 900  # compilers take minutes


def grown_bytes(artifact: Artifact, engine: str, batch: int, threads: int) -> int | None:
    """Resident bytes that a fresh process grows by while ``engine`` loads the artifact and runs once; None where the
    system does not tell, or the process fails."""
    words = [sys.executable, "-m", __name__, str(artifact.path), engine, str(batch), str(threads)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    told = done.stdout.split()
    return int(told[-1]) if done.returncode == 0 and told and told[-1].isdecimal() else None


def resident_bytes() -> int | None:
    """This process's resident memory; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _grown(path: str, engine: str, batch: int, threads: int) -> int | None:
    artifact = Artifact(path)
    importlib.import_module(package(engine))
    image = images(artifact.metadata, artifact.shape(batch))
    gc.collect()
    before = resident_bytes()
    session = load_engine(engine, artifact, batch, threads)
    session.run(image)
    gc.collect()
    after = resident_bytes()
    return None if before is None or after is None else max(0, after - before)


if __name__ == "__main__":
    print(_grown(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
