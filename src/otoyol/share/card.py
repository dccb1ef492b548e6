"""The model card: what the hub reads of it, and what people read; every figure is counted or was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otoyol import __version__
from otoyol.cost import count
from otoyol.explain.text import LANGUAGES, say
from otoyol.share.folder import ARTIFACT, CARD, CONFIG, SPEC, SUMS, WEIGHTS, About
from otoyol.share.pack import Network
from otoyol.weights.files import text_of

PIPELINES = {"classification": "image-classification", "detection": "object-detection",
             "features": "image-feature-extraction"}  # fmt: skip
# Names of ours for metrics that the hub knows by a type.
METRIC_TYPES = {"accuracy": "accuracy", "top5": "top-5-accuracy", "ap": "mean_average_precision"}
TOLD = {
    WEIGHTS: "the weights, with the design's text form in the metadata",
    SPEC: "the design",
    CONFIG: "what timm and the hub read, and what Otoyol reads",
    ARTIFACT: "the same network for ONNX Runtime and others",
    SUMS: "checksums of the above, for `sha256sum --check`",
}


def card(
    name: str, network: Network, sizes: Mapping[str, int], measured: Mapping[str, Mapping[str, float]],
    license: str | None,
) -> str:  # fmt: skip
    """README.md of a shared folder: YAML for the hub, then text. ``sizes``: the other files, in bytes."""
    import yaml

    front = yaml.safe_dump(front_matter(name, network, sizes, license), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {_line(name)}", _opening(network), _cost(network), _metrics(network), *_measured(measured),
        _use(network, sizes), _files(sizes),
    ]  # fmt: skip
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def front_matter(name: str, network: Network, sizes: Mapping[str, int], license: str | None) -> dict[str, Any]:
    """What the Hugging Face hub reads of a card."""
    about = network.about
    timm = ["timm"] if about.task != "detection" else []
    found: dict[str, Any] = {"library_name": "otoyol", "pipeline_tag": PIPELINES[about.task]}
    if license:
        found["license"] = license
    found["tags"] = ["otoyol", "pytorch", "safetensors", *timm, *(["onnx"] if ARTIFACT in sizes else [])]
    rows = [
        {"type": METRIC_TYPES[key], "name": key, "value": value}
        for key, value in about.metrics.items()
        if key in METRIC_TYPES
    ]
    if rows and (data := dict(network.training).get("data")):
        task = {"type": PIPELINES[about.task]}
        result = {"task": task, "dataset": {"type": data, "name": data}, "metrics": rows}
        found["model-index"] = [{"name": name, "results": [result]}]
    return found


def _opening(network: Network) -> str:
    about, image = network.about, network.spec.input
    what = {
        "classification": f"classifies images into {_classes(about, network)}",
        "detection": f"finds objects of {_classes(about, network)}",
        "features": "turns images into features",
    }[about.task]
    weights = (
        f"Weights: {_line(about.source)}."
        if about.source
        else "**The weights are as initialised: nothing was trained.**"
    )
    return (
        f"A residual network that {what}, as a design of Otoyol:\n\n"
        f"```text\n{text_of(network.spec)}\n```\n\n{weights} Images are {image.text} (channels × height × width);"
        f" values from 0 to 1, less mean {_numbers(about.mean)}, over std {_numbers(about.std)}."
    )


def _classes(about: About, network: Network) -> str:
    number = len(about.classes) or network.spec.head.classes
    if not about.classes:
        return f"{number} classes"
    names = ", ".join(_line(name) for name in about.classes[:10])
    return f"{number} classes ({names}{', …' if len(about.classes) > 10 else ''})"


def _cost(network: Network) -> str:
    if network.about.task == "detection":
        params = sum(parameter.numel() for parameter in network.model.parameters())
        told = count(network.spec.model_copy(update={"head": 0}))
        head = (
            f"The detector has {params:,} parameters. Its backbone alone, counted exactly for one image of its input:"
        )
    else:
        told, head = count(network.spec), "Counted exactly, for one image in float32:"
    rows = [
        ("parameters", f"{told.params:,}"),
        ("MACs of convolutions and classifier", f"{told.macs:,}"),
        ("activations (their output elements)", f"{told.activations:,}"),
        ("bytes of weights", f"{told.weight_bytes:,}"),
        ("peak bytes of activations in inference", f"{told.peak_inference_bytes:,}"),
    ]
    return f"## Cost\n\n{head}\n\n{_table(('quantity', 'figure'), rows)}"


def _metrics(network: Network) -> str:
    if not network.about.metrics:
        return ""
    head: tuple[str, ...] = ("metric", "value")
    rows: list[tuple[str, ...]] = [(name, f"{value:.6g}") for name, value in network.about.metrics.items()]
    parts = [f"Measured by its training ({'; '.join(f'{key} {_line(value)}' for key, value in network.training)}):"]
    if chosen := network.chosen:
        facts = {"step": chosen.step, "steps": chosen.steps, "metric": chosen.metric}
        parts += [say("share.card.chosen", lang, **facts) for lang in LANGUAGES]
        head = (
            "metric",
            *(" / ".join(say(f"share.card.{key}", lang) for lang in LANGUAGES) for key in ("best", "last")),
        )
        rows = [(*row, f"{chosen.last[row[0]]:.6g}" if row[0] in chosen.last else "-") for row in rows]
    return "\n\n".join(["## Accuracy", *parts, _table(head, rows)])


def _measured(measured: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"## Measured: {_line(where)}\n\n"
        + _table(("figure", "value"), [(_line(name), f"{value:.6g}") for name, value in figures.items()])
        for where, figures in measured.items()
    ]


def _use(network: Network, sizes: Mapping[str, int]) -> str:
    parts = ["## Use", '```python\nimport otoyol\n\nmodel = otoyol.load("path/to/this/folder")\n```']
    if network.about.task != "detection":
        parts.append(
            "```python\nimport timm\nfrom otoyol.nn import register_timm\n\nregister_timm()\n"
            'model = timm.create_model("local-dir:path/to/this/folder", pretrained=True)\n```'
        )
    if ARTIFACT in sizes and network.about.task != "features":
        parts.append(f"```sh\notoyol serve {ARTIFACT}\n```")
    return "\n\n".join(parts)


def _files(sizes: Mapping[str, int]) -> str:
    rows = [(f"`{name}`", f"{size:,}", TOLD[name]) for name, size in sizes.items() if name != CARD]
    table = _table(("file", "bytes", "what it is"), rows)
    return f"## Files\n\n{table}\n\nWritten by `otoyol share`, version {__version__}."


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _line(text: str) -> str:
    """Somebody's words in Markdown: one line, no markup of theirs."""
    plain = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in plain)[:300]
