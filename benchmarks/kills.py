"""Trainings killed at random moments, each compared bit for bit with one that was never killed.

    python benchmarks/kills.py [--moments 1000] [--signals 40] [--commands 3]

``moments``: the process dies, by an exception that nothing catches, at a moment drawn from all that change the model
or the disk (amid writes as well), then again amid its resumption at times, in four configurations. ``signals``: a
forked process is ended by SIGKILL after a random time. ``commands``: so is `otoyol train` itself, with a process that
reads. Compared are weights, average, optimiser, best weights, every row of the log and all figures. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "train"))

import torch
from _tiny_run import Killed, Killer, config, kill_points, killing, quickened, rows, train
from safetensors.torch import load_file

CONFIGS = {
    "sgd, ema, mixup": config(),
    "accumulated, clipped, onecycle": config(
        recipe__accumulate=3, recipe__clip=0.5, recipe__schedule={"name": "onecycle"}
    ),
    "adamw, lean": config(recipe__optimiser={"name": "adamw", "lr": 0.01}, recipe__ema=None, run__memory="lean"),
    "bfloat16, channels last, sqrt": config(
        recipe__precision="bf16-mixed", run__channels_last=True, run__memory="sqrt"
    ),
}


class Patches:
    """What monkeypatch is to tests."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def setattr(self, owner: Any, name: str, value: Any) -> None:
        patch = mock.patch.object(owner, name, value)
        patch.start()
        self.made.append(patch)

    def undo(self) -> None:
        while self.made:
            self.made.pop().stop()


def by_moments(folder: Path, count: int) -> dict[str, Any]:
    """(runs, deaths, runs that ended with other bits)."""
    deaths = 0
    odd: list[str] = []
    for number, (name, chosen) in enumerate(CONFIGS.items()):
        share = count * (number + 1) // len(CONFIGS) - count * number // len(CONFIGS)
        whole, counter, patches = train(chosen, folder / f"whole{number}"), Killer(), Patches()
        with killing(counter, patches.setattr):
            train(chosen, folder / f"counted{number}")
        patches.undo()
        for times in kill_points(counter.count, share, seed=100 + number):
            killed = folder / "killed"
            shutil.rmtree(killed, ignore_errors=True)
            for at in times:
                try:
                    with killing(Killer(at), patches.setattr):
                        train(chosen, killed, resume=True)
                except Killed:
                    deaths += 1
                patches.undo()
            if found := train(chosen, killed, resume=True).differences(whole):
                odd.append(f"{name} at {times}: {found}")
        print(f"{name}: {share} runs over {counter.count} moments, {len(odd)} with other bits so far", flush=True)
    return {"runs": count, "deaths": deaths, "other_bits": odd}


def by_signals(folder: Path, count: int) -> dict[str, Any]:
    chosen, chance = config(recipe__steps=20), random.Random(9)
    began = time.monotonic()
    whole = train(chosen, folder / "whole")
    took, deaths = time.monotonic() - began, 0
    odd: list[str] = []
    for number in range(count):
        killed = folder / str(number)
        for _ in range(chance.choice((1, 2))):
            child = os.fork()
            if child == 0:
                try:
                    train(chosen, killed, resume=True)
                finally:
                    os._exit(0)
            time.sleep(chance.uniform(0, took))
            os.kill(child, signal.SIGKILL)
            deaths += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if found := train(chosen, killed, resume=True).differences(whole):
            odd.append(f"fork {number}: {found}")
    print(f"SIGKILL: {count} runs, {deaths} deaths, {len(odd)} with other bits", flush=True)
    return {"runs": count, "deaths": deaths, "other_bits": odd}


def by_commands(folder: Path, count: int) -> dict[str, Any]:
    chosen = config(recipe__steps=400, run__workers=1, run__checkpoints={"every_steps": 10}, run__evaluate_every=100)
    file, chance, deaths = folder / "tiny.json", random.Random(3), 0
    file.write_text(chosen.model_dump_json())
    command = [sys.executable, "-m", "otoyol", "train", str(file), "--resume", "--json", "--out"]

    def start(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL)

    whole = folder / "whole"
    assert start(whole).wait() == 0
    odd: list[str] = []
    for number in range(count):
        killed = folder / f"command{number}"
        process = start(killed)
        while not any(killed.glob("checkpoints/step-*")) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 1.5))
        process.kill()
        deaths += process.wait() == -signal.SIGKILL
        assert start(killed).wait() == 0
        same = [load_file(of / f"{name}.safetensors") for name in ("last", "best") for of in (whole, killed)]
        if rows(killed) != rows(whole) or not (equal(*same[:2]) and equal(*same[2:])):
            odd.append(f"command {number}")
    print(f"otoyol train: {count} runs, {deaths} deaths, {len(odd)} with other bits", flush=True)
    return {"runs": count, "deaths": deaths, "other_bits": odd}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, count in (("moments", 1000), ("signals", 40), ("commands", 3)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        parts = {name: Path(place) / name for name in ("commands", "moments", "signals")}
        for part in parts.values():
            part.mkdir()
        found["commands"] = by_commands(parts["commands"], given.commands)
        patches = Patches()
        quickened(patches.setattr)
        found["moments"] = by_moments(parts["moments"], given.moments)
        found["signals"] = by_signals(parts["signals"], given.signals)
        patches.undo()
    bad = sum(len(part["other_bits"]) for part in found.values())
    facts = {"benchmark": "kills", "seconds": round(time.monotonic() - began, 1), "ok": bad == 0, **found}
    print(json.dumps(facts, ensure_ascii=False))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
