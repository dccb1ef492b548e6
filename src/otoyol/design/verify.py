"""The chosen design as a real network: built, run on a photograph, counted, timed on this machine. Needs torch."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from otoyol.cost import count
from otoyol.errors import MissingExtraError
from otoyol.ops import lower
from otoyol.spec import Input, Spec, family

ROUNDS = 5
NEEDED = {"torch": "torch", "matplotlib": "plot"}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
SAMPLE = "china.jpg"


class TapSeen(NamedTuple):
    """A tap as published (channels, height, width, stride) and the shape of the tensor that came out there."""

    name: str
    published: tuple[int, int, int, int]
    shape: tuple[int, ...]
    fine: bool


class Built(NamedTuple):
    """``parameters`` by numel, ``counted`` by exact cost. ``image``: what was run. ``finite``: no inf, no NaN."""

    parameters: int
    counted: int
    image: str
    taps: tuple[TapSeen, ...]
    finite: bool

    @property
    def fine(self) -> bool:
        return self.parameters == self.counted and self.finite and all(tap.fine for tap in self.taps)


class Setting(NamedTuple):
    """How networks are run. ``where``: as after the @ of a budget that asks for it, empty where none does."""

    engine: str
    threads: int = 1
    batch: int = 1
    dtype: str = "float32"
    where: str = ""

    @property
    def text(self) -> str:
        threads = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        return f"{self.engine}, {threads}, batch {self.batch}, {self.dtype}"


class Timed(NamedTuple):
    """Median milliseconds of a whole run, one a design, and the interquartile range over the median."""

    setting: Setting
    ms: tuple[float, ...]
    spread: tuple[float, ...]


def check_installed() -> None:
    """Raises MissingExtraError before hours of work and not after."""
    for module, extra in NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, extra)


def build_and_run(spec: Spec) -> Built:
    """Build the design, run it on a photograph and its mirror image, compare with what its description says."""
    import torch

    from otoyol.nn import build

    torch.manual_seed(0)
    model = build(spec).eval()
    images, name = photograph(spec.input)
    with torch.inference_mode():
        seen, out = model.forward_taps(images), model(images)
    taps, finite = [], bool(out.isfinite().all())
    for tap in lower(spec).taps:
        shape = tuple(seen[tap.name].shape)
        stride = (-(-spec.input.height // shape[2]), -(-spec.input.width // shape[3]))
        said = (model.tap_channels[tap.name], model.tap_strides[tap.name])
        fine = shape == (2, tap.channels, tap.height, tap.width) and said == (tap.channels, tap.stride)
        exact = spec.input.height % tap.stride == 0 == spec.input.width % tap.stride
        fine = fine and (not exact or stride == (tap.stride, tap.stride))
        taps.append(TapSeen(tap.name, (tap.channels, tap.height, tap.width, tap.stride), shape, fine))
        finite = finite and bool(seen[tap.name].isfinite().all())
    parameters = sum(p.numel() for p in model.parameters())
    return Built(parameters, count(spec).params, name, tuple(taps), finite)


def photograph(size: Input) -> tuple[Any, str]:
    """The photograph that scikit-learn ships, at that size and normalised, and its mirror image: (2, C, H, W); and its
    name. Seeded noise where there is none, or where the design does not read 1 or 3 channels.

    Neither scikit-learn nor torchvision is imported, which would take longer than all the rest.
    """
    import torch

    shipped = importlib.util.find_spec("sklearn")
    places = (shipped.submodule_search_locations if shipped else None) or ()
    paths = [path for place in places if (path := Path(place) / "datasets" / "images" / SAMPLE).is_file()]
    if not paths or size.channels not in (1, 3) or importlib.util.find_spec("PIL") is None:
        return torch.randn((2, size.channels, size.height, size.width)), "seeded noise"
    from PIL import Image

    with Image.open(paths[0]) as opened:
        image = opened.convert("RGB" if size.channels == 3 else "L").resize((size.width, size.height))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).float() / 255
    pixels = pixels.reshape(size.height, size.width, size.channels).permute(2, 0, 1)
    mean, deviation = (torch.tensor(row[: size.channels])[:, None, None] for row in (MEAN, DEVIATION))
    normal = (pixels - mean) / deviation
    return torch.stack([normal, normal.flip(-1)]), SAMPLE


def settings(tables: Mapping[str, Mapping[str, object]]) -> list[Setting]:
    """Those of the latency tables (where → fingerprint); without any, one thread and one image in torch and, where it
    is installed, in ONNX Runtime."""
    if tables:
        return [
            Setting(str(f["engine"]), int(str(f["threads"])), int(str(f["batch"])), str(f["dtype"]), where)
            for where, f in tables.items()
        ]
    found = [Setting("eager")]
    if all(importlib.util.find_spec(module) for module in ("onnx", "onnxruntime")):
        found.append(Setting("ort"))
    return found


def time_all(designs: Sequence[Spec], setting: Setting, rounds: int = ROUNDS, seed: int = 0) -> Timed:
    """Run the designs in turns, more often where a run was disturbed (:mod:`otoyol.measure.turns`)."""
    from otoyol.measure import find_engine
    from otoyol.measure.table import timing
    from otoyol.measure.turns import Turns, counted

    engine = find_engine(setting.engine, threads=setting.threads, batch=setting.batch, dtype=setting.dtype)
    distinct = list(dict.fromkeys(designs))
    shuffle = random.Random(seed)  # noqa: S311 (no secrets)
    turns = Turns(engine.load(family("cifar_resnet20")), rounds, shuffle)
    loaded = [engine.load(spec) for spec in distinct]
    for running in loaded:
        running.whole()
    runs = turns.run(loaded, lambda running: running.whole())
    medians = [timing([samples[i].seconds for i in counted(samples)]) for samples in runs]
    timings = dict(zip(distinct, medians, strict=True))
    return Timed(
        setting,
        tuple(timings[spec].seconds * 1e3 for spec in designs),
        tuple(timings[spec].spread for spec in designs),
    )
