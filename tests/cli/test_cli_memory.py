"""otoyol memory: the figures are the library's, sizes are read, and the languages say the same."""

from __future__ import annotations

import json

import pytest

import otoyol
from otoyol.cli.main import run
from otoyol.cli.memory import parse_bytes
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
