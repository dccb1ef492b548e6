"""What the server says of a design agrees with what the library says; offers are valid; copies run."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import specs

import otoyol
from otoyol.audit import highway
from otoyol.cli.main import run
from otoyol.cost import count, training
from otoyol.measure import Latency
from otoyol.ops import lower
from otoyol.web import Later
from otoyol.web import nearest as nearest_module
from otoyol.web.asks import DesignAsk, MatchAsk
from otoyol.web.code import code
from otoyol.web.formula import LETTERS, POWERS, op_cost
from otoyol.web.nearest import nearest
from otoyol.web.parts import PARTS, describe


def told(spec: str, *parts: str, **fields: object) -> dict:
    return describe(DesignAsk.model_validate({"spec": spec, "parts": parts, **fields}), {})


@settings(max_examples=40)
@given(specs(max_depth=5), st.sampled_from((1, 7)), st.sampled_from(("float32", "bfloat16")))
def test_figures_are_the_librarys(spec: otoyol.Spec, batch: int, dtype: str) -> None:
    text = otoyol.to_text(spec)
    answer = told(text, "figures", "taps", "road", "stages", batch=batch, dtype=dtype)
    cost, path, network = count(spec, batch=batch, dtype=dtype), highway(spec), lower(spec)
    figures = answer["figures"]
    for name in ("params", "macs", "activations", "train_bytes", "peak_inference_bytes", "weight_bytes"):
        assert figures[name] == getattr(cost, name), name
    assert (figures["pure"], figures["depth"]) == (path.pure, len(path.blocks))
    assert figures["receptive_field"] == network.taps[-1].receptive_field
    blocks = [first if i == 0 else rest for depth, first, rest in map(dict.values, answer["road"]["stages"])
              for i in range(depth)]  # fmt: skip
    assert blocks == [block.pure for block in path.blocks]
    assert [row["offset"] for row in answer["taps"]["rows"]] == [tap.offset for tap in network.taps]
    assert otoyol.parse(answer["spec"]) == spec
    assert sum(row["macs"] for row in answer["stages"]) == cost.macs


def test_every_part_is_plain_data_in_both_languages() -> None:
    for lang in ("en", "tr"):
        answer = told(
            "resnetv2_50@attention=se", *PARTS, lang=lang, op="stages.1.0.branch.conv2",
            questions=["bottleneck", "preact"], block=[0, 1],
        )  # fmt: skip
        assert set(PARTS) < set(json.loads(json.dumps(answer)))
        assert answer["block"]["svg"].startswith("<svg") and "<style" not in answer["block"]["svg"]
        assert set(answer["answers"]) == {"bottleneck", "preact"}
    assert answer["highway"]["title"] == "Otoyol denetimi"


def test_a_training_step_is_the_librarys() -> None:
    rows = told("cifar_resnet20", "memory", batch=32, optimizer="adamw")["memory"]
    spec = otoyol.parse("cifar_resnet20")
    assert [row["mode"] for row in rows][:2] == ["standard", "lean"]
    for row in rows:
        assert row["peak_bytes"] == training(spec, row["mode"], batch=32, optimizer="adamw").peak_bytes


def test_a_block_that_has_gone_shows_its_neighbour() -> None:
    shown = told("resnet50@depths=3-4,widths=64-128", "block", block=[3, 9])["block"]
    assert (shown["stage"], shown["block"]) == (1, 3)
    assert told("resnet50", "op", op="stages.9.0.branch.conv1")["op"] is None
    assert told("resnet50", "op", op="head.fc")["op"]["lines"][0]["value"] == 2048 * 1000 + 1000
    for spec in ("resnetv2_50", "resnet50d", "resnetv2_50@head.pool=none,head=0,taps=postact"):
        for one in lower(otoyol.parse(spec)).ops:
            if one.stage < 0:
                shown = told(spec, "op", op=one.name)["op"]
                assert (shown["shape_in"][0], shown["shape_out"]) == (one.c_in, (one.c_out, one.h_out, one.w_out))


@pytest.mark.parametrize(
    "design",
    ["resnet50", "resnext50_32x4d@attention=cbam", "resnetv2_50@attention=eca", "resnet50@block=inverted,norm=group",
     "cifar_resnet110_exclusive@depths=1-1-1", "resnet50d@norm=frozen,act=gelu,attention=se,drop_path=0.1"],
)  # fmt: skip
def test_formulas_with_their_numbers_give_their_values(design: str) -> None:
    superscripts = {power: f"**{n}" for n, power in POWERS.items() if power}
    for op in lower(otoyol.parse(design)).ops:
        for line in op_cost(op, "en").lines:
            text = line.numbers
            for sign, python in {**superscripts, "·": "*", "/": "//"}.items():
                text = text.replace(sign, python)
            assert eval(text) == line.value, (op.name, line)
            plain = re.sub(r"[\d·+/() ²³]|k|g|Cᵢₙ|Cₒᵤₜ|Hᵢₙ|Wᵢₙ|Hₒᵤₜ|Wₒᵤₜ", "", line.letters)
            assert plain == "", line.letters
            assert {letter for letter in LETTERS.values() if letter in line.letters} <= set(op_cost(op, "en").where)


def test_a_formula_by_hand() -> None:
    """The 3×3 of resnet50's second stage: 3²·128·128 weights, each at 28·28 positions."""
    op = next(op for op in lower(otoyol.parse("resnet50")).ops if op.name == "stages.1.0.branch.conv2")
    lines = {line.quantity: line for line in op_cost(op, "en").lines}
    assert lines["params"][1:] == ("k² · Cᵢₙ · Cₒᵤₜ", "3² · 128 · 128", 147_456)
    assert lines["macs"].value == 147_456 * 784


