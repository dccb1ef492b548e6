"""Bars and plots of costs: the figures, their proportions, the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from _svg import NS, marks, read, words
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.cost import count
from otoyol.draw import METRICS, bars_svg, cost_plot
from otoyol.draw.costs import part_costs, stage_table
from otoyol.draw.svg import PALETTE, text_width
from otoyol.errors import MissingExtraError, SpecError
from otoyol.spec import Spec

RESNET50 = otoyol.parse("resnet50")


def test_resnet50_parameters_by_stage() -> None:
    """torchvision's resnet50: numel of conv1+bn1, layer1 … layer4, fc."""
    table = stage_table([RESNET50], "params", "en")
    assert table.parts == ("stem", "stage 1", "stage 2", "stage 3", "stage 4", "head")
    assert table.values == ((9_536, 215_808, 1_219_584, 7_098_368, 14_964_736, 2_049_000),)
    assert table.totals == (25_557_032,)


@given(specs())
@settings(max_examples=60)
def test_parts_add_up(spec: Spec) -> None:
    whole = count(spec)
    for metric in METRICS:
        assert sum(getattr(part, metric) for part in part_costs(spec)) == getattr(whole, metric)


def test_designs_of_different_lengths_share_their_parts() -> None:
    table = stage_table([RESNET50, otoyol.parse("cifar_resnet20")], "macs", "en")
    assert len(table.parts) == 6 and table.values[1][4] is None
    assert table.totals == (4_089_184_256, count(otoyol.parse("cifar_resnet20")).macs)


def test_bars_are_in_proportion_and_labelled() -> None:
    root = read(bars_svg([RESNET50], "params"))
    widths = [float(bar.get("width")) for bar in marks(root, "series0")]
    assert widths[4] / widths[3] == pytest.approx(14_964_736 / 7_098_368, rel=1e-3)
    assert "15.0 M · 58.6%" in words(root) and "7.10 M · 27.8%" in words(root)
    assert "15,0 M · %58,6" in words(read(bars_svg([RESNET50], "params", "tr")))


def test_series_differ_by_pattern_and_not_by_hue_alone() -> None:
    root = read(bars_svg([RESNET50, otoyol.parse("resnet101"), otoyol.parse("resnet152")], "macs"))
    patterns = {p.get("patternTransform") for p in root.iter(f"{NS}pattern")}
    assert len(patterns) == 2  # the first series is plain
    assert "resnet101: 7.80 G" in words(root)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="metric"):
        bars_svg([RESNET50], "flops")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="specs"):
        bars_svg([], "macs")
    with pytest.raises(SpecError, match=r"path: got plot.pdf; allowed: a name that ends in .png or .svg"):
        cost_plot([RESNET50], tmp_path / "plot.pdf")
    assert not list(tmp_path.iterdir())


def test_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"otoyol\[plot\]"):
        cost_plot([RESNET50], tmp_path / "plot.png")
    assert not list(tmp_path.iterdir())


def test_plot_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    both = [RESNET50, otoyol.parse("cifar_resnet20")]
    cost_plot(both, tmp_path / "plot.png", "macs")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    cost_plot(both, tmp_path / "a.svg", "train_bytes", "tr")
    cost_plot(both, tmp_path / "b.svg", "train_bytes", "tr")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ET.parse(tmp_path / "a.svg").getroot().tag == f"{NS}svg"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "plot.png"]


def test_plot_leaves_matplotlib_as_it_was(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    cost_plot([RESNET50], tmp_path / "plot.svg", "params")
    assert dict(matplotlib.rcParams) == before


def test_drawing_loads_neither_torch_nor_a_plotting_library() -> None:
    code = (
        "import sys, otoyol.draw as d, otoyol; s = otoyol.parse('resnet18'); d.block_svg(s); d.network_svg(s);"
        "d.bars_svg([s]); print(sorted({'torch', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("bold", [False, True])
def test_text_is_never_wider_than_its_place(bold: bool) -> None:
    """Against DejaVu Sans, the widest of the fonts that the drawings ask for."""
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    from otoyol.draw.layout import BOLD

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    for text in ("depthwise 3×3", "stride 2 · 32 groups", "average pool 2×2", "konv 31×31", "+256 sıfır kanal",
                 "MAC", "blocks 2–36: BN, ReLU", "512×28×28", "LeakyReLU", "mean over channels"):  # fmt: skip
        width = TextPath((0, 0), text, size=13, prop=font).get_extents().width
        assert width <= text_width(text) * (BOLD if bold else 1)


def contrast(a: str, b: str) -> float:
    """WCAG 2.2, "contrast ratio"."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_have_contrast(theme: int) -> None:
    """Text 4.5 to 1, graphics 3 to 1, on the paper of either theme (WCAG 2.2, 1.4.3 and 1.4.11)."""
    colour = {name: pair[theme] for name, pair in PALETTE.items()}
    for text in ("ink", "muted"):
        assert contrast(colour[text], colour["paper"]) >= 4.5
        assert contrast(colour[text], colour["panel"]) >= 4.5
    assert contrast(colour["onsign"], colour["sign"]) >= 4.5
    assert contrast(colour["stripe"], "#16202b") >= 4.5  # a barrier's own stripes
    for graphic in ("conv", "gate", "kerb", "stop", "open"):
        assert contrast(colour[graphic], colour["paper"]) >= 3
