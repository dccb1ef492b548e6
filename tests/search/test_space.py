"""Spaces: what they hold, what they refuse, how they are drawn and enumerated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from otoyol.errors import SpecError
from otoyol.search import draw, enumerate_all, load_space, size, space_from, structures
from otoyol.spec import Spec
from otoyol.spec.blocks import BLOCKS

SMALL = {
    "base": "cifar_resnet20",
    "choices": {"block": ["basic", "bottleneck"], "attention": ["none", "se"]},
    "depths": {"low": 1, "high": 2},
    "widths": {"low": 10, "high": 24, "multiple": 8},
}


REGNET = {"depth": {"low": 12, "high": 20}, "w0": {"low": 24, "high": 64}, "wa": [8, 32], "wm": [2, 3]}


def rows(chunks):
    return [
        (chunk.structure, *depths, *widths)
        for chunk in chunks
        for depths, widths in zip(chunk.depths.tolist(), chunk.widths.tolist(), strict=True)
    ]


def test_every_design_of_a_finite_space_comes_once():
    space = space_from(SMALL)
    found = rows(enumerate_all(space))
    # widths from 10 to 24 in eights are 16 and 24
    wanted = {
        (s, *d, *w)
        for s in range(4)
        for d in itertools.product((1, 2), repeat=3)
        for w in itertools.product((16, 24), repeat=3)
    }
    assert len(found) == len(set(found)) == size(space) == 4 * 8 * 8
    assert set(found) == wanted


def test_ties():
    rising = space_from({**SMALL, "tie": "increasing"})
    assert all(w1 <= w2 <= w3 for *_, w1, w2, w3 in rows(enumerate_all(rising)))
    assert len(rows(enumerate_all(rising))) == 4 * 8 * 4  # of 8 triples over two widths 4 never fall
    doubling = space_from({**SMALL, "tie": "doubling"})
    assert {tuple(row[-3:]) for row in rows(enumerate_all(doubling))} == {(16, 32, 64), (24, 48, 96)}
    for space in (rising, doubling):
        for *_, w1, w2, w3 in rows(draw(space, 200, seed=3)):
            assert w1 <= w2 <= w3


def test_draws_depend_on_the_seed_alone():
    space = space_from(SMALL)
    first, again, other = (rows(draw(space, 500, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) == 500
    whole = list(draw(space, 100_000, seed=1))
    rest = list(draw(space, 100_000, seed=1, start=3))
    assert all((a.widths == b.widths).all() for a, b in zip(whole[3:], rest, strict=True))


def test_a_seed_below_zero_is_refused():
    with pytest.raises(SpecError, match="seed: got -1; allowed: 0 or more"):
        list(draw(space_from(SMALL), 10, seed=-1))


def test_a_regnet_of_as_many_blocks_as_stages():
    """The base has three stages: three blocks are one a stage. w0 = wa = 8 and wm = 2 give 8·2^round(log2(1 + j)):
    8, 16 and round(log2 3) = 2, so 32."""
    three = {"depth": {"low": 3, "high": 3}, "w0": {"low": 8, "high": 8}, "wa": [8, 8], "wm": [2, 2]}
    (chunk,) = draw(space_from({"base": "cifar_resnet20", "regnet": three}), 2)
    assert chunk.widths.tolist() == [[8, 16, 32]] * 2 and chunk.depths.tolist() == [[1, 1, 1]] * 2


def test_uniform_and_log_uniform_draws():
    ranged = {"low": 8, "high": 1024, "multiple": 8}
    uniform, log = (
        space_from({"base": "cifar_resnet20", "widths": {**ranged, "scale": scale}}) for scale in ("uniform", "log")
    )
    drawn = {s: np.concatenate([c.widths.ravel() for c in draw(v, 60_000)]) for s, v in (("u", uniform), ("l", log))}
    assert set(drawn["u"].tolist()) == set(range(8, 1025, 8)) == set(drawn["l"].tolist())
    # Mean of a uniform draw over 8, 16, … 1024; and a log-uniform draw from 8 to 1032 is below 64 with
    # probability log(64 / 8) / log(1032 / 8) = 0.4279. Six standard errors of 180,000 draws are 4.2 and 0.007.
    assert abs(drawn["u"].mean() - 516) < 4.2
    assert abs((drawn["l"] < 64).mean() - np.log(8) / np.log(129)) < 0.007


def test_regnet_widths_are_the_papers():
    """RegNetX-200MF (Radosavovic et al. 2020, Table of models): d=13, w0=24, wa=36.44, wm=2.49, q=8 gives widths
    24, 56, 152, 368 and depths 1, 1, 4, 7."""
    exact = {
        "base": "resnet50",
        "regnet": {
            "depth": {"low": 13, "high": 13}, "w0": {"low": 24, "high": 24, "multiple": 8},
            "wa": [36.44, 36.44], "wm": [2.49, 2.49],
        },
    }  # fmt: skip
    (chunk,) = draw(space_from(exact), 5)
    assert chunk.widths.tolist() == [[24, 56, 152, 368]] * 5
    assert chunk.depths.tolist() == [[1, 1, 4, 7]] * 5


def test_combinations_that_cannot_be_built_are_told():
    built, refused = structures(space_from({"base": "resnet50", "choices": {"groups": ["1", "7"]}}))
    assert len(built) == 1
    assert isinstance(built[0].spec, Spec)
    assert refused[0].choices == {"groups": "7"}
    assert "divisor" in refused[0].reason


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"widths": {"low": 10, "high": 12, "multiple": 8}}, "widths"),
        ({"depths": [{"low": 1, "high": 2}]}, "depths"),
        ({"choices": {"block": []}}, "choices.block"),
        ({"choices": {"block": ["basic", "basic"]}}, "choices.block"),
        ({"choices": {"depths": ["1-1-1"]}}, "depths"),
        ({"choices": {"groups": ["5"]}}, "choices"),
        ({"tie": "falling"}, "tie"),
        ({"base": "resnet51"}, "family"),
        ({"colour": "red"}, "colour"),
        ({"depths": None, "widths": None, "regnet": {**REGNET, "depth": {"low": 1, "high": 2}}}, "regnet.depth.high"),
        ({"choices": {key: ["a", "b"] for key in "abcdefghijklm"}}, "choices"),
    ],
)
def test_impossible_spaces_are_refused(change, field):
    with pytest.raises(SpecError) as error:
        structures(space_from({**SMALL, **change}))
    assert field in error.value.field
    assert "\n" not in str(error.value)


def test_a_regnet_cannot_be_enumerated():
    with pytest.raises(SpecError, match="enumerated"):
        list(enumerate_all(space_from({"base": "resnet50", "regnet": REGNET})))


@pytest.mark.parametrize("suffix", [".yaml", ".toml", ".json"])
def test_files(tmp_path, suffix):
    text = {
        ".yaml": "base: resnet50\nchoices: {expansion: [2, 4], zero_init: [true]}\ndepths: {low: 1, high: 4}\n",
        ".toml": 'base = "resnet50"\n[choices]\nexpansion = [2, 4]\nzero_init = [true]\n[depths]\nlow = 1\nhigh = 4\n',
        ".json": '{"base": "resnet50", "choices": {"expansion": [2, 4], "zero_init": [true]},'
        ' "depths": {"low": 1, "high": 4}}',
    }[suffix]
    (tmp_path / f"space{suffix}").write_text(text)
    space = load_space(tmp_path / f"space{suffix}")
    assert space.choices == {"expansion": ("2", "4"), "zero_init": ("true",)}
    assert size(space) == 2 * 4**4


def test_combinations_are_left_out():
    space = space_from({**SMALL, "without": [{"block": "bottleneck", "attention": ["se"]}]})
    texts = {(s.spec.block == BLOCKS["bottleneck"], s.spec.attention.kind) for s in structures(space)[0]}
    assert texts == {(False, "none"), (False, "se"), (True, "none")}
    with pytest.raises(SpecError, match=r"space.without.block.*inverted"):
        space_from({**SMALL, "without": [{"block": "inverted"}]})
