"""otoyol memory: the figures are the library's, sizes are read, and the languages say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import otoyol
from otoyol.cli.main import run
from otoyol.cli.memory import container_bytes, parse_bytes
from otoyol.cost import count
from otoyol.ops.recompute import MODES


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", "resnet18", "--batch", "4", "--available", "1GiB", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["available_bytes"] == 2**30
    assert [row["mode"] for row in told["modes"]] == list(MODES)
    spec = otoyol.parse("resnet18")
    cost = count(spec, batch=4)
    assert told["modes"][0]["held_bytes"] == cost.train_bytes
    assert told["modes"][1]["held_bytes"] == cost.train_bytes_lean
    for row in told["modes"]:
        assert row["fits"] == (row["peak_bytes"] <= 2**30) and row["largest_batch"] >= 4
        assert row["peak_bytes"] > 3 * cost.weight_bytes  # weights, momentum, and in the end all gradients


@pytest.mark.parametrize(("lang", "words"), [("en", ("largest batch", "no")), ("tr", ("en büyük yığın", "hayır"))])
def test_table(lang: str, words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", "cifar_resnet20", "--available", "3MB", "--lang", lang]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in (*words, *MODES))


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["memory", "cifar_resnet20", "--json"]) == 0
    has = json.loads(capsys.readouterr().out)["available_bytes"]
    assert has is None or has > 2**20


NOTHING = 9223372036854771712  # what version 1 says where there is no limit
MIB = 1 << 20


def machine(root: Path, own: str, files: dict[str, object]) -> Path:
    """A tree as the kernel shows it: /proc/self/cgroup and files under /sys/fs/cgroup."""
    for name, text in {
        "proc/self/cgroup": own,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def v1(group: str, limit: int, used: int, stat: str = "") -> dict[str, object]:
    at = f"memory{group}/memory"
    return {f"{at}.limit_in_bytes": limit, f"{at}.usage_in_bytes": used, f"{at}.stat": stat}


def v2(group: str, limit: object, used: int, stat: str = "") -> dict[str, object]:
    at = f"{group}/memory".lstrip("/")
    return {f"{at}.max": limit, f"{at}.current": used, f"{at}.stat": stat}


V1 = "5:cpu,cpuacct:/elsewhere\n4:memory:/job/step\n1:name=systemd:/\n0::/"
STAT = f"anon 5\ninactive_anon {7 * MIB}\ninactive_file {100 * MIB}\nactive_file {9 * MIB}"


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        # a container of version 2: its group is the mount
        ("0::/", v2("", 512 * MIB, 200 * MIB), 312 * MIB),
        ("0::/", v2("", 512 * MIB, 200 * MIB, STAT), 412 * MIB),  # 100 MiB of files can go
        ("0::/", v2("", "max", 200 * MIB, STAT), None),
        ("0::/", v2("", 512 * MIB, 600 * MIB), 0),
        # the process's own group, and the tightest of those above it
        ("0::/a.slice/b.scope", {**v2("/a.slice/b.scope", 300 * MIB, MIB), **v2("/a.slice", "max", MIB)}, 299 * MIB),
        ("0::/a/b", {**v2("/a/b", 300 * MIB, MIB), **v2("/a", 200 * MIB, 150 * MIB, STAT)}, 150 * MIB),
        ("0::/a", {**v2("/a", "max", MIB), **v2("/other", 5 * MIB, MIB)}, None),  # of another group
        # seen from within a container the path is the machine's
        ("0::/docker/0123", v2("", 64 * MIB, 4 * MIB), 60 * MIB),
        ("0::/../../x", v2("", 64 * MIB, 4 * MIB), 60 * MIB),
        # version 1
        (V1, v1("/job/step", NOTHING, MIB), None),
        (V1, {**v1("/job/step", 512 * MIB, 200 * MIB), **v1("", NOTHING, 900 * MIB)}, 312 * MIB),
        (V1, {**v1("/job", 512 * MIB, 200 * MIB, f"inactive_file 1\ntotal_inactive_file {30 * MIB}")}, 342 * MIB),
        (V1, v1("", 64 * MIB, 4 * MIB), 60 * MIB),
        (V1, {**v1("/job/step", 512 * MIB, MIB), **v2("unified", 2 * MIB, MIB)}, 511 * MIB),
        # what cannot be read limits nothing
        ("", v2("", 64 * MIB, 4 * MIB), None),
        ("0::/", {"memory.max": "lots", "memory.current": 1}, None),
        ("0::/", {**v2("", 64 * MIB, 4 * MIB), "memory.stat": "inactive_file\n"}, 60 * MIB),
        ("0::/", {}, None),
    ],
)
def test_what_the_control_groups_leave(tmp_path: Path, own: str, files: dict[str, object], left: int | None) -> None:
    assert container_bytes(machine(tmp_path, own, files)) == left


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert container_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GiB", 2**34), ("24GB", 24 * 10**9), ("8e9", 8 * 10**9), ("1.5 MiB", 3 * 2**19), ("700", 700), ("2k", 2000)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "a lot", "-3GB", "0", "1e99", "5QB"])
def test_sizes_that_are_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(otoyol.SpecError, match="available"):
        parse_bytes(text)
    assert run(["memory", "resnet18", f"--available={text}"]) == 2
    assert "available" in capsys.readouterr().err


def test_a_gpu_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert run(["memory", "resnet18", "--device", "cuda"]) == 2
    assert "GPU" in capsys.readouterr().err
