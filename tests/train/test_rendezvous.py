"""Ranks that make up the name of their life, over a store in which earlier lives have left theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from _tiny_run import SPEC
from torch.distributed import TCPStore

from otoyol.errors import OtoyolError
from otoyol.train.rendezvous import agree

WORLD = 3


def server() -> TCPStore:
    """What torchrun's agent keeps through all restarts."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def life(
    store: TCPStore, ranks: Sequence[int] = range(WORLD), delays: Sequence[float] = (0.0,) * WORLD, seconds: float = 20
) -> dict[int, str | OtoyolError]:  # fmt: skip
    """What each rank finds, a connection of its own each, the ranks so many seconds late."""
    found: dict[int, str | OtoyolError] = {}

    def take_part(rank: int) -> None:
        time.sleep(delays[rank])
        own = TCPStore("127.0.0.1", store.port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=20))
        try:
            found[rank] = agree(own, rank, WORLD, seconds=seconds)
        except OtoyolError as error:
            found[rank] = error

    threads = [threading.Thread(target=take_part, args=(rank,)) for rank in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def prefix(found: dict[int, str | OtoyolError]) -> str:
    assert len(found) == WORLD
    (name,) = set(found.values())
    assert isinstance(name, str)
    return name


def test_each_life_has_a_prefix_of_its_own() -> None:
    store = server()
    lives = [prefix(life(store, delays=late)) for late in ((0, 0, 0), (0, 0.4, 0.2), (0.4, 0, 0), (0, 0, 0.4))]
    assert len(set(lives)) == len(lives)


def test_what_earlier_lives_have_left_is_not_taken_for_the_living() -> None:
    """A life that was never whole, then one that is; then lives without a rank whose place a dead one still has."""
    store = server()
    begun = life(store, [0, 1], seconds=0.5)
    assert "rank 2 did not answer rank 0 within 0.5 s" in str(begun[0])
    assert "rank 0 did not answer rank 1 within 0.5 s" in str(begun[1])
    first = prefix(life(store))
    headless = life(store, [1, 2], seconds=0.5)
    assert all("rank 0 did not answer" in str(error) for error in headless.values())
    short = life(store, [0, 2], seconds=0.5)
    assert "rank 1 did not answer rank 0" in str(short[0]) and "TORCH_DISABLE_SHARE_RDZV_TCP_STORE" in str(short[0])
    assert prefix(life(store)) != first


def test_processes_whose_agents_have_counted_differently_train_together(tmp_path: Path) -> None:
    """As on two machines, of which one has caused three restarts and the other one."""
    fields = {"spec": SPEC + ",norm=group,norm.groups=2", "recipe": {"steps": 2, "batch": 8},
              "run": {"tensorboard": False, "threads": 1}}  # fmt: skip
    (file := tmp_path / "tiny.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    store = server()
    shared = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "counts",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = []
    for rank, count in (("0", "3"), ("1", "1")):
        own = {"RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_RESTART_COUNT": count}
        processes.append(subprocess.Popen(
            [sys.executable, "-m", "otoyol", "train", str(file), "--out", str(tmp_path / "run")],
            env={**os.environ, **shared, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ))  # fmt: skip
    try:
        said = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    assert (tmp_path / "run" / "result.json").exists()


def test_a_store_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from otoyol.train import machine

    def gone(*_: object) -> str:
        raise machine.torch.distributed.DistNetworkError("the connection was reset\nC++ stack")

    store = server()
    monkeypatch.setattr(machine, "agree", gone)
    for name, value in (("TORCHELASTIC_USE_AGENT_STORE", "True"), ("MASTER_ADDR", "127.0.0.1"), ("RANK", "1"),
                        ("MASTER_PORT", str(store.port))):  # fmt: skip
        monkeypatch.setenv(name, value)
    with pytest.raises(OtoyolError, match=r"store at 127\.0\.0\.1:\d+ does not answer \(the connection was reset\)"):
        machine._join(2, "cpu")
