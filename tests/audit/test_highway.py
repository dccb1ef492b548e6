"""The identity path: counts from the networks' definitions, by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.audit import highway


def path(spec: str, stage: int, block: int) -> list[tuple[str, str]]:
    audit = highway(otoyol.parse(spec))
    found = next(b for b in audit.blocks if (b.stage, b.block) == (stage, block))
    return [(o.what, o.where) for o in found.obstacles]


@pytest.mark.parametrize(
    ("spec", "blocks", "pure", "run"),
    [
        # v1: a ReLU follows every addition, so no block is y = x + F(x) (He et al. 2016, f = ReLU).
        ("resnet50", 16, 0, 0),
        ("cifar_resnet110", 54, 0, 0),
        # Stages of 3, 4, 6, 3 whose first blocks project: 2 + 3 + 5 + 2 = 12 pure, the longest run in the third.
        ("resnetv2_50", 16, 12, 5),
        # 3, 4, 23, 3: 2 + 3 + 22 + 2.
        ("resnetv2_101", 33, 29, 22),
        # Basic, 2 a stage; the first stage of ResNet-18 keeps 64 channels at stride 1, so it needs no projection.
        ("resnetv2_18", 8, 5, 2),
        # 164 = 9·18 + 2: three stages of 18, each first block projects (16→64 in the first): 3 · 17.
        ("cifar_resnetv2_164", 54, 51, 17),
        # 1001 = 9·111 + 2: 3 · 110.
        ("cifar_resnetv2_1001", 333, 330, 110),
        # 28 = 6·4 + 4: three stages of 4, 16→160 projects: 3 · 3.
        ("wrn_28_10", 12, 9, 3),
        # ReLU before addition, option A: nothing after the sum; first blocks of stages 2 and 3 pad. 18 + 17 + 17.
        ("cifar_resnet110_relu_before", 54, 52, 18),
        # BN after addition stands on every path.
        ("cifar_resnet110_bn_after", 54, 0, 0),
        # ReLU-only pre-activation: as full pre-activation.
        ("cifar_resnet110_relu_preact", 54, 52, 18),
    ],
)
def test_pure_blocks_and_longest_run(spec: str, blocks: int, pure: int, run: int) -> None:
    audit = highway(otoyol.parse(spec))
    assert (len(audit.blocks), audit.pure, audit.run.length) == (blocks, pure, run)
    assert audit.run.share == run / blocks


def test_the_longest_run_is_named() -> None:
    run = highway(otoyol.parse("resnetv2_50")).run
    assert (run.first_at, run.last_at) == ((2, 1), (2, 5))
    assert run.first == 3 + 4 + 1  # blocks before the third stage's second
    assert highway(otoyol.parse("resnet50")).run.first == -1


def test_one_stage_of_pre_activation_is_open_from_stem_to_head() -> None:
    # 64 channels out of the stem, 64 through every block, no stride: nothing to change on the way.
    spec = otoyol.parse("custom@depths=7,widths=64,block=basic-v2")
    audit = highway(spec)
    assert audit.open_throughout
    assert (audit.pure, audit.run.length, audit.run.share) == (7, 7, 1.0)
    assert not highway(otoyol.parse("resnetv2_50")).open_throughout


@pytest.mark.parametrize(
    ("spec", "stage", "block", "expected"),
    [
        ("resnet50", 0, 1, [("act", "post")]),
        ("resnet50", 1, 0, [("conv", "shortcut"), ("norm", "shortcut"), ("act", "post")]),
        ("resnet50d", 1, 0, [("avgpool", "shortcut"), ("conv", "shortcut"), ("norm", "shortcut"), ("act", "post")]),
        ("resnetv2_50", 1, 0, [("norm", "preact"), ("act", "preact"), ("conv", "shortcut")]),
        ("resnetv2_50@shortcut.reads=raw", 1, 0, [("conv", "shortcut")]),
        ("resnetv2_50", 1, 1, []),
        ("cifar_resnet20", 1, 0, [("subsample", "shortcut"), ("pad", "shortcut"), ("act", "post")]),
        ("cifar_resnet110_bn_after", 0, 1, [("norm", "post"), ("act", "post")]),
        ("cifar_resnet110_exclusive", 0, 1, [("gate", "shortcut"), ("act", "post")]),
        ("cifar_resnet110_shortcut_only", 0, 1, [("gate", "shortcut"), ("act", "post")]),
        ("cifar_resnet110_scale", 0, 1, [("scale", "shortcut"), ("act", "post")]),
        ("cifar_resnet110_dropout", 0, 1, [("dropout", "shortcut"), ("act", "post")]),
        ("cifar_resnet110_conv", 0, 1, [("conv", "shortcut"), ("norm", "shortcut"), ("act", "post")]),
        ("resnet50@block=inverted,expansion=6,shortcut=none", 1, 0, [("absent", "shortcut")]),
    ],
)
def test_what_stands_on_the_path(spec: str, stage: int, block: int, expected: list[tuple[str, str]]) -> None:
    assert path(spec, stage, block) == expected


def test_a_scale_of_one_and_a_dropout_of_zero_stand_in_nobodys_way() -> None:
    base = "cifar_resnetv2_20@shortcut.gate="
    assert highway(otoyol.parse(base + "scale,shortcut.scale=1.0")).pure == 7
    assert highway(otoyol.parse(base + "scale,shortcut.scale=0.5")).pure == 0
    assert highway(otoyol.parse(base + "dropout,shortcut.dropout=0.0")).pure == 7


@pytest.mark.parametrize("kind", ["se", "eca", "cbam"])
@pytest.mark.parametrize("place", ["start", "spatial", "end"])
def test_attention_never_stands_on_the_path(kind: str, place: str) -> None:
    audit = highway(otoyol.parse(f"resnetv2_50@attention={kind},attention.place={place}"))
    assert (audit.pure, audit.run.length) == (12, 5)


def test_a_stride_at_equal_width_changes_shape_by_stride_alone() -> None:
    audit = highway(otoyol.parse("custom@depths=1-1,widths=16-16,strides=1-2,stem.widths=64,block=bottleneck"))
    assert [(b.stride_changes, b.channels_change) for b in audit.blocks] == [(False, False), (True, False)]


@given(specs())
@settings(max_examples=60)
def test_properties(spec: otoyol.Spec) -> None:
    audit = highway(spec)
    assert len(audit.blocks) == sum(plan.depth for plan in spec.plan)
    assert audit.run.length <= audit.pure <= len(audit.blocks)
    assert audit.open_throughout == (audit.run.length == len(audit.blocks))
    for block in audit.blocks:
        form = spec.plan[block.stage].form
        if form.post or block.changes_shape:
            assert not block.pure
        elif form.shortcut != "C" and form.gate == "none":
            assert block.pure
    assert sum(stage.pure for stage in audit.stages) == audit.pure
    assert sum(stage.norms for stage in audit.stages) == len(audit.folds)
    assert json.loads(json.dumps(audit.to_mapping()))["pure"] == audit.pure
