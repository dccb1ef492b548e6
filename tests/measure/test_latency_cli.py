"""Latency inside search, match and compare: tables chosen by words, refused, extrapolated from; all from known laws."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest
from _fake import Fake

import otoyol
from otoyol.cli.main import run
from otoyol.errors import SpecError
from otoyol.measure import RULES, Predictor, build_table, fingerprint, here_like, select, where_of
from otoyol.search import draw, space_from, structures
from otoyol.spec import edit, parse

SPACE = {
    "base": "resnet18@input=3x32x32",
    "choices": {"block": ["basic", "basic-v2"]},
    "depths": {"low": 1, "high": 3},
    "widths": {"low": 8, "high": 64, "multiple": 8},
}


class Here(Fake):
    """A fake ONNX Runtime of a batch, as many times as slow: its table has the fingerprint of this machine's."""

    name = "ort"
    rules = RULES["ort"]

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.versions = {"onnxruntime": metadata.version("onnxruntime")}

    def truth(self, spec):
        return self.batch * super().truth(spec)

    def load(self, spec):
        network = super().load(spec)
        network.laws = [self.batch * seconds for seconds in network.laws]
        return network


def designs(count, seed=0):
    built, _ = structures(space_from(SPACE))
    for chunk in draw(space_from(SPACE), count, seed):
        for depths, widths in zip(chunk.depths.tolist(), chunk.widths.tolist(), strict=True):
            yield edit(built[chunk.structure].spec,
                       {"depths": "-".join(map(str, depths)), "widths": "-".join(map(str, widths))})  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two tables, of batches 1 and 8, and the space's file."""
    folder = tmp_path_factory.mktemp("tables")
    for batch in (1, 8):
        engine = Here(batch)
        build_table(engine, list(designs(24)), path=folder / f"b{batch}.json", seconds=1e9, clock=engine.clock)
    (folder / "space.json").write_text(json.dumps(SPACE))
    return folder


@pytest.fixture(autouse=True)
def english(monkeypatch):
    """And every table is fitted once, not by every command, and by straight lines, which are quickly fitted."""
    monkeypatch.setenv("OTOYOL_LANG", "en")
    monkeypatch.setattr("otoyol.measure.law.ENOUGH", 1 << 30)
    monkeypatch.setattr(otoyol.measure, "Predictor", _fit, raising=False)


_fits: dict[str, Predictor] = {}


def _fit(table, rules):
    text = table.dumps()
    if text not in _fits:
        _fits[text] = Predictor(table, rules)
    return _fits[text]


