"""From what the user names (a run, a shared folder, a checkpoint, a design) to a network and what is known about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from otoyol.errors import SpecError
from otoyol.share.folder import NEEDED, SUMS, WEIGHTS, About, Folder, read_folder
from otoyol.share.pack import Chosen, Network
from otoyol.spec import Spec
from otoyol.spec.files import read_mapping

if TYPE_CHECKING:
    from otoyol.weights.names import Source

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def from_run(place: Path) -> Network:
    """The network of a training run's folder, its best weights where it has judged any, or of one of its weight files.

    Raises OtoyolError.
    """
    from otoyol.train.folder import RESULT, load_run

    which = "best" if (place / "best.safetensors").is_file() else "last"
    trained = load_run(place, which)
    config: Any = trained.config  # of either task
    folder, model = trained.path.parent, cast(Any, trained.model)
    result = read_mapping(folder / RESULT) if (folder / RESULT).is_file() else {}
    name = trained.path.stem
    metrics = (result.get("best") or {}).get("metrics") if name == "best" else result.get("metrics")
    data, detector = config.data, getattr(config, "detector", None)
    images = Path(data.source).name or str(data.source)  # the folder's path is this machine's own affair
    image = detector or data
    spec: Spec = model.spec if detector is None else config.spec
    repeat = range(spec.input.channels)
    about = About(
        task=config.task, classes=trained.task.classes, source=f"otoyol train on {images}, {name} weights",
        mean=[image.mean[i % len(image.mean)] for i in repeat], std=[image.std[i % len(image.std)] for i in repeat],
        crop_share=getattr(data, "crop_share", 1.0), metrics=finite(metrics or {}),
        detector=None if detector is None else detector.model_dump(mode="json"),
    )  # fmt: skip
    keys = ("samples", "validation", "steps", "epochs", "seconds", "ranks")
    training = [(key, f"{result[key]:,}") for key in keys if isinstance(result.get(key), int | float)]
    chosen = None
    if name == "best" and result.get("best"):
        last = finite(result.get("metrics") or {})
        chosen = Chosen(result["best"]["step"], result.get("steps", 0), trained.task.best, last)
    return Network(model, spec, about, (("data", images), *training), chosen)


def from_weights(spec: Spec | None, weights: Path | None, source: Source = "otoyol") -> Network:
    """The network of a design with a checkpoint's weights, ours, torchvision's or timm's; as initialised without.

    ``spec`` may be None for our own files, which name their design. Weights in a shared folder bring along what it says
    of them; with another design than its own, as much as fits that. Raises SpecError, WeightsError.
    """
    from otoyol.deploy.source import network
    from otoyol.weights.files import text_of

    known: About | None = None
    if weights is not None and weights.name == WEIGHTS and _is_whole(weights.parent):
        folder = read_folder(weights.parent)
        if spec is None or text_of(spec) == text_of(folder.spec):
            return _told(folder)
        known = folder.about
    found = network(spec, weights, source)
    head, repeat = found.spec.head.classes, range(found.spec.input.channels)
    fields: dict[str, Any] = {"mean": [MEAN[i % 3] for i in repeat], "std": [STD[i % 3] for i in repeat]}
    if known is not None and len(known.mean) == len(repeat):
        fields = {"mean": known.mean, "std": known.std, "crop_share": known.crop_share}
    if known is not None and len(known.classes) == head:
        fields["classes"] = known.classes
    about = About(task="classification" if head else "features", source=found.source, **fields)
    return Network(found.model, cast(Any, found.model).spec, about)


def from_folder(place: Path) -> Network:
    """The network of a shared folder, checked, with all that the folder says of it. Raises SpecError, WeightsError."""
    return _told(read_folder(place))


def _told(folder: Folder) -> Network:
    from otoyol.share.network import network

    training = (("from", "a folder shared before, whose card says how its weights were chosen"),)
    return Network(network(folder), folder.spec, folder.about, training)


def is_folder(place: Path) -> bool:
    """Whether this is a folder that `otoyol share` has written, whole or not."""
    return place.is_dir() and all((place / name).is_file() for name in NEEDED)


def _is_whole(place: Path) -> bool:
    return is_folder(place) and (place / SUMS).is_file()


def is_run(place: Path) -> bool:
    """Whether this is a run's folder, or a weight file that a run has written."""
    from otoyol.train.folder import CONFIG, RUN_KEY

    if place.is_dir():
        return (place / CONFIG).is_file()
    if place.suffix != ".safetensors" or not place.is_file():
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(place, framework="pt") as file:
            return RUN_KEY in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False  # whoever reads it says what is wrong


def figures(path: Path, most: int = 60) -> dict[str, float]:
    """The numbers of a JSON file, however deep they stand, by dotted path: what a benchmark or an evaluation has
    measured. Raises SpecError where there is none."""
    found = finite(dict(_leaves(read_mapping(path), "")))
    if not found:
        raise SpecError("measured", path.name, "a JSON file with numbers in it")
    return dict(list(found.items())[:most])


def _leaves(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif path:
        yield path[:200], value


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that are numbers, and finite."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
