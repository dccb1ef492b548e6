"""otoyol compare and match at equal budget: layers, what is varied, and what is said where nothing matches."""

from __future__ import annotations

import json

import pytest

from otoyol.cli.main import run
from otoyol.cost import count
from otoyol.spec import parse


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("OTOYOL_LANG", "en")


def told(capsys, *words):
    status = run([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_layers_are_what_the_networks_are_named_after(capsys):
    """He et al. 2015 and 2016 name their networks by layers; projections and gates do not count."""
    names = {"resnet18": 18, "resnet50": 50, "resnetv2_50": 50, "seresnet50": 50, "cifar_resnet110": 110}
    status, rows = told(capsys, "compare", *names)
    assert status == 0
    assert [row["depth"] for row in rows] == list(names.values())
    assert all("match" not in row for row in rows)
    assert run(["compare", *names]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("layers")]
    assert line.split()[1:3] == ["18", "50"] and line.split()[-2:] == ["110", "+511.1%"]  # 110 / 18 = 6.111


def test_depths_and_multiples_can_vary(capsys):
    status, rows = told(capsys, "compare", "cifar_resnet20", "cifar_resnet56", "--equal", "macs", "--vary", "depths")
    assert status == 0
    assert rows[1]["depths"] == [3, 3, 3] and rows[1]["widths"] == [16, 32, 64]  # 20 = 2 + 2·9, 56 = 2 + 2·27
    status, rows = told(capsys, "compare", "resnet50", "resnet50@block=basic", "--equal", "macs", "--multiple", "4")
    assert status == 0
    assert all(width % 4 == 0 for width in rows[1]["widths"]) and any(width % 8 for width in rows[1]["widths"])
    assert abs(count(parse(rows[1]["spec"])).macs / count(parse("resnet50")).macs - 1) <= 0.01


def test_a_miss_shows_the_nearest_beside_the_first(capsys):
    """One block a stage is the least that depths can give, and resnet18 is far larger even so."""
    words = ["compare", "cifar_resnet20", "cifar_resnet56", "resnet18", "--equal", "params", "--vary", "depths"]
    least = count(parse("resnet18@depths=1-1-1-1")).params
    status, rows = told(capsys, *words)
    assert status == 1
    assert [row["match"]["within"] for row in rows[1:]] == [True, False]
    assert rows[2]["spec"] == "resnet18@depths=1-1-1-1"
    assert rows[2]["match"]["reached"] == rows[2]["params"] == least
    assert rows[2]["match"]["difference"] == pytest.approx(least / rows[0]["params"] - 1)
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "C  No design matches." in out and "B  No design" not in out
    assert f"even the smallest depths cost {least} params" in out and "Side by side" in out


@pytest.mark.parametrize("verb", [["compare", "resnet18", "resnet34"], ["match", "resnet18", "attention=se"]])
def test_training_bytes_is_another_word(capsys, verb):
    one = told(capsys, *verb, "--equal", "training_bytes")
    other = told(capsys, *verb, "--equal", "train_bytes")
    assert one == other
    assert one[0] == 0