def told(capsys, *words, status=0):
    assert run([*map(str, words), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    assert run([*map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def truth_ms(text, batch):
    return 1e3 * Here(batch).truth(parse(text))


def test_two_latencies_in_one_search(tables, capsys):
    """Both budgets hold of the law that was measured, within the interval that is shown."""
    found = told(
        capsys, "search", "--space", tables / "space.json", "--count", "3000", "--table", tables / "b1.json",
        "--table", tables / "b8.json", "--budget", "latency_ms<=1.2@b1", "--budget", "latency_ms <= 9 @ b8,ort",
        "--minimize", "latency_ms@t1,b8", "--maximize", "params",
    )  # fmt: skip
    assert set(found["met"]) == {"latency_ms<=1.2@b1", "latency_ms <= 9 @ b8,ort", "all"}
    assert 0 < found["met"]["all"] <= min(met for words, met in found["met"].items() if words != "all")
    assert len(found["designs"]) > 3
    held = []
    for design in found["designs"]:
        assert set(design["latency"]) == {"ort,b1,t1", "ort,b8,t1"}
        assert design["latency_ms@ort,b1,t1"] <= 1.2
        assert design["latency_ms@ort,b8,t1"] <= 9
        for batch in (1, 8):
            latency = design["latency"][f"ort,b{batch},t1"]
            assert latency["ms"] == pytest.approx(design[f"latency_ms@ort,b{batch},t1"])
            assert latency["ms"] == pytest.approx(truth_ms(design["spec"], batch), rel=0.25)
            held.append(latency["low_ms"] <= truth_ms(design["spec"], batch) <= latency["high_ms"])
    assert sum(held) / len(held) > 0.6  # intervals are for 9 of 10 of what was measured; a front is selected
    order = [design["params"] for design in found["designs"]]
    assert order == sorted(order, reverse=True)


def test_the_page_shows_intervals_and_what_is_extrapolated(tables, tmp_path, capsys):
    (tmp_path / "wide.json").write_text(json.dumps({**SPACE, "widths": {"low": 512, "high": 640, "multiple": 64}}))
    words = ["search", "--space", tmp_path / "wide.json", "--count", "50", "--table", tables / "b1.json",
             "--minimize", "latency_ms", "--maximize", "params"]  # fmt: skip
    assert run([*map(str, words)]) == 0
    page = capsys.readouterr().out
    assert "latency (ms) ort,b1,t1" in page
    assert " *" in page and "outside of what was measured" in page
    assert all(design["latency"]["ort,b1,t1"]["warnings"] for design in told(capsys, *words)["designs"])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("b4", ("latency_ms@b4", "no table that fits", "ort,b1,t1", "ort,b8,t1")),
        ("eager", ("latency_ms@eager", "no table that fits", "ort,b1,t1")),
        ("ort", ("latency_ms@ort", "2 tables that fit", "single out", "ort,b8,t1")),
        ("tpu", ("latency_ms@tpu", "got tpu", "bN", "tN", "float32")),
        ("b1,b8", ("batch 1 and 8", "one batch")),
    ],
)
def test_words_that_choose_no_table(tables, capsys, words, parts):
    said = refused(capsys, "search", "--space", tables / "space.json", "--minimize", "params", "--budget",
                   f"latency_ms<=1@{words}", "--table", tables / "b1.json", "--table", tables / "b8.json")  # fmt: skip
    assert all(part in said for part in parts), said


def test_words_in_any_order_choose_by_fingerprint():
    made = {
        "a": {"engine": "ort", "batch": 1, "threads": 2, "dtype": "float32"},
        "b": {"engine": "ort", "batch": 8, "threads": 2, "dtype": "float32"},
        "c": {"engine": "eager", "batch": 1, "threads": 2, "dtype": "bfloat16"},
    }
    assert [select(made, words) for words in ("b1,ort", "b8", "t2,b8,ort", "bfloat16", "eager,t2")] == list("abbcc")
    assert [where_of(row) for row in made.values()] == ["ort,b1,t2", "ort,b8,t2", "eager,b1,t2,bfloat16"]
    assert all(select(made, where_of(row)) == name for name, row in made.items())
    with pytest.raises(SpecError, match="no table"):
        select({}, "b1")


@pytest.mark.parametrize(
    ("key", "value"), [("processor", "another"), ("cores", 99), ("versions", {"onnxruntime": "0"})]
)
def test_a_table_from_another_machine_is_refused(tables, tmp_path, capsys, key, value):
    fields = json.loads((tables / "b1.json").read_text())
    fields["fingerprint"][key] = value
    (tmp_path / "elsewhere.json").write_text(json.dumps(fields))
    for words in (
        ["search", "--space", tables / "space.json", "--minimize", "latency_ms"],
        ["match", "resnet18", "block=basic-v2", "--equal", "latency"],
        ["compare", "resnet18", "resnet34"],
    ):
        said = refused(capsys, *words, "--table", tmp_path / "elsewhere.json")
        assert f"table.{key}" in said and "measure again" in said


def test_a_damaged_a_missing_and_an_unfinished_table(tables, tmp_path, capsys):
    whole = (tables / "b1.json").read_text()
    (tmp_path / "half.json").write_text(whole[: len(whole) // 2])
    words = ["compare", "resnet18@input=3x32x32", "resnet18@input=3x32x32,block=basic-v2", "--table"]
    assert "damaged" in refused(capsys, *words, tmp_path / "half.json")
    assert "readable" in refused(capsys, *words, tmp_path / "none.json")
    assert "no table" in refused(capsys, *words[:-1], "--equal", "latency")
    fields = json.loads(whole)
    (tmp_path / "begun.json").write_text(json.dumps({**fields, "finished": False}))
    assert run([*words, str(tmp_path / "begun.json")]) == 0
    assert "not finished" in capsys.readouterr().out
    (tmp_path / "short.json").write_text(json.dumps({**fields, "finished": False, "networks": fields["networks"][:3]}))
    assert "measure longer" in refused(capsys, *words, tmp_path / "short.json")


def test_a_match_at_equal_latency_is_equal_by_the_law(tables, capsys):
    """No other code decides: both designs' seconds come from the law that the fake engine keeps."""
    baseline = "resnet18@input=3x32x32,widths=16-24-32-40"
    found = told(capsys, "match", baseline, "block=basic-v2", "--equal", "latency", "--table", tables / "b1.json")
    assert found["within"] and found["equal"] == "latency_ms"
    assert abs(found["difference"]) <= 0.01
    assert truth_ms(found["spec"], 1) == pytest.approx(truth_ms(baseline, 1), rel=0.1)
    first, second = found["designs"]
    assert first["widths"] == [16, 24, 32, 40]
    assert second["latency"]["ort,b1,t1"]["ms"] == pytest.approx(first["latency"]["ort,b1,t1"]["ms"], rel=0.02)
    assert run(["match", baseline, "block=basic-v2", "--equal", "latency", "--table", str(tables / "b1.json")]) == 0
    rows = {line.split("  ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {"depths", "widths", "receptive field", "held for backward", "latency (ms) ort,b1,t1",
            "open blocks", "longest open run"} <= rows  # fmt: skip


def test_where_no_design_has_the_latency_it_says_why_and_how_near(tables, capsys):
    words = ["match", "resnet18@input=3x32x32,widths=8-8-8-8,depths=1-1-1-1", "depths=3-3-3-3,widths=64-64-64-64",
             "--equal", "latency", "--multiple", "64", "--table", tables / "b1.json"]  # fmt: skip
    found = told(capsys, *words, status=1)
    assert "even the smallest widths" in found["reason"] and "latency_ms" in found["reason"]
    assert run([*map(str, words)]) == 1
    assert "Why: even the smallest widths" in capsys.readouterr().out


def test_compare_at_equal_latency(tables, capsys):
    first, second = told(
        capsys, "compare", "resnet18@input=3x32x32,widths=16-24-32-40", "resnet18@input=3x32x32,block=basic-v2",
        "--equal", "latency", "--table", tables / "b8.json",
    )  # fmt: skip
    assert second["latency"]["ort,b8,t1"]["ms"] == pytest.approx(first["latency"]["ort,b8,t1"]["ms"], rel=0.011)
    assert second["widths"] != [64, 128, 256, 512]


def test_a_saved_search_goes_on_with_the_same_table_only(tables, tmp_path, capsys):
    words = ["search", "--space", tables / "space.json", "--count", "500", "--minimize", "latency_ms",
             "--maximize", "params", "--state", tmp_path / "state.json", "--table"]  # fmt: skip
    first = told(capsys, *words, tables / "b1.json")
    assert told(capsys, *words, tables / "b1.json") == first
    fields = json.loads((tables / "b1.json").read_text())
    fields["networks"] = fields["networks"][:-3]
    (tmp_path / "other.json").write_text(json.dumps(fields))
    assert "latency tables" in refused(capsys, *words, tmp_path / "other.json")


def test_the_fingerprint_of_here_needs_no_engine():
    code = (
        "import json, sys; from otoyol.measure import here_like;"
        "made = {'engine': sys.argv[1], 'threads': 1, 'batch': 1, 'dtype': 'float32'};"
        "print(json.dumps(here_like(made))); print([m for m in ('torch', 'onnxruntime') if m in sys.modules])"
    )
    for name in ("ort", "eager"):
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
        here, loaded = done.stdout.splitlines()
        assert loaded == "[]"
        assert json.loads(here) == fingerprint(otoyol.measure.find_engine(name))
    with pytest.raises(SpecError, match=r"table\.engine"):
        here_like({"engine": "abacus"})


def test_the_engine_of_another_distribution(monkeypatch):
    """onnxruntime-gpu is imported as onnxruntime, whose metadata there are none of."""
    from importlib import metadata

    import onnxruntime

    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    made = {"engine": "ort", "threads": 1, "batch": 1, "dtype": "float32"}
    assert here_like(made)["versions"] == {"onnxruntime": onnxruntime.__version__}
