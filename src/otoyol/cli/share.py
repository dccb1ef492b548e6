"""otoyol share: a network as one folder; the same to the Hugging Face hub and from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App

from otoyol.cli.inputs import label, read_spec
from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Table, write, write_json
from otoyol.cli.words import language, number, word
from otoyol.errors import SpecError

From = Literal["otoyol", "torchvision", "timm"]

share = App(name="share", help_format="plaintext", version_flags=[], result_action="return_value")


@share.default
def pack_(
    what: Annotated[str, option("share_what")],
    /,
    *,
    out: Annotated[Path, option("share_out", "--out")],
    weights: Annotated[Path | None, option("share_weights", "--weights")] = None,
    source: Annotated[From, option("share_from", "--from")] = "otoyol",
    name: Annotated[str | None, option("share_name", "--name")] = None,
    artifact: Annotated[Path | None, option("share_artifact", "--artifact")] = None,
    no_onnx: Annotated[bool, option("no_onnx", "--no-onnx")] = False,
    measured: Annotated[tuple[Path, ...], option("measured", "--measured")] = (),
    license: Annotated[str | None, option("license", "--license")] = None,
    force: Annotated[bool, option("share_force", "--force")] = False,
    json: Json = False,
    lang: Lang = None,
) -> None:
    from otoyol.share.pack import pack
    from otoyol.share.source import figures, from_folder, from_run, from_weights, is_folder, is_run

    place = Path(what)
    told = {path.name: figures(path) for path in measured}
    own = is_run(place) or is_folder(place) or place.suffix == ".safetensors"
    if own and weights is not None:
        raise SpecError("weights", str(weights), "nothing beside a run, a folder or a safetensors file: it has its own")
    if (own or weights is None) and source != "otoyol":
        raise SpecError("from", source, "torchvision's or timm's file with --weights")
    if is_run(place) or is_folder(place):
        network = from_run(place) if is_run(place) else from_folder(place)
    elif own:
        network = from_weights(None, place)
    else:
        network = from_weights(read_spec(what), weights, source)
    made = pack(network, out, name=name, onnx=not no_onnx, artifact=artifact, measured=told, license=license,
                force=force)  # fmt: skip
    tongue = language(lang)
    if json:
        write_json({"folder": str(out), "spec": label(network.spec), "task": network.about.task, "files": made.files})
        return
    rows = [(file, number(size, tongue)) for file, size in made.files.items()]
    head = (word("head.file", tongue), word("head.bytes", tongue))
    write([word("share.written", tongue, out=str(out), design=label(network.spec)), Table("", head, rows)])


@share.command
def push(
    folder: Annotated[Path, option("share_folder")],
    repo: Annotated[str, option("repo")],
    /,
    *,
    public: Annotated[bool, option("public", "--public")] = False,
    lang: Lang = None,
) -> None:
    from otoyol.share.hub import push as send

    write([word("share.pushed", language(lang), url=send(folder, repo, private=not public))])


@share.command
def pull(
    repo: Annotated[str, option("repo")],
    /,
    *,
    out: Annotated[Path, option("share_out", "--out")],
    revision: Annotated[str | None, option("revision", "--revision")] = None,
    lang: Lang = None,
) -> None:
    from otoyol.share.hub import pull as fetch

    found = fetch(repo, out, revision=revision)
    write([word("share.pulled", language(lang), out=str(out), design=label(found.spec))])
