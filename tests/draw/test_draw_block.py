"""Block diagrams say what lower() says, and whether the identity path is open."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from _svg import NS, marks, read, tooltips, words
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.audit import highway
from otoyol.draw import block_svg
from otoyol.draw.labels import op_name, op_tooltip
from otoyol.errors import SpecError
from otoyol.ops import Op
from otoyol.ops.op import Kind
from otoyol.spec import Spec

DESIGNS = (
    "resnet50", "resnetv2_50", "resnet50d", "seresnet50", "ecaresnet50d", "resnext50_32x4d", "cifar_resnet20",
    "cifar_resnet110_exclusive", "cifar_resnet110_shortcut_only", "cifar_resnet110_scale", "cifar_resnet110_dropout",
    "resnet50@block=inverted,shortcut=none,attention=cbam", "resnetv2_50@attention=cbam,attention.place=start",
    "resnetv2_50@shortcut.gate=exclusive,attention=se,drop_path=0.2", "resnet50@attention=external", "custom",
)  # fmt: skip


def check_block(spec: Spec, stage: int, block: int, lang: str) -> None:
    """Every operator of the block once, with its shapes; one barrier for each obstacle that the audit finds."""
    root = read(block_svg(spec, stage, block, lang))
    ops = [op for op in otoyol.lower(spec).ops if (op.stage, op.block) == (stage, block)]
    said = tooltips(root)
    assert sorted(said) == sorted({op.name for op in ops})
    for op in ops:
        shapes = f"{op.c_in}×{op.h_in}×{op.w_in} → {op.c_out}×{op.h_out}×{op.w_out}"
        assert any(text.endswith(f"; {shapes}") for text in said[op.name])
    lines = words(root)
    assert f"x  {ops[0].c_in}×{ops[0].h_in}×{ops[0].w_in}" in lines
    assert f"y  {ops[-1].c_out}×{ops[-1].h_out}×{ops[-1].w_out}" in lines
    for op in ops:
        if (op.c_in, op.h_in, op.w_in) != (op.c_out, op.h_out, op.w_out):
            assert f"{op.c_out}×{op.h_out}×{op.w_out}" in lines
    audit = next(a for a in highway(spec).blocks if (a.stage, a.block) == (stage, block))
    assert len(marks(root, "barrier")) == len(audit.obstacles)


@pytest.mark.parametrize("lang", ["en", "tr"])
@pytest.mark.parametrize("text", DESIGNS)
def test_first_blocks_of_each_stage(text: str, lang: str) -> None:
    spec = otoyol.parse(text)
    for stage, plan in enumerate(spec.plan):
        for block in range(min(2, plan.depth)):
            check_block(spec, stage, block, lang)


@given(specs())
@settings(max_examples=100)
def test_any_block_of_any_design(spec: Spec) -> None:
    check_block(spec, len(spec.plan) - 1, spec.plan[-1].depth - 1, "en")


def test_resnet50_by_hand() -> None:
    """He et al. 2015, Table 1: conv3_1 takes 256 channels at 56×56 to 512 at 28×28 through 128."""
    root = read(block_svg(otoyol.parse("resnet50"), 1, 0))
    lines = words(root)
    for line in ("Stage 2, block 1 of 4", "x  256×56×56", "128×56×56", "128×28×28", "512×28×28", "y  512×28×28"):
        assert line in lines
    assert lines.count("conv 3×3") == 1 and lines.count("conv 1×1") == 3  # two in F, the projection
    assert lines.count("stride 2") == 2  # v1.5: the 3×3 and the projection
    assert lines.count("BN") == 4 and lines.count("ReLU") == 3
    first = words(read(block_svg(otoyol.parse("resnetv1_50"), 1, 0)))
    assert "128×56×56" not in first  # v1 strides on the first 1×1


@pytest.mark.parametrize(
    ("text", "block", "status"),
    [
        # He et al. 2016, section 3: only full pre-activation leaves y = x + F(x).
        ("resnetv2_50", 1, "Identity path open: x reaches the output untouched."),
        ("resnet50", 1, "Identity path obstructed by ReLU."),
        ("cifar_resnet110_bn_after", 1, "Identity path obstructed by BN, ReLU."),
        ("cifar_resnet110_relu_before", 1, "Identity path open: x reaches the output untouched."),
        ("resnetv2_50", 0, "Identity path obstructed by BN, ReLU, conv 1×1."),
        ("resnetv2_50@shortcut.reads=raw", 0, "Identity path obstructed by conv 1×1."),
        ("cifar_resnet20", 0, "Identity path obstructed by subsample, zero-pad, ReLU."),
        ("resnet50d", 0, "Identity path obstructed by average pool 2×2, conv 1×1, BN, ReLU."),
        ("cifar_resnet110_dropout", 1, "Identity path obstructed by dropout, ReLU."),
        ("cifar_resnet110_exclusive", 1, "Identity path obstructed by multiply, ReLU."),
        ("resnet50@block=inverted,shortcut=none", 0, "No identity path: this block has no shortcut."),
        (
            "resnetv2_50@shortcut.gate=scale,shortcut.scale=1.0",
            1,
            "Identity path open: x reaches the output untouched.",
        ),
    ],
)
def test_status_of_the_identity_path(text: str, block: int, status: str) -> None:
    root = read(block_svg(otoyol.parse(text), 1, block))
    assert status in " ".join(words(root))
    assert root.find(f"{NS}desc").text.startswith(status)
    # Told by shape, not by hue alone: an arrow or a bar on the sign, striped barriers or none.
    signs = [element.tag for element in marks(root, "onsign")]
    assert signs == [f"{NS}path" if "open" in status else f"{NS}rect"]
    assert bool(marks(root, "barrier")) == ("open" not in status)


def test_widths_are_in_proportion_to_channels() -> None:
    """The middle of the bottleneck is a quarter as wide as its end: 128 of 512 channels."""
    root = read(block_svg(otoyol.parse("resnet50"), 1, 1))
    widths = {float(rect.get("width")) for rect in marks(root, "norm")}
    assert {w / max(widths) for w in widths} == {0.25, 1.0}


def test_groups_show() -> None:
    assert "32 groups" in words(read(block_svg(otoyol.parse("resnext50_32x4d"), 1, 1)))
    assert "depthwise 3×3" in words(read(block_svg(otoyol.parse("resnet50@block=inverted"), 1, 1)))
    dilated = block_svg(otoyol.parse("resnet50@strides=1-2-2-1,dilations=1-1-1-2"), 3, 1)
    assert "dilation 2" in words(read(dilated))


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("lang", ["en", "tr"])
def test_every_kind_of_operator_has_a_name(kind: Kind, lang: str) -> None:
    detail = {"norm": "batch", "act": "relu"}.get(kind, "")
    op = Op("name", kind, "branch", 0, 0, (-1,), 4, 8, 8, 4, 8, 8, kernel=3, detail=detail)
    assert op_name(op, lang)
    assert op_tooltip(op, lang).endswith("4×8×8 → 4×8×8")


def test_themes() -> None:
    spec = otoyol.parse("resnet50")
    light, dark, auto = (block_svg(spec, theme=theme) for theme in ("light", "dark", "auto"))
    assert "@media" not in light + dark
    assert "@media screen and (prefers-color-scheme: dark)" in auto
    assert light != dark
    assert "var(" not in auto  # readers of SVG other than browsers know no custom properties
    page = block_svg(spec, theme="page", uid="block")  # a page's policy may refuse rules inside of it
    assert "<style" not in page and "<style" in light
    assert page.partition("<rect")[2] == block_svg(spec, theme="light", uid="block").partition("<rect")[2]
    with pytest.raises(SpecError, match="theme: got sepia; allowed: light, dark, auto or page"):
        block_svg(spec, theme="sepia")  # type: ignore[arg-type]


def test_refusals() -> None:
    spec = otoyol.parse("resnet50")
    with pytest.raises(SpecError, match="stage: got 4; allowed: 0 to 3"):
        block_svg(spec, 4)
    with pytest.raises(SpecError, match="block: got 3; allowed: 0 to 2 in stage 0"):
        block_svg(spec, 0, 3)
    with pytest.raises(SpecError, match="lang"):
        block_svg(spec, lang="de")


def test_several_in_one_page_do_not_meet() -> None:
    spec = otoyol.parse("resnet50")
    pictures = [block_svg(spec), block_svg(spec, 0), block_svg(spec, lang="tr"), block_svg(spec, uid="another")]
    ids = re.findall(r' id="([^"]+)"', "".join(pictures))
    assert len(ids) == len(set(ids))
    assert block_svg(spec) == block_svg(otoyol.parse("resnet50"))  # and equal designs give equal text


def test_hostile_names_are_escaped() -> None:
    spec = otoyol.parse("resnet50").model_copy()
    spec.__dict__["family"] = "</title><script>alert('&')</script>\x00"
    root = read(block_svg(spec))
    assert root.find(f"{NS}title").text.startswith("</title><script>alert('&')</script>")


def test_a_family_of_the_users_own_is_named_and_spelled_out() -> None:
    spec = otoyol.Spec(family="mine", stages=({"depth": 1, "width": 8},), head=10)
    lines = words(read(block_svg(spec)))
    assert "mine (custom@widths=8,head=10)".replace(" ", "") in "".join(lines).replace(" ", "")
