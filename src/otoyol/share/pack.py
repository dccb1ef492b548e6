"""pack(network, path): a network as a folder that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from otoyol.errors import SpecError, WeightsError
from otoyol.share.folder import ARTIFACT, CARD, CONFIG, FILES, SPEC, SUMS, WEIGHTS, About, sums_text
from otoyol.spec import Spec
from otoyol.spec.files import dumps, json_text, write_bytes, write_text


class Chosen(NamedTuple):
    """``step``: the one whose weights these are, ``steps`` the last one. ``metric``: the figure that chose them, on the
    split that tells it. ``last``: what the last weights reached on that split."""

    step: int
    steps: int
    metric: str
    last: Mapping[str, float]


class Network(NamedTuple):
    """``model``: made by :func:`otoyol.nn.build` or :func:`otoyol.detect.build_detector`. ``spec``: its backbone's.
    ``training``: names and values about its training, for the model card. ``chosen``: where these are a run's best
    weights, what chose them."""

    model: Any
    spec: Spec
    about: About
    training: tuple[tuple[str, str], ...] = ()
    chosen: Chosen | None = None


class Packed(NamedTuple):
    """``files``: name and size in bytes."""

    path: Path
    files: dict[str, int]


def pack(
    network: Network, path: str | os.PathLike[str], *, name: str | None = None, onnx: bool = True,
    artifact: Path | None = None, measured: Mapping[str, Mapping[str, float]] | None = None,
    license: str | None = None, force: bool = False,
) -> Packed:  # fmt: skip
    """Write a shared folder (:mod:`otoyol.share.folder`), which :func:`otoyol.load` reads back.

    ``name``: what the model card calls the network, by default the folder's name. ``onnx``: whether to export it as
    well; ``artifact`` is a file that `otoyol export` has written from the same design, to be taken instead.
    ``measured``: figures by the name of what has measured them. ``license``: of the weights, an identifier of the hub's
    list. ``force``: replace a folder that was written so before.

    Raises OtoyolError; nothing is written then.
    """
    from otoyol.design.folder import whole_folder
    from otoyol.share.card import card
    from otoyol.share.timm_config import config
    from otoyol.weights.files import SPEC_KEY, text_of

    out = Path(path).absolute()
    _check_free(out, force)
    with whole_folder(out) as folder:
        from safetensors.torch import save

        tensors = {key: value.detach().cpu().contiguous() for key, value in network.model.state_dict().items()}
        if any(value.is_meta for value in tensors.values()):
            raise WeightsError("the model is on the meta device and has no values to share")
        write_bytes(folder / WEIGHTS, save(tensors, {SPEC_KEY: text_of(network.spec), "format": "pt"}))
        write_text(folder / SPEC, dumps(network.spec, ".json"))
        write_text(folder / CONFIG, json_text(config(network.spec, network.about)))
        if artifact is not None:
            _take(artifact, folder / ARTIFACT, network)
        elif onnx:
            _export(network, folder / ARTIFACT)
        write_text(folder / SUMS, sums_text(folder))
        sizes = {file: (folder / file).stat().st_size for file in FILES if (folder / file).is_file()}
        write_text(folder / CARD, card(name or out.name, network, sizes, measured or {}, license))
        files = {file: (folder / file).stat().st_size for file in FILES if (folder / file).is_file()}
    return Packed(out, files)


def _check_free(out: Path, force: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise SpecError("out", str(out), "a folder that does not exist yet")
    if out.is_dir():
        if not force:
            raise SpecError("out", str(out), "a folder that does not exist yet, or --force to replace it")
        if strange := sorted(entry.name for entry in out.iterdir() if entry.name not in FILES):
            raise SpecError("out", str(out), f"a folder of `otoyol share` to replace; this one holds {strange[0]}")


def _export(network: Network, path: Path) -> None:
    """The same network as ONNX. Of detectors Faster R-CNN has none."""
    about = network.about
    if about.task == "detection":
        from otoyol.deploy.detector import is_dense
        from otoyol.deploy.export_detector import export_detector

        if is_dense(network.model):
            export_detector(
                network.model, path, spec=network.spec, classes=about.classes, mean=about.mean, std=about.std,
                source=about.source, detector=json_text(about.detector),
            )  # fmt: skip
        return
    from otoyol.deploy.export import export_onnx

    taps = tuple(network.model.tap_channels) if network.spec.head.pool == "none" else ()  # all it puts out
    export_onnx(
        network.model, path, taps=taps, classes=about.classes, mean=about.mean, std=about.std,
        crop_share=about.crop_share, source=about.source,
    )  # fmt: skip


def _take(artifact: Path, path: Path, network: Network) -> None:
    """A copy of an artifact that was exported from the same network. Raises SpecError where design, task, classes,
    normalisation or outputs are others."""
    from otoyol.deploy.onnx_file import load_model
    from otoyol.deploy.same import check_same
    from otoyol.spec.files import read_bytes
    from otoyol.weights.files import text_of

    _, metadata = load_model(artifact)
    if text_of(metadata.design) != text_of(network.spec):
        raise SpecError("artifact", metadata.spec, f"an export of {text_of(network.spec)}")
    data = read_bytes(artifact, "artifact", (1 << 31) - 1)
    about = network.about
    detector = json_text(about.detector) if about.detector else ""
    check_same(data, metadata, network.model, classes=about.classes, mean=about.mean, std=about.std, detector=detector)
    write_bytes(path, data)
