"""otoyol export: what contradicts itself is refused in one sentence, with status 2, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

import otoyol
from otoyol.cli import export as cli
from otoyol.cli.main import run
from otoyol.deploy.export_detector import export_detector
from otoyol.detect import Detector, build_detector
from otoyol.errors import SpecError
from otoyol.train.files import config_of
from otoyol.train.run import fit

CONFIG = {
    "spec": "custom@block=basic,depths=1,widths=8,stem=cifar,input=1x8x8,head=10",
    "data": {"source": "digits"}, "recipe": {"steps": 1, "batch": 32}, "run": {"tensorboard": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run") / "run"
    fit(config_of(CONFIG), place)
    return place


@pytest.mark.parametrize(
    ("source", "words", "told"),
    [
        ("run", ["--spec", "resnet18"], "--spec"),
        ("run", ["--from", "timm"], "--from"),
        ("last.safetensors", ["--spec", "resnet18", "--from", "timm"], "--spec and --from"),
        ("resnet18", ["--from", "torchvision"], "--from"),
        ("resnet18", ["--size", "64x64"], "size: got 64x64"),
        ("resnet18", ["--size", "64"], "size: got 64"),
    ],
)
def test_words_that_would_be_ignored_are_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, words: list[str], told: str
) -> None:
    place = {"run": trained, "last.safetensors": trained / "last.safetensors"}.get(source, source)
    assert run(["export", str(place), *words, "--out", str(tmp_path / "x.onnx")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("otoyol: ") and error.count("\n") == 1 and told in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("cat",), ("background", "cat", "dog"), ()])
def test_a_detector_has_one_name_for_each_class(tmp_path: Path, names: tuple[str, ...]) -> None:
    spec = otoyol.parse("custom@depths=1-1,widths=8-8,input=3x32x32,head=0")
    choices = Detector(kind="retinanet", taps=("C2", "C3"), extra="none", channels=16, head_norm=None, head_convs=1,
                       min_size=64, max_size=64, sizes=((8.0,), (16.0,)))  # fmt: skip
    model = build_detector(spec, choices, classes=2)
    with pytest.raises(SpecError, match=rf"classes: got {len(names)} names; allowed: 2"):
        export_detector(model, tmp_path / "x.onnx", spec=spec, classes=names, mean=choices.mean, std=choices.std)
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_height_by_width() -> None:
    assert cli._size("800x1333") == cli._size("800×1333") == (800, 1333)
    assert cli._size(None) is None