@pytest.mark.parametrize(
    ("asked", "field", "word"),
    [
        ("resnet50@groups=3", "groups", "4"),
        ("resnet50@norm=group,norm.groups=48", "norm.groups", "64"),
        ("resnet50@widths=64-128-256", "widths", "64-128-256-512"),
        ("resnet50@foo=3", "foo", ""),
        ("resnet50@attention=sse", "attention", "cbam"),
        ("resnet50@input=3x99999x224", "input", "3x224x224"),
        ("resnet50@shortcut=A,widths=256-128-64-32", "shortcut", "B"),
        ("resnet50@depths=3-4-6-5000", "depths", "3-4-6-3"),
    ],
)
def test_the_nearest_valid_design(asked: str, field: str, word: str) -> None:
    with pytest.raises(otoyol.SpecError):
        otoyol.parse(asked)
    first = nearest(asked)[0]
    assert (first.field, first.word) == (field, word)


EDITS = st.dictionaries(
    st.sampled_from(("groups", "expansion", "norm", "norm.groups", "widths", "shortcut", "dilations", "group_width")),
    st.sampled_from(("3", "5", "7/3", "group", "A", "24", "64-100-256-300", "1-2-1-2", "32")), min_size=1, max_size=3,
)  # fmt: skip


def test_numbers_that_no_float_holds_have_offers_too() -> None:
    assert all(otoyol.parse(offer.spec) for offer in nearest("resnet50@groups=" + "9" * 350))


@settings(max_examples=40, deadline=None)
@given(EDITS)
def test_offers_are_valid_and_one_field_away(edits: dict[str, str]) -> None:
    base = otoyol.parse("resnet18")
    asked = "resnet18@" + ",".join(f"{key}={word}" for key, word in edits.items())
    try:
        otoyol.edit(base, edits)
    except otoyol.SpecError:
        for offer in nearest(asked):
            others = {key: word for key, word in edits.items() if key != offer.field}
            kept = otoyol.edit(base, others | ({offer.field: offer.word} if offer.word else {}))
            assert otoyol.parse(offer.spec) == kept
            assert offer.word != offer.given
    else:
        assert nearest(asked) == ()


@pytest.mark.parametrize(
    ("asked", "spec"),
    [
        ("resnet51", "resnet50"), ("resnet51@attention=se", "resnet50@attention=se"), ("Resnet50", "resnet50"),
        ("cifar_resnet2O", "cifar_resnet20"),
    ],
)  # fmt: skip
def test_for_an_unknown_family_the_known_ones_nearest_by_name(asked: str, spec: str) -> None:
    offers = nearest(asked)
    assert spec in [offer.spec for offer in offers]
    for offer in offers:
        assert (offer.field, offer.given) == ("family", asked.partition("@")[0])
        assert otoyol.to_text(otoyol.parse(offer.spec)) == offer.spec


@pytest.mark.parametrize("asked", ["nothing-like-it", "x" * 5_000, "resnet51@groups=3", "resnet51@act"])
def test_no_family_is_offered_that_would_not_do(asked: str) -> None:
    assert nearest(asked) == ()


