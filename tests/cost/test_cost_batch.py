"""A batch equals a loop over single designs, exactly; single designs equal the sum of their operators."""

from __future__ import annotations

import subprocess
import sys
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import specs

import otoyol
from otoyol.cost import BatchCount, count, count_batch, table
from otoyol.cost.batch import QUANTITIES
from otoyol.cost.table import add
from otoyol.errors import SpecError
from otoyol.spec import FAMILIES, Spec


@settings(max_examples=150)
@given(specs())
def test_compiled_totals_are_the_sum_of_the_operators(spec: Spec) -> None:
    rows = [row.cost for row in table(spec, batch=3, dtype="float64")]
    assert reduce(add, rows) == count(spec, batch=3, dtype="float64")


@pytest.mark.parametrize("name", FAMILIES)
def test_compiled_totals_of_families(name: str) -> None:
    spec = otoyol.family(name)
    if sum(stage.depth for stage in spec.stages) < 200:  # the others have the same blocks
        assert reduce(add, (row.cost for row in table(spec))) == count(spec)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("block", ["act/conv3.act/", "act/conv3.norm/act", "norm/conv1.act/norm", "/conv3.act/"])
def test_what_is_held_between_blocks_depends_on_both(block: str, depth: int) -> None:
    """Without a shortcut in the first block, its output may be saved where the other blocks' sums are not."""
    choices = f"block={block},shortcut=none,expansion=1,depths={depth}-2,widths=24-24,strides=1-2,input=3x9x9"
    spec = otoyol.parse(f"custom@{choices}")
    assert reduce(add, (row.cost for row in table(spec))) == count(spec)


def row_of(counts: BatchCount, name: str, row: int) -> Any:
    value = getattr(counts, name)
    return tuple(int(part[row]) for part in value) if isinstance(value, tuple) else int(value[row])


def equal_a_loop(counts: BatchCount) -> int:
    """Compare every row with ``count`` of its spec; the number of valid ones."""
    for row in range(len(counts)):
        if not counts.valid[row]:
            with pytest.raises(SpecError) as error:
                counts.spec(row)
            assert counts.reason(row) == str(error.value)
            assert all(not np.any(row_of(counts, name, row)) for name in QUANTITIES)
            continue
        assert counts.reason(row) is None
        single = count(counts.spec(row), batch=counts.batch, dtype=counts.dtype)
        for name in QUANTITIES:
            assert row_of(counts, name, row) == getattr(single, name), (row, name)
    return int(counts.valid.sum())


