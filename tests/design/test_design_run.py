"""The whole way on a small space: the front against moocore, the chosen design against torch, the folder's commands."""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import moocore
import numpy as np
import pytest
from _small import BUDGETS, SPACE

import otoyol
from otoyol import design as job
from otoyol.errors import OtoyolError, SpecError
from otoyol.explain.text import number, say
from otoyol.search import parse_budget

FILES = {
    "README.md", "commands.sh", "edf.png", "edf.svg", "front.json", "measured.json", "network.svg", "parallel.png",
    "parallel.svg", "pareto.png", "pareto.svg", "report.html", "space.yaml", "spec.yaml", "stages.png", "stages.svg",
}  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> job.Result:
    space = tmp_path_factory.mktemp("space") / "space.yaml"
    space.write_text(SPACE)
    wish = job.wish_for(
        "classification", budgets=BUDGETS, space=str(space), maximize=["params"], minimize=["macs"], count=4000, seed=3
    )
    with pytest.MonkeyPatch.context() as patch:  # one engine here; the commands, run below, take all
        patch.setattr(importlib.import_module("otoyol.design.run"), "settings", lambda _: [job.Setting("eager")])
        return job.design(wish)


@pytest.fixture(scope="module")
def folders(result: job.Result, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("folders")
    for lang in ("en", "tr"):
        job.write(result, home / lang, lang, date="2026-01-31")
    return {lang: home / lang for lang in ("en", "tr")}


def test_every_design_of_the_front_meets_the_budgets_and_is_beaten_by_none(folders: dict[str, Path]) -> None:
    front = json.loads((folders["en"] / "front.json").read_text())
    rows = front["designs"]
    assert len(rows) == len({row["spec"] for row in rows}) > 10
    for row in rows:
        counted = otoyol.cost.count(otoyol.parse(row["spec"]))
        assert (counted.params, counted.macs) == (row["params"], row["macs"])
        assert counted.params <= 100_000
        assert counted.macs <= 4_000_000
    assert front["objectives"] == [{"quantity": "params", "maximize": True}, {"quantity": "macs", "maximize": False}]
    values = np.array([[-row["params"], row["macs"]] for row in rows], dtype=float)
    assert moocore.is_nondominated(values, keep_weakly=True).all()


def test_the_chosen_design_is_the_nearest_to_the_ideal_point(folders: dict[str, Path]) -> None:
    front = json.loads((folders["en"] / "front.json").read_text())
    rows = front["designs"]

    def scale(name: str, row: dict[str, Any]) -> float:
        low, high = (math.log(pick(r[name] for r in rows)) for pick in (min, max))
        return (math.log(row[name]) - low) / (high - low)

    distances = [math.hypot(1 - scale("params", row), scale("macs", row)) for row in rows]
    assert front["distances"] == pytest.approx(distances, abs=1e-6)
    assert front["chosen"] - 1 == min(range(len(rows)), key=lambda i: distances[i])
    assert otoyol.to_text(otoyol.load(folders["en"] / "spec.yaml")) == rows[front["chosen"] - 1]["spec"]


def test_what_was_measured_is_torchs(folders: dict[str, Path]) -> None:
    measured = json.loads((folders["en"] / "measured.json").read_text())
    model = otoyol.nn.build(measured["spec"])
    assert measured["parameters"] == measured["counted"] == sum(p.numel() for p in model.parameters())
    assert measured["fine"]
    assert [tap["shape"][1:] for tap in measured["taps"]] == [tap["published"][:3] for tap in measured["taps"]]
    assert [tap["shape"][2] * tap["published"][3] for tap in measured["taps"]] == [32] * 5
    names = [row["name"] for row in measured["timed"][0]["designs"]]
    assert names == [
        "chosen", "ResNet-18 at the chosen budget", "ResNet-50 at the chosen budget", "ResNet-18", "ResNet-50"
    ]  # fmt: skip
    assert all(row["ms"] > 0 for timing in measured["timed"] for row in timing["designs"])


def test_rivals_cost_the_same_both_ways() -> None:
    chosen = otoyol.parse("resnetv2_50@input=3x64x64,depths=1-2-4-1,widths=48-96-192-384,head=10")
    macs = otoyol.cost.count(chosen).macs
    for rival, family in zip(job.rivals_of(chosen, "macs"), ("resnet18", "resnet50"), strict=True):
        assert rival.spec == otoyol.parse(f"{family}@input=3x64x64,head=10")
        assert abs(otoyol.cost.count(rival.scaled.spec).macs / macs - 1) <= 0.01
        theirs = otoyol.cost.count(rival.spec).macs
        assert abs(otoyol.cost.count(rival.ours.spec).macs / theirs - 1) <= 0.01


def test_a_rival_that_cannot_be_matched_is_told_of(result: job.Result, folders: dict[str, Path]) -> None:
    """The stem, which no width changes, takes most of so small a budget."""
    missed = [match for rival in result.rivals for match in (rival.scaled, rival.ours) if not match.within]
    page = (folders["en"] / "report.html").read_text(encoding="utf-8")
    assert missed
    assert all(match.reason in page for match in missed)


class Page(HTMLParser):
    """Images, links and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        assert tag != "script"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_the_page_is_whole_and_speaks_the_language(folders: dict[str, Path], result: job.Result, lang: str) -> None:
    folder = folders[lang]
    assert {path.name for path in folder.iterdir()} == FILES
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert sum(source.startswith("data:image/svg+xml;base64,") for source in page.sources) == 4
    words = {
        "en": ("The Pareto front", "Cost is not accuracy", "At equal budget", "Built and measured"),
        "tr": ("Pareto cephesi", "Maliyet doğruluk demek değildir", "Eşit bütçede", "Kuruldu ve ölçüldü"),
    }[lang]
    text = " ".join(page.text.split())
    for word in (*words, otoyol.to_text(result.spec), "macs<=4M", "ResNet-50"):
        assert word in text
    parameters = sum(p.numel() for p in otoyol.nn.build(result.spec).parameters())
    assert number(parameters, lang) in text
    assert words[1] in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_pictures_are_pictures_and_name_what_they_show(folders: dict[str, Path], lang: str) -> None:
    from PIL import Image

    shown = {
        "pareto": ("draw.quantity.params", "draw.front.front", "draw.front.more", "design.chosen"),
        "parallel": ("draw.quantity.activations", "draw.front.front", "design.chosen"),
        "edf": ("draw.quantity.macs", "draw.front.share", "draw.front.inside", "draw.front.limit", "design.chosen"),
        "stages": ("draw.metric.macs", "design.chosen"),
    }
    for stem, keys in shown.items():
        with Image.open(folders[lang] / f"{stem}.png") as image:
            image.load()
            assert image.width > 800
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50  # not blank
        text = (folders[lang] / f"{stem}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag.endswith("svg")
        drawn = "\n".join(
            part.split("-->")[0] for part in text.split("<!--")[1:]
        )  # matplotlib writes texts as comments
        for key in keys:
            assert say(key, lang, batch=1) in drawn.replace("\n", " "), (stem, key)
        assert "ResNet-18" in drawn


def test_the_commands_make_the_same_front(folders: dict[str, Path]) -> None:
    """The script runs `cmp` itself; the same is looked at here, byte by byte."""
    folder = folders["en"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(folder / "commands.sh"), "again"], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "again" / "front.json").read_bytes() == (folder / "front.json").read_bytes()
    designs = json.loads((folder / "front.json").read_text())["designs"]
    assert designs[0]["spec"] in done.stdout  # `otoyol search` prints the first of that front, by params
    seen = json.loads((folder / "again" / "measured.json").read_text())
    assert [timing["engine"] for timing in seen["timed"]] == ["eager", "ort"]


def test_the_commands_hold_latency_equal_by_its_table(result: job.Result) -> None:
    """The second of two tables is the one that the budget names."""
    from otoyol.design.files import commands_sh

    rivals = tuple(rival._replace(scaled=rival.scaled._replace(within=True)) for rival in result.rivals)
    given = result._replace(
        wish=result.wish._replace(equal="latency_ms@ort,b8,t1"), rivals=rivals,
        predicted={"ort,b1,t1": (), "ort,b8,t1": ()},
    )  # fmt: skip
    lines = commands_sh(given, "en", ["latency-1.json", "latency-2.json"], None).splitlines()
    compared = [line for line in lines if line.startswith("otoyol compare")]
    assert len(compared) == 2
    assert all(line.startswith("otoyol compare --equal latency --table latency-2.json spec.yaml ") for line in compared)


@pytest.mark.parametrize(("limit", "holds"), [(2.0, True), (1.0, False)])
def test_a_latency_budget_is_judged_by_what_was_measured(result: job.Result, limit: float, holds: bool) -> None:
    """Measured 1.5 ms where 1.2 were predicted: 25% more, within 2 ms and not within 1."""
    from otoyol.cli.design import holds as judged
    from otoyol.design.page import latency_words, timed_table
    from otoyol.measure import Latency

    budget = parse_budget(f"latency_ms<={limit}@ort")._replace(where="ort,b1,t1")
    wish = result.wish._replace(budgets=(*result.wish.budgets, budget))
    timed = job.Timed(job.Setting("ort", where="ort,b1,t1"), (1.5,) * 5, (0.0,) * 5)
    predicted = {"ort,b1,t1": (Latency(1.2, 1.1, 1.3, ()),) * 5}
    given = result._replace(wish=wish, timed=(timed,), predicted=predicted)
    assert judged(given) is holds
    assert latency_words(given, "en")[0].startswith(
        f"{budget.text} {'holds' if holds else 'does not hold'} as measured: 1.5"
    )
    assert timed_table(given, timed, "en").rows[0] == ("chosen design", "1.5", "0.0%", "1.2", "1.1 – 1.3", "+25.0%")
    assert timed_table(given, timed, "tr").rows[0][1:] == ("1,5", "%0,0", "1,2", "1,1 – 1,3", "+%25,0")


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_nothing(result: job.Result, tmp_path: Path, there: bool) -> None:
    """No file may grow beyond 30 kB: the first picture fails as it does where a disk is full."""
    out = tmp_path / "out"
    if there:
        out.mkdir()
        (out / "spec.yaml").write_text("mine")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        with pytest.raises(OtoyolError, match="cannot write"):
            job.write(result, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if there else [])
    assert [path.read_text() for path in out.glob("*")] == (["mine"] if there else [])


def test_an_interruption_leaves_nothing(result: job.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("otoyol.design.write"), "pareto_plot", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.write(result, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):  # in the midst of the search
        job.design(result.wish, progress=interrupted)


def test_trials_give_the_error_distribution(result: job.Result, tmp_path: Path) -> None:
    rows = [{"design": "resnet18", "state": "complete", "accuracy": a} for a in (0.5, 0.75, 0.9)]
    rows.append({"design": "resnet34", "state": "failed", "accuracy": None})
    trials = tmp_path / "trials.json"
    trials.write_text(json.dumps({"designs": rows}))
    from otoyol.design.files import read_errors

    assert read_errors(trials) == pytest.approx([50, 25, 10])
    trials.write_text("{}")
    with pytest.raises(SpecError, match="otoyol trials"):
        read_errors(trials)
