"""Axes of plots: round figures, few of them, in their own units and in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otoyol.draw.figure import quantity_name, round_ticks, written


def test_ticks_are_round():
    assert round_ticks(1.8, 60) == [2, 5, 10, 20, 50]
    assert round_ticks(900, 2_000_000) == [1_000, 10_000, 100_000, 1_000_000]
    # From 900 KiB to 7 MiB: bytes are counted in KiB and MiB, never 1.95 MiB.
    assert round_ticks(900 * 1024, 7 * 1024**2, binary=True) == [1024**2, 2 * 1024**2, 5 * 1024**2]


@given(st.floats(1, 1e9), st.floats(3, 1e6), st.booleans())
def test_ticks_lie_inside_and_are_few(low, factor, binary):
    ticks = round_ticks(low, low * factor, binary)
    assert len(ticks) <= 6
    assert ticks == sorted(ticks)
    assert all(low * 0.99 <= tick <= low * factor * 1.01 for tick in ticks)


@pytest.mark.parametrize(
    ("key", "value", "en", "tr"),
    [
        ("depth", 1234, "1,234", "1.234"),
        ("macs", 4_089_184_256, "4.09 G", "4,09 G"),
        ("train_bytes", 3 * 2**20, "3.00 MiB", "3,00 MiB"),
        ("latency_ms@ort,b1,t1", 12.345, "12.3", "12,3"),
    ],
)
def test_figures_are_written_as_the_language_does(key, value, en, tr):
    assert (written(key, value, "en"), written(key, value, "tr")) == (en, tr)


def test_a_latency_says_where():
    assert quantity_name("latency_ms@ort,b1,t1", "en") == "Latency (ms)\n@ort,b1,t1"
    assert quantity_name("macs", "tr") == "MAC"
