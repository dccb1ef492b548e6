"""benchmarks/latency.py: what it reports of errors, what it holds against the bars, which designs it takes."""

from __future__ import annotations

import argparse

import pytest


@pytest.fixture(scope="module")
def benchmark(script):
    return script("benchmarks/latency.py")


def row(name, measured, error, usual):
    return {"spec": name, "measured_ms": measured, "error": error, "usual_pace": usual, "same_pace": 0.0,
            "noise": 0.01, "inside": True, "warned": False}  # fmt: skip


def test_figures_and_bars_by_hand(benchmark):
    """Two designs at two batches, four measurements. Errors 1, 2, 4 and 20%: median 3%, three within 5, three within
    10; predicted 1.01, 2.04, 3.84 and 4.8 ms, in the order of 1 to 4. At the usual pace 6% off all round."""
    rows = [row("a", 1.0, 0.01, 0.06), row("b", 2.0, 0.02, -0.06), row("a", 4.0, -0.04, 0.06), row("b", 4.5, 0.2, 0.06)]
    told = benchmark.judged({"table_minutes": 10.01, **benchmark.summary(rows)})
    assert (told["designs"], told["measurements"]) == (2, 4)
    assert (told["median_error"], told["within_5_percent"], told["within_10_percent"]) == (0.03, 0.75, 0.75)
    assert (told["usual_pace_within_5_percent"], told["usual_pace_within_10_percent"]) == (0.0, 1.0)
    assert told["spearman"] == told["usual_pace_spearman"] == 1.0
    assert told["met"] == {"median_error": True, "within_5_percent": False, "within_10_percent": False,
                           "spearman": True, "table_minutes": False}  # fmt: skip
    assert told["usual_pace_met"] == {"median_error": False, "within_5_percent": False, "within_10_percent": True,
                                      "spearman": True, "table_minutes": False}  # fmt: skip


def test_held_out_designs_are_distinct_and_none_could_be_known(benchmark):
    given = argparse.Namespace(designs=60, max_macs=1.2e9)
    first = benchmark.held_out(given, set())
    known = {benchmark.any_text(spec) for spec in first[:20]}
    held = benchmark.held_out(given, known)
    assert len(held) == len(set(held)) == len(first) >= 60
    assert not known & {benchmark.any_text(spec) for spec in held}