def integers(low: int, high: int, shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(low, high, shape)


N = 60


def test_depths_and_widths() -> None:
    counts = count_batch(
        otoyol.family("resnet50"), depths=integers(1, 5, (N, 4)), widths=8 * integers(1, 20, (N, 4)), batch=3
    )
    assert equal_a_loop(counts) == N


def test_projections_in_some_designs_and_not_in_others() -> None:
    """The first stage has stride 1: it projects where it changes the width, and other operators run."""
    widths, stems = 16 * integers(1, 4, (N, 3)), 16 * integers(1, 4, (N,), 1)
    for name in ("cifar_resnet20b", "cifar_resnetv2_20", "cifar_resnet110_exclusive"):
        spec = otoyol.parse(f"{name}@depths=2-1-1")
        counts = count_batch(spec, widths=widths, stem_widths=stems, dtype="float16")
        projects = widths[:, 0] != stems
        assert counts.valid[projects].any() and counts.valid[~projects].any()
        assert equal_a_loop(counts) > 10  # option A refuses the narrowing rows


def test_option_a_refuses_rows_that_get_narrower() -> None:
    widths = 16 * integers(1, 4, (N, 3))
    counts = count_batch(otoyol.family("cifar_resnet20"), widths=widths)
    grows = (widths[:, 0] >= 16) & (np.diff(widths) >= 0).all(1)
    assert (counts.valid == grows).all()
    assert equal_a_loop(counts) == grows.sum()


def test_fractional_expansions_and_odd_sizes() -> None:
    counts = count_batch(
        otoyol.family("resnetv2_50d"), depths=integers(0, 4, (N, 4)), widths=4 * integers(1, 40, (N, 4)),
        expansions=np.random.default_rng(0).choice([1, 1.5, 2.0, 0.25, 4, 1 / 3], (N, 4)),
        heights=integers(1, 200, (N,)), widths_px=integers(1, 200, (N,), 1),
    )  # fmt: skip
    assert 0 < equal_a_loop(counts) < N


def test_expansions_as_ratios() -> None:
    spec = otoyol.family("custom")
    ratios = np.array([1, 3, 2, 1, -1, 1, 65, 8192]), np.array([1, 2, 6, 3, 2, 0, 1, 4096])
    counts = count_batch(spec, widths=np.full(8, 48), expansions=ratios)
    assert counts.valid.tolist() == [True, True, True, True, False, False, False, True]
    assert counts.spec(2).stages[0].expansion == counts.spec(3).stages[0].expansion  # 2/6 is 1/3
    assert equal_a_loop(counts) == 5


def test_groups_and_group_widths() -> None:
    choices = np.random.default_rng(0).choice([0, 1, 2, 4, 8, 32], (N, 4))
    widths = 8 * integers(1, 20, (N, 4))
    for spec in (otoyol.family("resnext50_32x4d"), otoyol.parse("seresnet50@block=inverted,groups=3")):
        by_groups = count_batch(spec, groups=choices, widths=widths, expansions=np.full(N, 2))
        by_width = count_batch(spec, group_widths=choices[:, 0], widths=widths, expansions=np.full(N, 2))
        for counts in (by_groups, by_width):
            assert 0 < equal_a_loop(counts) < N
    basic = count_batch(otoyol.family("resnet18"), groups=choices, widths=widths)
    assert 0 < equal_a_loop(basic) < N


def test_later_blocks_of_a_stage_may_be_impossible_where_there_are_none() -> None:
    # Inside 64 channels in the first block, 12 in the others: groups of 8 fit the first alone.
    spec = otoyol.parse("custom@block=inverted,expansion=1")
    counts = count_batch(spec, depths=np.array([1, 2]), widths=np.array([12, 12]), group_widths=np.array([8, 8]))
    assert counts.valid.tolist() == [True, False]
    assert equal_a_loop(counts) == 1


@pytest.mark.parametrize(
    "text",
    [
        "resnet50@block=inverted,norm=group,norm.groups=4,attention=se",
        "resnet50@block=basic-relu-before,shortcut=none,attention=cbam,taps=postact",
        "resnet50@block=act/conv3.act/,shortcut=none,expansion=1,taps=postact,head.pool=none,head.classes=0",
        "resnetv2_50@drop_path=0.2,attention=eca,act=silu,norm=frozen,head.dropout=0.5",
    ],
)
def test_structures_with_mixed_depths(text: str) -> None:
    spec = otoyol.parse(text.replace("head.pool=none,head.classes=0", "head.classes=0,head.pool=none"))
    counts = count_batch(spec, depths=integers(1, 3, (N, 4)), widths=8 * integers(1, 9, (N, 4)))
    assert equal_a_loop(counts) > N // 2


@settings(max_examples=60)
@given(specs(), st.integers(0, 2**32 - 1))
def test_random_structures(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stages = len(spec.stages)
    counts = count_batch(
        spec, depths=rng.integers(1, 4, (6, stages)), widths=8 * rng.integers(1, 5, (6, stages)),
        stem_widths=8 * rng.integers(1, 5, 6), heights=rng.integers(1, 50, 6),
    )  # fmt: skip
    equal_a_loop(counts)


def test_more_designs_than_a_chunk() -> None:
    from otoyol.cost import batch

    n = batch.CHUNK + 5
    widths = np.full((n, 4), (64, 128, 256, 512))
    widths[-1] = 72, 144, 288, 576
    counts = count_batch(otoyol.family("resnet50"), widths=widths, only=("macs",))
    assert counts.macs is not None
    assert (counts.macs[:-1] == 4_089_184_256).all()
    assert counts.macs[-1] == count(counts.spec(n - 1)).macs


def test_only_what_is_wanted() -> None:
    counts = count_batch(otoyol.family("resnet50"), depths=np.array([3, 4]), only=("params", "forward_flops"))
    assert counts.params is not None and counts.forward_flops is not None
    assert counts.macs is None and counts.train_bytes is None and counts.backward_flops is None
    assert counts.forward_flops.conv[0] == count(counts.spec(0)).forward_flops.conv


def test_figures_that_do_not_fit_are_not_valid() -> None:
    spec = otoyol.family("resnet50")
    counts = count_batch(
        spec, widths=np.array([65_536, 64]), depths=np.array([2500, 3]), expansions=np.array([16, 4]),
        heights=np.array([16_384, 224]), widths_px=np.array([16_384, 224]),
    )  # fmt: skip
    assert counts.valid.tolist() == [False, True]
    assert counts.reason(0) == "a figure of this design exceeds 9223372036854775807"
    assert count(counts.spec(0)).macs > 2**63
    assert counts.macs is not None and counts.macs[0] == 0 and counts.macs[1] == count(counts.spec(1)).macs


def test_figures_just_below_the_limit_are_exact() -> None:
    spec = otoyol.family("resnet50")
    heights = np.array([16_384, 16_000, 12_345])
    counts = count_batch(
        spec, widths=np.full(3, 65_536), depths=np.full(3, 14), heights=heights, widths_px=heights, only=("macs",)
    )
    singles = [count(counts.spec(row)).macs for row in range(3)]
    assert any(macs > 2**61 for macs in singles)  # float64 would be off by hundreds
    assert counts.macs is not None
    assert [int(macs) for macs in counts.macs] == [macs if macs < 2**63 else 0 for macs in singles]


@pytest.mark.parametrize(
    ("arrays", "field"),
    [
        ({}, "count_batch"),
        ({"depths": np.ones((3, 4), int), "widths": np.ones((2, 4), int)}, "count_batch"),
        ({"depths": np.ones((3, 5), int)}, "depths"),
        ({"depths": np.ones((3, 4))}, "depths"),
        ({"widths": np.array([True, False])}, "widths"),
        ({"widths": np.array([2**64 - 1], np.uint64)}, "widths"),
        ({"expansions": np.array([np.nan])}, "expansions"),
        ({"expansions": np.array(["4"])}, "expansions"),
        ({"groups": np.array([1]), "group_widths": np.array([1])}, "group_widths"),
        ({"depths": np.array([1]), "only": ("beauty",)}, "only"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as error:
        count_batch(otoyol.family("resnet50"), **arrays)
    assert error.value.field == field


def test_one_design_needs_no_numpy() -> None:
    code = "import sys, otoyol; otoyol.cost.count(otoyol.family('resnet50')); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
