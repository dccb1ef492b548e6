"""Both catalogues complete, with the same placeholders; every sentence of the answers reachable; Turkish in Turkish."""

from __future__ import annotations

import re
from string import Formatter

import pytest

import otoyol
from otoyol.explain import text
from otoyol.explain.evidence import EVIDENCE
from otoyol.explain.text import catalogue, placeholders

# Tables whose sentences others say (the command line, the report, the diagrams) are reached from there.
OTHERS = ("locale.", "cli.", "refusal.", "share.", "report.", "draw.", "probe.", "design.")

# Designs that between them make every answer say everything it can.
DESIGNS = [
    "resnet50",
    "resnet18",
    "resnetv2_50@attention=se",
    "resnetv2_50@shortcut.reads=raw",
    "resnet50_gn@attention=external",
    "cifar_resnet20",
    "cifar_resnetv2_164",
    "cifar_resnetv2_1001",
    "cifar_resnet110_relu_before",
    "cifar_resnet110_relu_preact",
    "cifar_resnet110_bn_after",
    "cifar_resnet110_scale",
    "cifar_resnet110_exclusive",
    "cifar_resnet110_dropout",
    "cifar_resnet110_conv",
    "resnetv1_50@stage1.block=bottleneck-v2,stage1.expansion=2",
    "resnet50@block=inverted,expansion=6,shortcut=none,widths=16-24-40-80",
    "resnet50@block=inverted,shortcut=D,widths=32-24-40-80",
    "resnet50@expansion=1/2,stage2.expansion=1",
    "resnet50@strides=1-2-2-1,dilations=1-1-1-2",
    "custom@depths=7,widths=64,block=basic-v2,input=3x64x64",
    "custom@depths=1-1,widths=64-64,strides=1-2,block=basic",
    "custom@depths=2,widths=32,block=norm/conv3.act.conv3/,head=0",
    "custom@depths=2,widths=64,block=/conv3.act.norm.conv3/",
    "custom@depths=2,widths=64,block=act.norm/conv3.act.conv3/,stem.activated=false,stem.pool=none,shortcut=C",
    "custom@depths=2,widths=64,block=/conv3.act.norm.norm.conv3.act.norm/",
    "custom@depths=2,widths=64,block=/conv3.act.conv3/",
    "custom@depths=1-1,widths=64-64,block=basic,stage2.block=/conv3.act.conv3/",
    "resnet18@attention=se,attention.place=1",
    "custom@depths=2,widths=64,block=/conv1.act.norm.conv1.norm/,attention=se,attention.place=3",
    "custom@depths=2,widths=64,block=norm/conv3.act.conv1/,attention=eca,attention.place=start",
    "custom@depths=1,widths=64,stem.activated=false,stem.pool=none,block=norm.act/conv3/,stem.widths=64",
    "cifar_resnet20@block=/conv3.norm.act.conv3/norm",
    "cifar_resnet110_scale@block=/conv3.norm.act.conv3/norm",
]


def keys_said(monkeypatch: pytest.MonkeyPatch, designs: list[str]) -> set[str]:
    said: set[str] = set()

    class Recording(dict[str, str]):
        def __getitem__(self, key: str) -> str:
            said.add(key)
            return super().__getitem__(key)

    real = text.chapter
    monkeypatch.setattr(text, "chapter", lambda lang, name: Recording(real(lang, name)))
    for design in designs:
        spec = otoyol.parse(design)
        otoyol.explain.why_all(spec)
        otoyol.explain.audit(spec)
    return said


def test_the_same_keys_and_placeholders_in_both_languages() -> None:
    english, turkish = catalogue("en"), catalogue("tr")
    assert set(english) == set(turkish)
    assert len(english) > 200
    for key, sentence in english.items():
        assert placeholders(sentence) == placeholders(turkish[key]), key
        assert sentence.strip() and turkish[key].strip(), key


def test_every_sentence_of_the_answers_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    said = keys_said(monkeypatch, DESIGNS)
    # tests/web holds the page's words to its scripts.
    assert {key for key in catalogue("en") if not key.startswith((*OTHERS, "studio."))} - said == set()


def test_evidence_and_catalogue_hold_the_same_rows() -> None:
    english = catalogue("en")
    assert {f"evidence.{name}" for name in EVIDENCE} == {key for key in english if key.startswith("evidence.")}
    for name, (figures, sources) in EVIDENCE.items():
        assert placeholders(english[f"evidence.{name}"]) == set(figures), name
        assert all(f"source.{source}" in english for source in sources), name


# Words that belong to the field, names, or symbols: the same in both languages.
SAME = {"MAC", "SE", "ECA", "CBAM", "norm", "v1", "dropout"}
ENGLISH = re.compile(
    r"\b(the|of|and|with|is|are|not|from|which|block|blocks|layers|weights|shortcut|than|they|by)\b", re.I
)


@pytest.mark.parametrize("key", [key for key in catalogue("tr") if not key.startswith(OTHERS)])
def test_nothing_is_left_in_english(key: str) -> None:
    literal = "".join(part for part, *_ in Formatter().parse(catalogue("tr")[key]))
    assert not ENGLISH.search(literal), literal
    same = catalogue("tr")[key] == catalogue("en")[key]
    words = re.sub(r"\W+", " ", literal).split()
    assert not same or not words or set(words) <= SAME or key.startswith("source."), key


def test_turkish_never_hangs_a_suffix_on_a_number() -> None:
    """Vowel harmony depends on how a number is read, so no placeholder may be followed by ' or a letter."""
    for key, sentence in catalogue("tr").items():
        if key.startswith(OTHERS):
            continue
        assert not re.search(r"\}['’]\w", sentence), key
        assert not re.search(r"\}[a-zçğıöşü]", sentence), key
