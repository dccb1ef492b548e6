"""Specs as files: round trips, and what a hostile or broken file may do (say one sentence)."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.spec import FAMILIES, Spec, dumps, family, from_mapping, to_mapping
from otoyol.spec.data import loads
from otoyol.spec.files import MAX_BYTES, write_text

SUFFIXES = (".yaml", ".yml", ".toml", ".json")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["resnet50", "resnetv2_50d", "cifar_resnet110_exclusive", "wrn_28_10", "custom"])
def test_a_family_survives_a_file(name: str, suffix: str, tmp_path: Path) -> None:
    otoyol.save(family(name), tmp_path / f"net{suffix}")
    assert otoyol.load(tmp_path / f"net{suffix}") == family(name)
    assert [path.name for path in tmp_path.iterdir()] == [f"net{suffix}"]


@settings(max_examples=100)
@given(specs())
def test_every_format_round_trips_and_fits_the_schema(spec: Spec) -> None:
    for suffix in (".yaml", ".toml", ".json"):
        assert from_mapping(loads(dumps(spec, suffix), suffix)) == spec
    SCHEMA.validate(json.loads(dumps(spec, ".json")))


SCHEMA = jsonschema.Draft202012Validator(Spec.model_json_schema())


def test_the_schema_is_a_schema_and_accepts_every_family() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA.schema)
    for name in FAMILIES:
        SCHEMA.validate(to_mapping(family(name)))


def test_the_schema_knows_the_short_forms_and_refuses_what_the_models_refuse() -> None:
    short = {"stages": [{"depth": 1, "width": 16, "attention": "se"}], "input": "3x32x32", "stem": "cifar", "head": 10,
             "shortcut": "A", "norm": "frozen", "expansion": "3/2", "block": "basic"}  # fmt: skip
    SCHEMA.validate(short)
    assert from_mapping(short).plan[0].form.attention == "se"
    for wrong in ({"stages": []}, {**short, "act": "tanh"}, {**short, "depth": 3}, {**short, "head": -1}):
        assert not SCHEMA.is_valid(wrong)
        with pytest.raises(otoyol.SpecError):
            from_mapping(wrong)


def test_a_hand_written_file() -> None:
    text = """
    family: mynet     # any lower-case name
    input: 3x64x64
    stem: {kernels: [3, 3], widths: [16, 32], strides: [2, 1], pool: none}
    norm: {eps: 1e-3}
    shortcut: {norm: no}
    stages:
      - {depth: 2, width: 32}
      - {depth: 1, width: 64, stride: 2, attention: cbam}
    """
    spec = from_mapping(loads(text, ".yaml"))
    assert spec.norm.eps == 0.001  # YAML 1.1 would have read a string
    assert spec.shortcut.norm == "no"  # and False
    assert [plan.form.attention for plan in spec.plan] == ["none", "cbam"]


BOMBS = {
    "billion laughs": ("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b]", ".yaml", "alias"),
    "an anchor in itself": ("&a [*a]", ".yaml", "alias"),
    "merge keys": ("<<: {act: relu}\nstages: [{depth: 1, width: 8}]", ".yaml", "<<"),
    "a tag that runs code": ("!!python/object/apply:os.system [touch marker]", ".yaml", "tag"),
    "a binary tag": ("act: !!binary aGk=", ".yaml", "tag"),
    "deep YAML": ("[" * 20_000, ".yaml", "nested too deeply"),
    "deep YAML blocks": ("\n".join(" " * i + "a:" for i in range(300)), ".yaml", "nested too deeply"),
    "deep JSON": ("[" * 60_000, ".json", "nested too deeply"),
    "deep closed JSON": ("[" * 900 + "]" * 900, ".json", "nested too deeply"),
    "deep JSON field": ('{"act":' + "[" * 300 + "]" * 300 + "}", ".json", "nested too deeply"),
    "deep TOML": ("a = " + "[" * 60_000, ".toml", "nested too deeply"),
    "deep TOML tables": ("a" + ".a" * 30_000 + " = 1", ".toml", "nested too deeply"),
    "deep TOML header": ("[" + "a." * 100 + "a]", ".toml", "nested too deeply"),
    "an endless number": ('{"stages": [{"depth": ' + "9" * 60_000 + "}]}", ".json", "4300 digits"),
    "an endless number in YAML": ("stages: " + "9" * 60_000, ".yaml", "4300 digits"),
    "an endless number in TOML": ("stages = " + "9" * 60_000, ".toml", "4300 digits"),
    "a key twice in YAML": ("act: relu\nact: gelu", ".yaml", "the key act twice"),
    "a key twice in JSON": ('{"norm": {"eps": 1, "eps": 2}}', ".json", "the key eps twice"),
    "a key twice in TOML": ("act = 'relu'\nact = 'gelu'", ".toml", "valid TOML"),
    "a key that is no name": ("1: 2", ".yaml", "the key 1"),
    "a key that is a list": ("? [a]\n: b", ".yaml", "valid YAML"),
    "nothing": ("", ".yaml", "nothing"),
    "nothing as JSON": ("", ".json", "valid JSON"),
    "nothing as TOML": ("", ".toml", "stages"),
    "a list": ("[1]", ".json", "a mapping"),
    "two documents": ("act: relu\n---\nact: gelu", ".yaml", "another document"),
    "a NUL": ("act: \0", ".yaml", "valid YAML"),
    "a tab": ("stages:\n\t- a", ".yaml", "line 2"),
    "base sixty": ("stages: [{depth: 1:30, width: 8}]", ".yaml", "1:30"),
    "octal": ("stages: [{depth: 010, width: 8}]", ".yaml", "010"),
    "underscores": ("stages: [{depth: 1_0, width: 8}]", ".yaml", "1_0"),
    "a date": ("act: 2001-01-01\nstages: [{depth: 1, width: 8}]", ".yaml", "2001-01-01"),
    "a TOML date": ("drop_path = 1979-05-27\nstages = [{depth = 1, width = 8}]", ".toml", "datetime.date"),
    "NaN": ('{"drop_path": NaN, "stages": [{"depth": 1, "width": 8}]}', ".json", "finite"),
    "infinity": ("drop_path: .inf\nstages: [{depth: 1, width: 8}]", ".yaml", "finite"),
    "a lone surrogate": ('{"act": "\\ud800", "stages": [{"depth": 1, "width": 8}]}', ".json", "Unicode"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_traps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, suffix, phrase = BOMBS[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"net{suffix}"
    path.write_text(text)
    with pytest.raises(otoyol.SpecError) as caught:
        otoyol.load(path)
    message = str(caught.value)
    assert phrase in message
    assert message.isprintable()
    assert len(message) < 600
    assert [path.name for path in tmp_path.iterdir()] == [f"net{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_gigabyte_is_refused_unread(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(otoyol.SpecError, match=f"at most {MAX_BYTES} bytes"):
        otoyol.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_largest_file_that_is_read_costs_little(suffix: str, tmp_path: Path) -> None:
    line = {"json": '"k{}": [],', "toml": "k{} = []\n"}.get(suffix[1:], "k{}: []\n")
    text = "".join(line.format(i) for i in range(MAX_BYTES // 10))[: MAX_BYTES - 8]
    text = "{" + text.rpartition(",")[0] + "}" if suffix == ".json" else text.rpartition("\n")[0]
    path = tmp_path / f"net{suffix}"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(otoyol.SpecError, match="stages"):
        otoyol.load(path)
    assert time.process_time() - began < 60  # not a measurement: a bound against quadratic reading


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("missing.yaml", "No such file"),
        ("folder.yaml", "no model.safetensors"),
        ("net.txt", "ends in .yaml"),
        ("net", "ends in .yaml"),
        ("latin.yaml", "UTF-8"),
        ("picture.json", "UTF-8"),
    ],
)
def test_what_is_not_a_spec_file(name: str, phrase: str, tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "latin.yaml").write_bytes("act: ılık".encode("latin5"))
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    with pytest.raises(otoyol.SpecError, match=phrase):
        otoyol.load(tmp_path / name)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("\ufeff" + dumps(family("resnet18"), ".json"))
    assert otoyol.load(tmp_path / "net.json") == family("resnet18")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.yaml").write_text("before")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(otoyol.OtoyolError, match="No space left"):
        write_text(tmp_path / "net.yaml", "after")
    assert (tmp_path / "net.yaml").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["net.yaml"]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(otoyol.OtoyolError, match=r"cannot write .*No such file"):
        otoyol.save(family("resnet18"), tmp_path / "no" / "net.yaml")
