"""The answers' facts: hand arithmetic, published counts, and properties."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.explain import QUESTIONS, Answer, why, why_all


def answer(question: str, spec: str, lang: str = "en") -> Answer:
    return why(question, otoyol.parse(spec), lang)


# ---- bottleneck ------------------------------------------------------------------------------------------------------


def test_bottleneck_of_resnet50_is_the_issues_arithmetic() -> None:
    stages = answer("bottleneck", "resnet50").facts["stages"]
    # 256·64 + 9·64·64 + 64·256 and 2·9·256·256; each later stage doubles all channels, so four times the weights.
    assert [stage["weights"] for stage in stages] == [69_632, 278_528, 1_114_112, 4_456_448]
    assert [stage["other_weights"] for stage in stages] == [1_179_648, 4_718_592, 18_874_368, 75_497_472]
    assert all(round(stage["ratio"], 1) == 16.9 for stage in stages)
    assert stages[0]["spatial_weights"] == 36_864  # 9 · 64²
    assert stages[0]["macs"] == 69_632 * 56 * 56


def test_a_basic_net_is_told_what_a_bottleneck_would_cost() -> None:
    facts = answer("bottleneck", "resnet34").facts
    assert facts["shape"] == "flat"
    # Stage 1, 64 channels: 2·9·64² = 73,728; 64→16→16→64: 2·64·16 + 9·16² = 4,352.
    assert (facts["stages"][0]["weights"], facts["stages"][0]["other_weights"]) == (73_728, 4_352)
    assert facts["stages"][0]["other_channels"] == [64, 16, 16, 64]
    assert facts["other"]["params"] < facts["totals"]["params"]


def test_a_stage_s_only_block_reads_the_stage_before() -> None:
    """Two 3×3 convolutions are no bottleneck because a narrower stage feeds them."""
    facts = answer("bottleneck", "resnet18@depths=1-1-1-1").facts
    assert [stage["shape"] for stage in facts["stages"]] == ["flat"] * 4
    assert answer("bottleneck", "resnet50@depths=1-1-1-1,widths=128-128-128-128").facts["shape"] == "narrow"
    told = answer("bottleneck", "resnet50@depths=1-1-1-1,stem.widths=16").text()
    assert "16 through the spatial" not in told and "64" in told


def test_the_alternative_to_resnet50_is_a_design_of_pairs() -> None:
    facts = answer("bottleneck", "resnet50").facts
    alternative = otoyol.parse(facts["other_spec"])
    assert [plan.out for plan in alternative.plan] == [256, 512, 1024, 2048]
    # Stage by stage: first block c_in·out·9 + out²·9 + projection c_in·out, the rest 18·out²; three or two norms of
    # 2·out; stem 7²·3·64 + 128, fc 2048·1000 + 1000.
    params, c_in = 7 * 7 * 3 * 64 + 128 + 2048 * 1000 + 1000, 64
    for depth, out in ((3, 256), (4, 512), (6, 1024), (3, 2048)):
        params += 9 * c_in * out + 9 * out**2 + c_in * out + 3 * 2 * out
        params += (depth - 1) * (18 * out**2 + 2 * 2 * out)
        c_in = out
    assert facts["other"]["params"] == params


def test_an_inverted_bottleneck_is_called_one() -> None:
    facts = answer("bottleneck", "resnet50@block=inverted,expansion=6,shortcut=none,widths=16-24-40-80").facts
    assert facts["shape"] == "wide"
    # 16→96 by 1×1, 96 depthwise 3×3, 96→16: 1536 + 864 + 1536.
    assert facts["stages"][0]["weights"] == 3_936
    assert facts["stages"][0]["depthwise"]
    for size in (3, 5):
        block = f"block=/conv1.norm.act.dw{size}.norm.act.conv1.norm//input/x6,shortcut=none,widths=16-24-40-80"
        assert f"{size * size} weights a channel" in answer("bottleneck", f"resnet50@{block}").text()


# ---- expansion -------------------------------------------------------------------------------------------------------


def test_expansion_alternatives_of_resnet50() -> None:
    facts = answer("expansion", "resnet50").facts
    assert facts["own"] == ["4"] * 4
    at = {row["expansion"]: row for row in facts["alternatives"]}
    assert list(at) == ["1", "2", "4", "6"]
    assert at["4"]["params"] == 25_557_032  # torchvision's resnet50
    assert at["4"]["own"]
    # 2·(e·64·64) + 9·64²
    assert [at[e]["block_weights"] for e in at] == [45_056, 53_248, 69_632, 86_016]
    assert [at[e]["output_width"] for e in at] == [512, 1024, 2048, 3072]
    same = {row["expansion"]: row for row in facts["same_output"]}
    # The same output of 256: 2·256·m + 9·m² for m = 256, 128, 64; 256/6 is not whole.
    assert {e: row["block_weights"] for e, row in same.items()} == {"1": 720_896, "2": 212_992, "4": 69_632}
    # Expansion 2 at ResNet-50's outputs is Wide ResNet-50-2, 68,883,240 parameters in torchvision.
    assert same["2"]["params"] == 68_883_240


def test_expansion_of_an_inverted_bottleneck_leaves_its_output_alone() -> None:
    facts = answer("expansion", "resnet50@block=inverted,expansion=6,shortcut=none,widths=16-24-40-80").facts
    assert facts["inner"] == "input"
    assert {row["output_width"] for row in facts["alternatives"]} == {80}
    # e·16 inside: 2·16·(16e) + 9·16e = 656·e.
    assert [row["block_weights"] for row in facts["alternatives"]] == [656, 1_312, 2_624, 3_936]
    assert facts["same_output"] == []


# ---- preact ----------------------------------------------------------------------------------------------------------


def test_preact_compares_the_two_orderings() -> None:
    v1, v2 = answer("preact", "resnet50").facts, answer("preact", "resnetv2_50").facts
    assert (v1["ordering"], v2["ordering"]) == ("v1", "preact")
    assert (v1["layers"], v2["layers"]) == (50, 50)
    assert (v1["here"]["pure"], v1["other"]["pure"]) == (0, 12)
    assert (v2["here"]["run"], v2["other"]["run"]) == (5, 0)
    assert v2["here"]["run_first"] == [3, 2] and v2["here"]["run_last"] == [3, 6]
    assert v2["here"]["final"] == ["norm", "act"] and v1["here"]["final"] == []
    assert (v1["here"]["foldable"], v2["here"]["foldable"]) == (53, 32)
    assert v1["here"]["macs"] == v1["other"]["macs"] == 4_089_184_256
    assert v2["other"]["params"] == 25_557_032  # v2's other ordering is torchvision's resnet50
    # Recomputing saves more where every convolution is preceded by its norm and activation.
    assert v2["here"]["train_bytes_lean"] / v2["here"]["train_bytes"] < 0.6


@pytest.mark.parametrize(
    ("spec", "layers", "says", "silent"),
    [
        ("cifar_resnet20", 20, "no gain in accuracy", "164 layers"),
        ("cifar_resnet110", 110, "nothing consistent", "no gain in accuracy"),
        ("cifar_resnetv2_1001", 1001, "is what the published evidence supports", "no gain in accuracy"),
    ],
)
def test_preact_weighs_the_evidence_by_depth(spec: str, layers: int, says: str, silent: str) -> None:
    told = answer("preact", spec)
    assert told.facts["layers"] == layers
    assert says in told.text()
    assert silent not in told.text()
    assert "7.61 (v1) against 4.92 (v2)" in told.text()  # He et al. 2016, Table 3


# ---- projection ------------------------------------------------------------------------------------------------------


def test_projections_of_resnet50() -> None:
    facts = answer("projection", "resnet50").facts
    assert [(b["stage"], b["block"], b["why"]) for b in facts["blocks"]] == [
        (1, 1, "channels"), (2, 1, "both"), (3, 1, "both"), (4, 1, "both"),
    ]  # fmt: skip
    # 64·256, 256·512, 512·1024, 1024·2048 weights, and a norm of 2·out each.
    assert [b["weights"] for b in facts["blocks"]] == [16_384, 131_072, 524_288, 2_097_152]
    assert facts["shortcut_params"] == 2_768_896 + 2 * (256 + 512 + 1024 + 2048)
    # At 56², 28², 14², 7²: 16,384·3136 and thrice 131,072·784.
    assert facts["shortcut_macs"] == 51_380_224 + 3 * 102_760_448
    assert facts["needed"] == facts["projected"] == 4


def test_shortcut_options_of_a_cifar_net() -> None:
    options = answer("projection", "cifar_resnet20").facts["options"]
    assert options["A"]["params"] == 269_722  # option A, exact, He et al. 2015's ResNet-20
    # B adds 16·32 + 32·64 weights and norms of 2·32 and 2·64.
    assert options["B"]["params"] - options["A"]["params"] == 512 + 2048 + 64 + 128
    # C projects in all nine: 3·16² + 2·32² + 2·64² more, norms 3·32 + 2·64 + 2·128.
    assert options["C"]["params"] - options["B"]["params"] == 768 + 2048 + 8192 + 96 + 128 + 256
    assert options["D"]["params"] == options["B"]["params"]
    assert options["D"]["macs"] == options["B"]["macs"]


def test_option_a_is_impossible_where_channels_fall() -> None:
    told = answer("projection", "resnet50@block=inverted,shortcut=D,widths=32-24-40-80")
    assert told.facts["options"]["A"] is None
    assert "Option A is impossible" in told.text()


def test_a_stride_at_equal_width_needs_a_projection_too() -> None:
    facts = answer("projection", "custom@depths=1-1,widths=64-64,strides=1-2,block=basic").facts
    assert [(b["stage"], b["why"]) for b in facts["blocks"]] == [(2, "stride")]


# ---- attention -------------------------------------------------------------------------------------------------------


def test_attention_on_resnet50() -> None:
    facts = answer("attention", "resnet50").facts
    # SE, r = 16, on 256, 512, 1024, 2048 channels in 3, 4, 6, 3 blocks: 2·C·C/16 weights and C/16 + C biases.
    expected = sum(n * (2 * c * c // 16 + c // 16 + c) for n, c in ((3, 256), (4, 512), (6, 1024), (3, 2048)))
    assert facts["kinds"]["se"]["params"] == expected == 2_530_992
    # ECA's kernels: 5 at 256 and 512 channels and at 1024, 7 at 2048 (Wang et al. 2020, Eq. 12).
    assert facts["kinds"]["eca"]["params"] == 3 * 5 + 4 * 5 + 6 * 5 + 3 * 7
    # seresnet50 itself: timm's 28,088,024 parameters.
    assert otoyol.explain.why("attention", otoyol.parse("seresnet50")).facts["here"]["params"] == 28_088_024


def test_attention_leaves_the_skip_clean() -> None:
    facts = answer("attention", "resnetv2_50@attention=se").facts
    assert (facts["clean_without"], facts["clean_with"], facts["blocks"]) == (12, 12, 16)


# ---- all -------------------------------------------------------------------------------------------------------------


def test_why_all_answers_the_five_questions_in_order() -> None:
    answers = why_all(otoyol.parse("resnet50"), "tr")
    assert tuple(a.question for a in answers) == QUESTIONS
    assert QUESTIONS == ("bottleneck", "expansion", "preact", "projection", "attention")
    for told in answers:
        assert told.lang == "tr"
        assert told.sources and told.paragraphs and told.table.rows


@given(specs(max_width=32, max_depth=2))
@settings(max_examples=20)
def test_every_design_is_answered_in_both_languages(spec: otoyol.Spec) -> None:
    for question in (*QUESTIONS, "highway"):
        english, turkish = why(question, spec), why(question, spec, "tr")
        assert english.facts == turkish.facts
        assert len(english.paragraphs) == len(turkish.paragraphs)
        assert json.loads(json.dumps(english.to_mapping()))["facts"].keys() == english.facts.keys()
        for told in (english, turkish):
            assert all(len(row) == len(told.table.header) for row in told.table.rows)
            assert "{" not in told.text() and "}" not in told.text()


@pytest.mark.parametrize(("name", "reason"), [("cifar_resnet20", "shortcut A"), ("cifar_resnet110_scale", "factor")])
def test_a_norm_behind_a_sum_that_a_shortcut_reads(name: str, reason: str) -> None:
    spec = otoyol.parse(f"{name}@block=/conv3.norm.act.conv3/norm")
    assert reason in why("highway", spec).text() and why("highway", spec, "tr").paragraphs


def test_alternatives_are_offered_as_text_that_parses() -> None:
    for name in ("resnet50", "resnetv2_50", "cifar_resnet20", "seresnet50"):
        for question in ("bottleneck", "preact"):
            other = answer(question, name).facts["other_spec"]
            assert otoyol.to_text(otoyol.parse(other)) == other


def test_explaining_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, otoyol; otoyol.explain.why_all(otoyol.parse('resnet50'));"
        "print([m for m in ('torch', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
