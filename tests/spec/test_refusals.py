"""Bad specs: each gets one sentence that names the field, the value and what is allowed."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import otoyol
from otoyol.errors import OtoyolError
from otoyol.spec import Spec

STAGE = {"depth": 1, "width": 64}

# text after resnet50@, the field, the value, a phrase of what is allowed
TEXTS = [
    ("stage1.depth=-3", "stage1.depth", "-3", "from 1 to 4096"),
    ("depths=-3-4-6-3", "depths", "-3-4-6-3", "whole numbers separated by -"),
    ("depths=0-4-6-3", "stage1.depth", "0", "from 1 to 4096"),
    ("depths=3-1000000000-6-3", "stage2.depth", "1000000000", "from 1 to 4096"),
    ("depths=4096-4096-4096-4096", "stages", "16384 blocks", "at most 10000"),
    ("depths=" + "-".join("1" * 17), "depths", "17 stages", "at most 16"),
    ("groups=3", "stage1.groups", "3", "a divisor of the 64 channels"),
    ("groups=0", "groups", "0", "at least 1"),
    ("group_width=3", "stage1.group_width", "3", "a divisor of the inner width 64"),
    ("groups=2,group_width=4", "stage1.group_width", "4", "only one of groups (2) and group_width"),
    ("expansion=1/3", "stage1.expansion", "1/3", "whole number, such as 21/64"),
    ("expansion=-4", "expansion", "-4", "from 1/64 to 64"),
    ("expansion=nan", "expansion", "nan", "from 1/64 to 64"),
    ("expansion=4/0", "expansion", "4/0", "from 1/64 to 64"),
    ("stage2.dilation=2", "stage2.dilation", "2", "1 in a stage of stride 2"),
    ("strides=1-5-2-2", "stage2.stride", "5", "from 1 to 4"),
    ("colour=red", "colour", "red", "attention"),
    ("stem.colour=red", "stem.colour", "red", "stem.kernels"),
    ("stage1.colour=red", "stage1.colour", "red", "attention"),
    ("stage4.attention.reduction=8", "stage4.attention.reduction", "8", "stage4.attention=… before it"),
    ("stage2.shortcut.norm=no", "stage2.shortcut.norm", "no", "stage2.shortcut=… before it"),
    ("stage9.width=3", "stage9.width", "3", "stage1 to stage4"),
    ("stem.kernels=4", "stem.kernels[0]", "4", "odd"),
    ("stem.kernels=3-3", "stem.widths", "[64]", "2, one for each kernel"),
    ("stem=big", "stem", "big", "imagenet, deep, tiered, cifar"),
    ("input=224", "input", "224", "3x224x224"),
    ("input=3x0x224", "input.height", "0", "from 1 to 16384"),
    ("attention=magic", "attention.kind", "magic", "none, se, eca, cbam or external"),
    ("attention=se,attention.place=skip", "attention.place", "skip", "never on the skip"),
    ("attention=se,attention.place=20", "stage1.attention.place", "20", "0 to 8"),
    ("shortcut.attention=se", "shortcut.attention", "se", "shortcut.kind"),
    ("shortcut=E", "shortcut.kind", "E", "A, B, C, D or none"),
    ("shortcut=A,widths=64-64-32-32", "stage3.shortcut", "A", "cannot take 256 channels to 128"),
    ("shortcut=D,strides=1-4-2-2", "stage2.shortcut", "D", "D pools 2x2"),
    ("norm=group,norm.groups=7", "norm.groups", "7", "a divisor of every normalised width"),
    ("norm.eps=inf", "norm.eps", "inf", "more than 0 and less than 1"),
    ("head=-1", "head.classes", "-1", "from 0 to 1000000"),
    ("head.pool=none", "head.pool", "none", "head.classes 0"),
    ("drop_path=1", "drop_path", "1", "less than 1"),
    ("zero_init=maybe", "zero_init", "maybe", "true or false"),
    ("block=/conv3/conv1", "block", "/conv3/conv1", "identity path"),
    ("block=/conv2/", "block.branch", "conv2", "odd kernels"),
    ("block=/norm/", "block", "/norm/", "last convolution"),
    ("block=/conv3/act/x99", "block", "/conv3/act/x99", "from 1 to 64"),
    ("block=bottle", "block", "bottle", "bottleneck-v2"),
    ("expansion=4,expansion=2", "expansion", "4 and 2", "each field once"),
    ("act", "spec", "act", "field=value"),
]


@pytest.mark.parametrize(("edit", "field", "value", "allowed"), TEXTS)
def test_text(edit: str, field: str, value: str, allowed: str) -> None:
    with pytest.raises(otoyol.SpecError) as caught:
        otoyol.parse(f"resnet50@{edit}")
    one_sentence(caught.value, field, value, allowed)


# fields of a mapping, the field, the value, a phrase of what is allowed
MAPPINGS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"stages": 5}, "stages", "5", "a list"),
    ({"stages": []}, "stages", "[]", "from 1 to 16 entries"),
    ({"stages": [STAGE] * 17}, "stages", "[{'depth'", "from 1 to 16 entries"),
    ({"stages": [3]}, "stages[0]", "3", "depth, width, stride"),
    ({"stages": [{"depth": 1}]}, "stages[0].width", "nothing", "required"),
    ({}, "stages", "nothing", "required"),
    ({"stages": [{**STAGE, "depth": True}]}, "stages[0].depth", "True", "a whole number"),
    ({"stages": [{**STAGE, "depth": 1.0}]}, "stages[0].depth", "1.0", "a whole number"),
    ({"stages": [{**STAGE, "depth": "1"}]}, "stages[0].depth", "1", "a whole number"),
    ({"stages": [{**STAGE, "depth": 10**9}]}, "stages[0].depth", "1000000000", "from 1 to 4096"),
    ({"stages": [{**STAGE, "depth": 10**5000}]}, "stages[0].depth", "int that cannot be shown", "from 1 to 4096"),
    ({"stages": [{**STAGE, "attention": {"kind": "se", "on": "skip"}}]}, "stages[0].attention.on", "skip", "place"),
    ({"stages": [STAGE], "drop_path": float("nan")}, "drop_path", "nan", "finite"),
    ({"stages": [STAGE], "drop_path": True}, "drop_path", "True", "a number"),
    ({"stages": [STAGE], "drop_path": "0.5"}, "drop_path", "0.5", "a number"),
    ({"stages": [STAGE], "drop_path": datetime.date(2026, 1, 2)}, "drop_path", "datetime.date", "a number"),
    ({"stages": [STAGE], "expansion": float("inf")}, "expansion", "inf", "from 1/64 to 64"),
    ({"stages": [STAGE], "expansion": True}, "expansion", "True", "from 1/64 to 64"),
    ({"stages": [STAGE], "zero_init": 1}, "zero_init", "1", "true or false"),
    ({"stages": [STAGE], "stem": {"activated": "yes"}}, "stem.activated", "yes", "true or false"),
    ({"stages": [STAGE], "stem": {"kernels": [7, 4]}}, "stem.kernels[1]", "4", "odd"),
    ({"stages": [STAGE], "stem": None}, "stem", "None", "imagenet"),
    ({"stages": [STAGE], "block": {"branch": ["conv3", 5]}}, "block.branch", "['conv3', 5]", "tokens"),
    ({"stages": [STAGE], "block": 5}, "block", "5", "bottleneck"),
    ({"stages": [STAGE], "head": {"classes": 10, "activation": "softmax"}}, "head.activation", "softmax", "classes"),
    ({"stages": [STAGE], "depth": 50}, "depth", "50", "fields family"),
    ({"stages": [STAGE], "act": "re\nlu"}, "act", "'re\\nlu'", "relu"),
    ({"stages": [STAGE], "act": ""}, "act", "''", "relu"),
    ({"stages": [STAGE], "act": "\ud800"}, "act", "'\\ud800'", "Unicode"),
    ({"stages": [STAGE], "act": "x" * 10**6}, "act", "xxx...", "relu"),
    ({"stages": [STAGE], "family": "<b>"}, "family", "<b>", "lower-case"),
    ({"stages": [STAGE], "x" * 500: 1}, "x" * 80, "1", "fields family"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "field", "value", "allowed"), MAPPINGS)
def test_mapping(fields: dict[str, Any], field: str, value: str, allowed: str) -> None:
    with pytest.raises(otoyol.SpecError) as caught:
        Spec(**fields)
    one_sentence(caught.value, field, value, allowed)


def one_sentence(error: OtoyolError, field: str, value: str, allowed: str) -> None:
    message = str(error)
    assert message.startswith(f"{field}: got ")
    assert value in message.partition(": got ")[2].partition("; allowed: ")[0]
    assert allowed in message.partition("; allowed: ")[2]
    assert message.isprintable()  # one line
    assert len(message) < 600
    assert error.__cause__ is None  # nothing of the machinery behind it is shown
    assert error.__suppress_context__ or error.__context__ is None


def test_a_refusal_carries_its_parts() -> None:
    with pytest.raises(otoyol.SpecError) as caught:
        otoyol.parse("resnet50@groups=3")
    assert (caught.value.field, caught.value.given) == ("stage1.groups", 3)


@pytest.mark.parametrize("text", ["resnet 50", "resnet50;ls", "resnet50@act=ŞEHİR", "a\nb", "resnet50@act=$HOME", "\0"])
def test_other_characters_are_refused(text: str) -> None:
    with pytest.raises(otoyol.SpecError, match="letters, digits"):
        otoyol.parse(text)


def test_a_long_text_is_refused_unread() -> None:
    with pytest.raises(otoyol.SpecError, match="100000 characters"):
        otoyol.parse("a" * 100_000)