WRONG = "act=tanh,shortcut=E,stem=shallow,head.pool=most,attention=sse,expansion=1/3"


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ("groups=7,norm=group,norm.groups=48", 160), (f"groups=7,{WRONG}", 160), ("widths=64-128-256,groups=7", 160),
        ("groups=7", 800), ("widths=64-128-256", 800), ("strides=1-3-3-3,dilations=2-2-2-2", 800),
    ],
)  # fmt: skip
def test_the_nearest_is_looked_for_within_bounds(asked: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def counted(start: otoyol.Spec, edits: dict) -> object:
        tried.append(edits)
        return attempt(start, edits)

    attempt = nearest_module._try
    monkeypatch.setattr(nearest_module, "_try", counted)
    nearest(f"resnet50@{asked}")
    assert 0 < len(tried) <= most


def test_copies_run_and_print_the_pages_figures() -> None:
    design, batch, dtype, optimizer = "resnetv2_50@expansion=3/2,attention=se", 4, "bfloat16", "adamw"
    figures = told(design, "figures", batch=batch, dtype=dtype)["figures"]
    step = told(design, "memory", batch=batch, dtype=dtype, optimizer=optimizer)["memory"][0]
    copies = code(otoyol.parse(design), batch, dtype, optimizer)
    assert otoyol.parse(copies["text"]) == otoyol.parse(design)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(copies["python"], {})
    numbers = [int(line.split()[-1].replace(",", "")) for line in said.getvalue().splitlines()]
    assert numbers == [*(figures[k] for k in ("params", "macs", "activations", "train_bytes")), step["peak_bytes"]]
    for line, key in zip(copies["cli"].splitlines(), ("cost", "memory"), strict=True):
        words = shlex.split(line)
        assert words[:2] == ["otoyol", key]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert run([*words[1:], "--json"]) == 0
        facts = json.loads(said.getvalue())
        if key == "cost":
            assert (facts["params"], facts["macs"], facts["train_bytes"]) == (numbers[0], numbers[1], numbers[3])
        else:
            assert facts["modes"][0]["peak_bytes"] == step["peak_bytes"]


def test_a_yaml_copy_is_the_design(tmp_path) -> None:
    spec = otoyol.parse("resnet50d@attention=eca,stage2.attention=none")
    (tmp_path / "design.yaml").write_text(code(spec, 1, "float32", "sgd")["yaml"], encoding="utf-8")
    assert otoyol.load(tmp_path / "design.yaml") == spec


def test_equal_budget_rescales_the_change_and_keeps_what_was_asked() -> None:
    match = MatchAsk(baseline="resnet50", equal="macs")
    answer = describe(DesignAsk(spec="resnet50@expansion=6", parts=("figures",), match=match), {})
    assert answer["asked"]["spec"] == "resnet50@expansion=6"
    assert answer["leaves"]["expansion"] == "6"
    wanted = count(otoyol.parse("resnet50")).macs
    assert answer["match"]["wanted"] == wanted
    assert abs(answer["figures"]["macs"] / wanted - 1) < 0.01
    with pytest.raises(otoyol.SpecError, match="table"):
        describe(DesignAsk(spec="resnet18", match=MatchAsk(baseline="resnet50", equal="latency")), {})


@pytest.mark.parametrize("equal", ["train_bytes", "train_bytes_lean", "peak_inference_bytes"])
def test_equal_budget_is_that_of_the_pages_batch_and_number_type(equal: str) -> None:
    held = {"batch": 96, "dtype": "bfloat16"}
    match = MatchAsk(baseline="resnet50", equal=equal)
    ask = DesignAsk(spec="resnet50@block=bottleneck-v2", parts=("figures",), match=match, **held)
    answer = describe(ask, {})
    assert answer["match"]["wanted"] == getattr(count(otoyol.parse("resnet50"), **held), equal)
    assert answer["match"]["reached"] == answer["figures"][equal]


class Clock:
    """A scorer whose law is known: a microsecond for each block and channel."""

    def __init__(self) -> None:
        self.of: dict[otoyol.Spec, None] = {}
        self.predictor = self

    def predict(self, spec: otoyol.Spec) -> Latency:
        ms = sum(stage.depth * stage.width for stage in spec.stages) / 1e3
        return Latency(ms, ms / 2, ms * 2, ("beyond",))

    def __call__(self, structure: otoyol.Spec, depths: np.ndarray, widths: np.ndarray) -> np.ndarray:
        self.of[structure] = None
        return (depths * widths).sum(axis=1) / 1e3


def test_latency_as_the_tables_predict_it_and_held_equal() -> None:
    scorers = {"ort,b1,t1": Clock()}
    answer = describe(DesignAsk(spec="resnet18", parts=("latency",)), scorers)
    wanted = 2 * (64 + 128 + 256 + 512) / 1e3
    row = answer["latency"][0]
    assert row == {
        "where": "ort,b1,t1",
        "ms": wanted,
        "low_ms": wanted / 2,
        "high_ms": wanted * 2,
        "warnings": ["beyond"],
    }
    match = MatchAsk(baseline="resnet18", equal="latency", where="ort,b1,t1")
    answer = describe(DesignAsk(spec="resnet18@depths=2-2-4-2", parts=("latency",), match=match), scorers)
    assert answer["match"]["wanted"] == wanted
    assert abs(answer["latency"][0]["ms"] / wanted - 1) <= 0.01


def test_a_table_is_fitted_once_while_the_page_is_open() -> None:
    made: list[str] = []
    begin = threading.Event()

    def make(where: str) -> Clock:
        begin.wait(10)
        made.append(where)
        return Clock()

    later = Later({where: partial(make, where) for where in ("a", "b")})
    assert list(later) == ["a", "b"] and len(later) == 2
    worker = threading.Thread(target=later.prepare)
    worker.start()
    assert describe(DesignAsk(spec="resnet18", parts=("latency",)), later)["latency"] == [
        {"where": "a", "ms": None},
        {"where": "b", "ms": None},
    ]
    begin.set()
    assert later["b"].predict(otoyol.parse("resnet18")).ms == 1.92
    worker.join(10)
    assert sorted(made) == ["a", "b"]
    assert describe(DesignAsk(spec="resnet18", parts=("latency",)), later)["latency"][1]["ms"] == 1.92


def test_too_deep_for_the_page() -> None:
    with pytest.raises(otoyol.SpecError, match="at most 1024 on this page"):
        told("resnet50@depths=1000-1000-1-1", "figures")
    assert nearest("resnet50@depths=1000-1000-1-1")[0].field == "depths"
