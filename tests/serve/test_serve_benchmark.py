"""benchmarks/serve.py: which answers count as right, that a swapped one would be seen, when memory is flat."""

from __future__ import annotations

import json
import os
import sys
import threading

import numpy as np
import pytest

TINY = "custom@depths=1-1,widths=8-8,input=3x32x32,head=20"


@pytest.fixture(scope="module")
def benchmark(script):
    return script("benchmarks/serve.py")


RIGHT = np.array([0.3, 0.2, 0.15, 0.1, 0.09, 0.08, 0.08])


@pytest.mark.parametrize(
    ("told", "right"),
    [
        ({0: 0.3, 1: 0.2, 2: 0.15, 3: 0.1, 4: 0.09}, True),
        ({0: 0.300009, 1: 0.199991, 2: 0.15, 3: 0.1, 4: 0.09}, True),
        ({0: 0.30002, 1: 0.2, 2: 0.15, 3: 0.1, 4: 0.09}, False),
        ({0: 0.3, 1: 0.2, 2: 0.15, 3: 0.1}, False),
        ({0: 0.3, 1: 0.2, 2: 0.15, 3: 0.1, 5: 0.08}, False),  # a class that is not among the best
        ({}, False),
    ],
)
def test_an_answer_is_held_to_the_engines_own(benchmark, told, right):
    assert benchmark.fits(RIGHT, told) == right
    body = json.dumps({"classes": [{"index": index, "probability": p} for index, p in told.items()]})
    assert benchmark.wrong(np.stack([RIGHT]), [(0, 0.1, 200, body), (0, 0.1, 500, "")]) == 2 - right


def test_pairs_that_could_be_swapped_unseen_are_counted(benchmark):
    other, near, far = RIGHT[::-1], RIGHT + 1.5e-5, RIGHT + 3e-5
    assert benchmark.near_pairs(np.stack([RIGHT, other])) == 0
    assert benchmark.near_pairs(np.stack([RIGHT, other, RIGHT, near])) == 3
    assert benchmark.near_pairs(np.stack([RIGHT, far])) == 0


@pytest.mark.parametrize(
    ("samples", "grown"),
    [
        ([1, 9, 100, 100, 100, 104, 104, 104], 0.04),  # what it takes at its beginning does not count
        ([100, 100, 100, 110, 120, 130], 125 / 105 - 1),  # medians of 100 and 110, of 120 and 130
        ([100, 100, 100], 0.0),
        ([100, 100], float("inf")),
    ],
)
def test_growth_is_from_the_second_third_to_the_last(benchmark, samples, grown):
    assert benchmark.growth([float(sample) for sample in samples]) == pytest.approx(grown)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_read_until_the_end(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "SAMPLE_S", 0.001)
    samples, ended = [], threading.Event()
    thread = threading.Thread(target=benchmark.watch, args=(os.getpid(), samples, ended))
    thread.start()
    while len(samples) < 3:
        pass
    ended.set()
    thread.join()
    assert min(samples) > 10  # MiB


def test_answers_to_its_images_differ(benchmark, tmp_path):
    images, artifact = tmp_path / "images", tmp_path / "model.onnx"
    images.mkdir()
    benchmark.make_images(images, 32)
    files = sorted(images.glob("*.jpg"))
    assert len(files) == benchmark.DISTINCT
    benchmark.make_artifact(artifact, TINY, images)
    logits = benchmark.logits_of(artifact, files)
    assert np.abs(logits[: benchmark.CALIBRATING].mean(0)).max() < 0.01
    assert logits[: benchmark.CALIBRATING].std() == pytest.approx(benchmark.SPREAD, rel=0.01)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert benchmark.near_pairs(chances) == 0
