"""otoyol measure, with an engine that does not run anything."""

from __future__ import annotations

import json

import pytest
from _fake import Fake

import otoyol.measure
from otoyol.cli.main import main, run

SPACE = """
base: resnet18@input=3x32x32
choices: {block: [basic, basic-v2]}
depths: {low: 1, high: 3}
widths: {low: 8, high: 64, multiple: 8}
"""


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    monkeypatch.setattr(otoyol.measure, "find_engine", lambda name, **_: Fake())
    monkeypatch.setattr("otoyol.cli.measure.POOL", 24)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    (tmp_path / "space.yaml").write_text(SPACE)
    return ["--space", str(tmp_path / "space.yaml"), "--table", str(tmp_path / "latency.json")]


def test_a_table_is_made_and_designs_are_predicted(prepared, tmp_path, capsys):
    design = "resnet18@input=3x32x32,widths=16-24-32-40"
    assert run(["measure", design, *prepared, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["networks"] == 24 and told["fingerprint"]["engine"] == "fake"
    (prediction,) = told["predictions"]
    assert prediction["spec"] == design
    assert prediction["ms"] == pytest.approx(1e3 * Fake().truth(otoyol.parse(design)), rel=0.1)
    assert prediction["low_ms"] <= prediction["ms"] <= prediction["high_ms"]
    table = json.loads((tmp_path / "latency.json").read_text())
    assert len(table["networks"]) == len(table["unseen_net_us"]) == 24


def test_what_took_long_to_find_is_not_sought_again(prepared, capsys, monkeypatch):
    design = "resnet18@input=3x32x32,widths=16-24-32-40"
    assert run(["measure", design, *prepared, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    monkeypatch.setattr("otoyol.measure.predict.out_of_fold", lambda *_: pytest.fail("fitted again"))
    assert run(["measure", design, *prepared, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["error_90"] == pytest.approx(first["error_90"], rel=1e-3)
    for key in ("ms", "low_ms", "high_ms"):
        assert again["predictions"][0][key] == pytest.approx(first["predictions"][0][key], rel=1e-3)


@pytest.mark.parametrize(("lang", "words"), [("en", ("fused operators", "outside of what was measured")),
                                             ("tr", ("kaynaşmış işlem", "dışında kalıyor"))])  # fmt: skip
def test_the_page_tells_noise_error_and_extrapolation(prepared, capsys, lang, words):
    assert run(["measure", "resnet18@input=3x224x224", *prepared, "--lang", lang]) == 0
    page = " ".join(capsys.readouterr().out.split())  # lines break where the paths of the test leave room
    assert all(word in page for word in words)
    english = (" were ", " was measured")
    assert lang == "en" or not any(word in page for word in english)


def test_a_table_from_elsewhere_is_refused(prepared, tmp_path, capsys):
    assert run(["measure", *prepared]) == 0
    fields = json.loads((tmp_path / "latency.json").read_text())
    fields["fingerprint"]["processor"] = "another"
    (tmp_path / "latency.json").write_text(json.dumps(fields))
    capsys.readouterr()
    assert run(["measure", *prepared]) == 2
    assert "table.processor" in capsys.readouterr().err


def test_a_folder_that_is_not_there(prepared, tmp_path, capsys):
    assert run(["measure", *prepared[:2], "--table", str(tmp_path / "none" / "t.json")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["nan", "-3", "0", "inf", "-inf"])
def test_minutes_that_mean_nothing_are_refused(prepared, tmp_path, capsys, minutes):
    assert run(["measure", *prepared, "--minutes", minutes]) == 2
    told = capsys.readouterr().err
    assert told.startswith("otoyol: minutes: got ") and told.count("\n") == 1
    assert not (tmp_path / "latency.json").exists()


def held(path):
    return len(json.loads(path.read_text())["networks"])


def test_another_space_and_more_minutes_are_not_ignored(prepared, tmp_path, capsys, monkeypatch):
    """24 designs of one space, then wider ones until the laws agree. Without a space the table stays."""
    table, other = tmp_path / "latency.json", tmp_path / "other.yaml"
    other.write_text(SPACE.replace("low: 8, high: 64", "low: 72, high: 128"))
    design = "resnet18@input=3x32x32,widths=16-24-32-40"
    assert run(["measure", *prepared]) == 0
    assert held(table) == 24
    assert run(["measure", "--space", str(other), "--table", str(table), "--minutes", "5", design]) == 0
    assert 24 < held(table) <= 48
    before = table.read_bytes()
    assert run(["measure", *prepared]) == 0
    assert run(["measure", "--table", str(table), design]) == 0
    assert table.read_bytes() == before
    capsys.readouterr()
    assert run(["measure", "--table", str(table), "--minutes", "5"]) == 2  # more of which designs?
    assert "space: got nothing; allowed: the --space that" in capsys.readouterr().err
    assert table.read_bytes() == before


def test_more_minutes_go_on_where_fewer_ended(prepared, tmp_path, monkeypatch):
    """The clock is the fake engine's: a table of 12 networks, the fewest, is done in no time."""
    table = tmp_path / "latency.json"
    real = otoyol.measure.build_table
    monkeypatch.setattr(
        otoyol.measure, "build_table", lambda engine, *rest, **more: real(engine, *rest, **more, clock=engine.clock)
    )
    assert run(["measure", *prepared, "--minutes", "1e-6"]) == 0
    assert held(table) == 12
    assert run(["measure", *prepared]) == 0  # as long as it was asked for before
    assert held(table) == 12
    assert run(["measure", *prepared, "--minutes", "2"]) == 0
    assert held(table) == 24


@pytest.mark.parametrize(("lang", "words"), [("en", ("keeps what was measured", "the same command")),
                                             ("tr", ("saklıyor", "aynı komut"))])  # fmt: skip
def test_an_interruption_is_told_of(prepared, tmp_path, capsys, monkeypatch, lang, words):
    rounds = []

    def interrupt(_, tongue):
        rounds.append(tongue)
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("otoyol.cli.measure._show", interrupt)
    monkeypatch.setattr("sys.argv", ["otoyol", "measure", *prepared, "--lang", lang])
    with pytest.raises(SystemExit, match="130"):
        main()
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert all(word in err for word in (*words, "latency.json"))
    assert held(tmp_path / "latency.json") == 12
    assert run(["measure", *prepared]) == 0  # the same command
    assert held(tmp_path / "latency.json") == 24


def test_a_space_too_small_to_tell_errors_is_refused_before_it_is_measured(prepared, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("otoyol.measure.build_table", lambda *_, **__: pytest.fail("measured in vain"))
    (tmp_path / "few.yaml").write_text("base: cifar_resnet20\nchoices: {block: [basic, basic-v2]}\n")
    assert run(["measure", "--space", str(tmp_path / "few.yaml"), "--table", str(tmp_path / "few.json")]) == 2
    assert "space: got 2 designs; allowed: at least 8" in capsys.readouterr().err
