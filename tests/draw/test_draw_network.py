"""Network diagrams: stages, repeats, taps, and the state of the identity path."""

from __future__ import annotations

import pytest
from _svg import NS, marks, read, words
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.audit import highway
from otoyol.draw import network_svg
from otoyol.draw.network import stage_runs
from otoyol.spec import Spec


def taps(root) -> dict[str, str]:
    return {g.get("data-tap"): g.find(f"{NS}title").text for g in root.iter(f"{NS}g") if g.get("data-tap")}


def test_resnet50_by_hand() -> None:
    """He et al. 2015, Table 1: 3-4-6-3 blocks, 256 to 2048 channels at 56² to 7²."""
    root = read(network_svg(otoyol.parse("resnet50")))
    assert taps(root) == {
        "C1": "C1: 64×112×112, stride 2",
        "C2": "C2: 256×56×56, stride 4",
        "C3": "C3: 512×28×28, stride 8",
        "C4": "C4: 1024×14×14, stride 16",
        "C5": "C5: 2048×7×7, stride 32",
    }
    lines = words(root)
    assert [line for line in lines if line.startswith("× ")] == ["× 3", "× 4", "× 6", "× 3"]
    assert "image 3×224×224" in lines and "1,000 classes" in lines
    assert "conv 7×7, 64, stride 2 → BN → ReLU → max pool 3×3, stride 2" in " ".join(lines)
    assert "16 blocks in 4 stages; identity path open in 0 of 16." in " ".join(lines)


def test_a_pre_activation_network_is_open_but_for_its_projections() -> None:
    """He et al. 2016: 16 blocks, the first of each of four stages projects."""
    root = read(network_svg(otoyol.parse("resnetv2_50")))
    assert "identity path open in 12 of 16." in " ".join(words(root))
    assert len(marks(root, "barrier")) == 4
    assert "final" in words(root)


def test_turkish() -> None:
    lines = words(read(network_svg(otoyol.parse("cifar_resnet20"), "tr")))
    assert "Aşama 1" in lines and "10 sınıf" in lines
    assert not {"stem", "head", "Stage 1"} & set(lines)


def test_a_feature_extractor_has_no_classes() -> None:
    lines = words(read(network_svg(otoyol.parse("resnet50@head=0,head.pool=none"))))
    assert "features" in lines and not [line for line in lines if "classes" in line]


def test_sixteen_stages_and_the_widest_numbers() -> None:
    deep = "resnet50@depths=" + "-".join("1" * 16) + ",widths=" + "-".join(["8"] * 15 + ["65536"])
    root = read(network_svg(otoyol.parse(deep + ",strides=" + "-".join("1" * 16))))
    assert len(taps(root)) == 17
    assert "262144×56×56" in words(root)


@given(specs())
@settings(max_examples=100)
def test_any_design(spec: Spec) -> None:
    """Runs cover every block once and are as open as the audit says; every tap has its exit."""
    root = read(network_svg(spec))
    network = otoyol.lower(spec)
    expected = {}
    for tap in network.taps:
        expected[tap.name] = f"{tap.name}: {tap.channels}×{tap.height}×{tap.width}, stride {tap.stride}"
    assert taps(root) == expected
    clear = 0
    for plan, runs in zip(spec.plan, stage_runs(spec), strict=True):
        assert sum(run.repeat for run in runs) == plan.depth
        assert len(runs) <= 2  # the first block, then the others
        clear += sum(run.repeat for run in runs if run.blocked == ())
    assert clear == highway(spec).pure


@pytest.mark.parametrize("family", ["cifar_resnet1202", "resnet200d"])
def test_long_stages_are_runs(family: str) -> None:
    root = read(network_svg(otoyol.parse(family)))
    assert len(marks(root, "barrier")) <= 8
