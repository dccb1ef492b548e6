"""Published figures, retyped from the papers' tables and compared with what the answers say."""

from __future__ import annotations

import pytest

from otoyol.explain.evidence import EVIDENCE


@pytest.mark.parametrize(
    ("row", "printed"),
    [
        ("bottleneck_depth", [3.6, 3.8, 24.52, 22.85]),  # 1512.03385 Tables 1 and 3: 34 and 50 layers, option B
        ("bottleneck_pairs", [5.73, 1.5, 6.06, 1.4]),  # 1605.07146 Table 2: B(3,3) and B(1,3,1)
        ("expansion_wide", [24.01, 25.6, 21.9, 68.9]),  # 1605.07146 Table 8
        ("expansion_groups", [23.9, 22.2]),  # 1611.05431
        ("preact_shallow", [5.97, 6.51, 4.52, 4.49]),
        ("preact_spread", [8.44, 8.84, 7.92, 8.63]),
        ("preact_middle", [6.61, 6.37, 5.93, 5.46, 3.69, 3.86, 3.68, 3.64]),  # 1603.05027 Table 3, then replication
        ("preact_imagenet", [21.3, 21.1, 21.8, 20.7]),  # 1603.05027 Table 5, 320×320
        ("preact_deep", [7.61, 4.92, 3.28, 2.65]),
        ("preact_orderings", [6.61, 8.17, 7.84, 6.71, 6.37, 5.93, 5.46]),  # 1603.05027 Table 2
        ("projection_options", [25.03, 24.52, 24.19]),  # 1512.03385 Table 3
        ("projection_everywhere", [6.61, 12.22]),  # 1603.05027 Table 1
        ("projection_pool", [77.01, 77.54]),
        ("highway_blocked", [6.61, 12.35, 8.7, 6.91]),  # 1603.05027 Table 1
        ("attention_se", [24.8, 23.29, 3.86, 3.87, 23.17, 22.38]),  # 1709.01507 Table 2
        ("attention_place", [23.3, 22.28, 22.23, 22.78, 22.2]),  # 1709.01507 Table 14
        ("attention_spatial", [22.28, 28.1, 22.48, 25.8]),  # 1709.01507 Table 15
        ("attention_cifar", [6.37, 5.21, 86.56, 55.25]),  # 1709.01507 Table 4, then a third party
    ],
)
def test_figures_are_the_printed_ones(row: str, printed: list[float]) -> None:
    assert list(EVIDENCE[row][0].values()) == printed


def test_no_row_goes_untested() -> None:
    mark = next(m for m in test_figures_are_the_printed_ones.pytestmark if m.name == "parametrize")
    assert {row for row, _ in mark.args[1]} == set(EVIDENCE)
