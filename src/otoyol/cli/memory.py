"""otoyol memory: the predicted peak of a training step in every memory mode, against what the machine has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from otoyol.cli.inputs import label, read_spec, title
from otoyol.cli.options import DType, Json, Lang, SpecText, option
from otoyol.cli.output import Heading, Table, write, write_json
from otoyol.cli.words import language, number, word
from otoyol.errors import SpecError

Optimizer = Literal["sgd", "momentum", "adamw"]
Device = Literal["cpu", "cuda"]
SIZE = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*(?:([kmgt])(i?)b?|b)?\Z", re.IGNORECASE)
UNITS = {"k": 1, "m": 2, "g": 3, "t": 4}


def memory(
    spec: SpecText,
    /,
    *,
    batch: Annotated[int, option("memory_batch", "--batch")] = 32,
    dtype: Annotated[DType, option("dtype", "--dtype")] = "float32",
    optimizer: Annotated[Optimizer, option("optimizer", "--optimizer")] = "momentum",
    available: Annotated[str | None, option("available", "--available")] = None,
    device: Annotated[Device, option("memory_device", "--device")] = "cpu",
    json: Json = False,
    lang: Lang = None,
) -> None:
    from otoyol.cost import largest_batch, training
    from otoyol.ops.recompute import MODES

    design, speak = read_spec(spec), language(lang)
    given = None if available is None else parse_bytes(available)
    has = available_bytes(device) if given is None else given
    steps = [training(design, mode, batch=batch, dtype=dtype, optimizer=optimizer) for mode in MODES]
    most = [
        None if has is None else largest_batch(design, mode, has, dtype=dtype, optimizer=optimizer) for mode in MODES
    ]
    if json:
        told = [
            {**step._asdict(), "largest_batch": n, "fits": None if has is None else step.peak_bytes <= has}
            for step, n in zip(steps, most, strict=True)
        ]
        write_json({"spec": label(design), "available_bytes": has, "modes": told})
        return
    facts: dict[str, Any] = {
        "batch": batch, "input": design.input.text, "dtype": dtype, "available": has,
        "optimizer": word(f"memory.optimizer.{optimizer}", speak),
        "where": word(f"memory.where.{device if given is None else 'given'}", speak),
    }  # fmt: skip
    heads = ("mode", "peak", "train_bytes", "of_available", "fits", "again_macs", "work", "largest_batch")
    rows = [
        (
            step.mode,
            number(step.peak_bytes, speak, "bytes"),
            number(step.held_bytes, speak, "bytes"),
            "–" if not has else number(step.peak_bytes / has, speak, ".1%"),
            "–" if has is None else word(f"memory.fits.{'yes' if step.peak_bytes <= has else 'no'}", speak),
            number(step.again_macs, speak, "si"),
            number(step.work, speak, ".3f") + "×",
            "–" if n is None else number(n, speak),
        )
        for step, n in zip(steps, most, strict=True)
    ]
    write(
        [
            Heading(title(design)),
            word("title.memory_unknown" if has is None else "title.memory", speak, **facts),
            Table("", tuple(word(f"head.{head}", speak) for head in heads), rows),
            word("memory.note", speak),
        ]
    )


def parse_bytes(text: str) -> int:
    """Bytes of ``16GiB``, ``24GB``, ``8e9`` or a plain number. Raises SpecError."""
    found = SIZE.match(text.strip())
    value = 0.0
    if found:
        amount, unit, binary = found.groups()
        value = float(amount) * (1024 if binary else 1000) ** (UNITS[unit.lower()] if unit else 0)
    if not 1 <= value < 2**60:
        raise SpecError("available", text, "a number of bytes such as 16GiB, 24GB or 8e9")
    return int(value)


def available_bytes(device: Device) -> int | None:
    """What the device has free: a GPU's free memory, or the machine's memory within the limit that its container
    has; None where the system does not tell. Raises SpecError where there is no GPU."""
    if device == "cuda":
        from otoyol.nn.memory import free_bytes

        return free_bytes()
    free = _meminfo()
    left = container_bytes()
    return left if free is None else free if left is None else min(free, left)


def _meminfo() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return int(next(line for line in text.splitlines() if line.startswith("MemAvailable")).split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def container_bytes(root: Path = Path("/")) -> int | None:
    """What the process's control groups leave of their memory limits: of its own and of those above it, in version 1
    or 2; None where there is no limit. Inactive pages of files are no use of memory: the kernel gives them back first.

    ``root`` holds ``proc`` and ``sys``. See the kernel's admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
    """
    left = [_left(group, version) for group, version in _groups(root)]
    return min((each for each in left if each is not None), default=None)


class _Version(NamedTuple):
    """How a version of control groups calls the files; ``inactive``: the figure of memory.stat, groups below included,
    as in ``used``."""

    limit: str
    used: str
    inactive: str


_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("memory.max", "memory.current", "inactive_file")
NO_LIMIT = 1 << 62  # version 1 writes the largest whole number of pages below 2**63


def _groups(root: Path) -> Iterator[tuple[Path, _Version]]:
    """The folders of the process's groups, up to their mount. In a container the path may be the machine's, of which
    nothing is mounted but the container's own group: then only the mount is there."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if controllers and "memory" not in controllers.split(","):
            continue
        top, version = (mount / "memory", _V1) if controllers else (mount, _V2)
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for count in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:count]), version


def _left(group: Path, version: _Version) -> int | None:
    try:
        limit = int((group / version.limit).read_text())  # "max" is no number
        used = int((group / version.used).read_text())
    except (OSError, ValueError):
        return None
    return None if limit >= NO_LIMIT else max(0, limit - max(0, used - _inactive_bytes(group, version)))


def _inactive_bytes(group: Path, version: _Version) -> int:
    try:
        rows = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        return next((int(row[1]) for row in rows if row[0] == version.inactive), 0)
    except (OSError, ValueError, IndexError):
        return 0
