"""otoyol export: a design, a checkpoint or a run as one ONNX file that says what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from otoyol.cli.inputs import read_spec
from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.deploy.export import Exported
    from otoyol.deploy.metadata import Layout

Format = Literal["onnx"]
Origin = Literal["otoyol", "torchvision", "timm"]
WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")


def export(
    source: Annotated[str, option("export_source")],
    /,
    *,
    to: Annotated[Format, option("export_to", "--to")] = "onnx",
    out: Annotated[Path | None, option("out", "--out")] = None,
    spec: Annotated[str | None, option("export_spec", "--spec")] = None,
    origin: Annotated[Origin, option("export_from", "--from")] = "otoyol",
    taps: Annotated[str, option("export_taps", "--taps")] = "",
    classes: Annotated[Path | None, option("export_classes", "--classes")] = None,
    uint8: Annotated[bool, option("export_uint8", "--uint8")] = False,
    dynamic_size: Annotated[bool, option("export_dynamic_size", "--dynamic-size")] = False,
    size: Annotated[str | None, option("export_size", "--size")] = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    tongue, place = language(lang), out or Path(f"model.{to}")
    from otoyol.deploy.export import export_onnx
    from otoyol.deploy.export_detector import export_detector
    from otoyol.errors import SpecError

    wanted = [tap.upper() for tap in taps.split(",") if tap]
    model, known = _network(source, spec, origin)
    if classes is not None:
        known["classes"] = _lines(classes)
    layout: Layout = "nhwc" if uint8 else "nchw"
    if "detector" in known:
        if wanted or dynamic_size:
            raise SpecError("export", "a detector with --taps or --dynamic-size", "one image of the detector's size")
        made = export_detector(model, place, layout=layout, size=_size(size), **known)
    else:
        if size is not None:
            raise SpecError("size", size, "nothing beside a classifier, whose size is its design's input")
        made = export_onnx(model, place, taps=wanted, layout=layout, dynamic_size=dynamic_size, **known)  # fmt: skip
    if json:
        write_json(_facts(made))
        return
    image = made.metadata
    write(
        [
            word("export.wrote", tongue, path=str(made.path), size=number(made.size_bytes / 1e6, tongue, ".1f"),
                 input="×".join(map(str, image.image_shape(1)[1:])), outputs=", ".join(image.outputs)),
            word("export.agrees", tongue, error=f"{made.agreement.error:.1e}", shapes=len(made.agreement.shapes),
                 norms=len(made.norms)),
        ]
    )  # fmt: skip


def _network(source: str, spec: str | None, origin: Origin) -> tuple[Any, dict[str, Any]]:
    """The network, and what its source knows of it: classes, mean and standard deviation, where it comes from."""
    from otoyol.deploy.source import network
    from otoyol.errors import SpecError
    from otoyol.share.source import from_folder, from_run, from_weights, is_folder, is_run
    from otoyol.spec.files import json_text

    place = Path(source)
    given = [name for name, is_given in (("--spec", spec is not None), ("--from", origin != "otoyol")) if is_given]
    whole = is_run(place) or is_folder(place)
    if given and (whole or place.suffix not in WEIGHTS):
        allowed = "neither beside a run, a shared folder or a design, which say both; they are for checkpoints"
        raise SpecError("export", f"{' and '.join(given)} with {source}", allowed)
    design = read_spec(spec) if spec is not None else None
    if whole:
        found = from_run(place) if is_run(place) else from_folder(place)
    elif place.suffix in WEIGHTS:
        found = from_weights(design, place, origin)
    elif place.is_dir():
        raise SpecError("export", source, "a design, a checkpoint, or a folder of otoyol train or otoyol share")
    else:
        return network(read_spec(source)).model, {}
    about = found.about
    facts = {name: getattr(about, name) for name in ("classes", "mean", "std", "crop_share", "source")}
    if about.task == "detection":
        del facts["crop_share"]
        facts |= {"spec": found.spec, "detector": json_text(about.detector)}
    return found.model, facts


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width. Raises SpecError."""
    from otoyol.errors import SpecError

    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if found is None:
        raise SpecError("size", text, "height and width in pixels, such as 800x1333")
    return int(found[1]), int(found[2])


def _lines(path: Path) -> list[str]:
    """Class names, one a line."""
    from otoyol.spec.files import read_bytes

    text = read_bytes(path, "classes", 1 << 22).decode("utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _facts(made: Exported) -> dict[str, Any]:
    described = made.metadata.model_dump(mode="json", exclude={"aliases"})
    shapes = [list(shape) for shape in made.agreement.shapes]
    return {
        "path": str(made.path), "bytes": made.size_bytes, "error": made.agreement.error, "shapes": shapes,
        "norms_left": list(made.norms), **described,
    }  # fmt: skip
