"""Every family as a timm model, ``otoyol_<family>``, any design as ``otoyol_design``: importing this registers them.

``otoyol_design`` is what a shared folder's config.json names, so that timm's ``local-dir:`` and ``hf-hub:`` find it.
timm looks for models nowhere but in its registry: something has to import this first. Needs timm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from otoyol.errors import MissingExtraError, SpecError
from otoyol.nn.backbone import Backbone
from otoyol.nn.build import build
from otoyol.nn.features import FeatureBackbone
from otoyol.nn.published import default_cfg
from otoyol.spec import FAMILIES, Spec, family, from_mapping, parse
from otoyol.spec.data import loads

try:
    from timm.models import generate_default_cfgs, load_pretrained, register_model
except ModuleNotFoundError as error:
    raise MissingExtraError("timm", "timm") from error

PREFIX = "otoyol_"
# create_model passes these to every entry point; they are about weights, or choose among timm's feature extractors.
IGNORED = (
    "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "pretrained_model_args", "cache_dir", "scriptable",
    "feature_cls",
)  # fmt: skip
DESIGN = PREFIX + "design"
WEIGHTS = "model.safetensors"  # the one file that weights are taken from: timm would fall back on pickles

default_cfgs = generate_default_cfgs({PREFIX + name: default_cfg(family(name)) for name in FAMILIES})
__all__: list[str] = []  # timm's decorator adds the models


def _entry_point(name: str) -> Callable[..., Backbone | FeatureBackbone]:
    def entry_point(pretrained: bool = False, **options: Any) -> Backbone | FeatureBackbone:
        if pretrained:
            raise SpecError("pretrained", True, "False; load a checkpoint with otoyol.weights.load")
        return _built(family(name), options)

    entry_point.__name__ = entry_point.__qualname__ = PREFIX + name
    entry_point.__doc__ = f"Otoyol's {name}."
    return entry_point


def _built(spec: Spec, options: dict[str, Any]) -> Backbone | FeatureBackbone:
    options = {key: value for key, value in options.items() if key not in IGNORED}
    try:
        return build(spec, **options)
    except TypeError as error:
        raise SpecError("options", ", ".join(sorted(options)), f"those of otoyol.nn.build ({error})") from None


def otoyol_design(
    spec: str = "", pretrained: bool = False, pretrained_cfg: Mapping[str, Any] | None = None,
    cache_dir: str | None = None, **options: Any,
) -> Backbone | FeatureBackbone:  # fmt: skip
    """Any design by its text form, ``spec``. ``pretrained`` takes a shared folder's weights, from safetensors alone;
    another ``num_classes`` starts its classifier afresh, as timm does."""
    if not isinstance(spec, str) or not spec:
        raise SpecError("spec", spec, "a design's text form, such as resnet50@attention=se")
    model = _built(from_mapping(loads(spec, ".json")) if spec.startswith("{") else parse(spec), options)
    found = {**model.default_cfg, **(pretrained_cfg or {}), "architecture": DESIGN}
    if pretrained:
        source, folder = found.get("source"), Path(str(found.get("file")))
        if source == "local-dir" and not (folder / WEIGHTS).is_file():
            raise SpecError("local-dir", str(folder), f"a folder with {WEIGHTS}; nothing else is read")
        if source not in ("local-dir", "hf-hub"):
            raise SpecError("pretrained", True, "with local-dir:FOLDER or hf-hub:NAME, which say where the weights are")
        found["hf_hub_filename"] = WEIGHTS
        classes = 0 if isinstance(model, FeatureBackbone) else model.num_classes
        channels = model.spec.input.channels
        load_pretrained(model, found, num_classes=classes, in_chans=channels, cache_dir=cache_dir)
    model.default_cfg = model.pretrained_cfg = found
    return model


def register() -> list[str]:
    """The names under which designs stand in timm."""
    return [*(PREFIX + name for name in FAMILIES), DESIGN]


for _name in FAMILIES:
    register_model(_entry_point(_name))
register_model(otoyol_design)
