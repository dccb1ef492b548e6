"""Every family as a timm model, ``otoyol_<family>``: importing this module registers them. Needs timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otoyol.errors import MissingExtraError, SpecError
from otoyol.nn.backbone import Backbone
from otoyol.nn.build import build
from otoyol.nn.features import FeatureBackbone
from otoyol.nn.published import default_cfg
from otoyol.spec import FAMILIES, family

try:
    from timm.models import generate_default_cfgs, register_model
except ModuleNotFoundError as error:
    raise MissingExtraError("timm", "timm") from error

PREFIX = "otoyol_"
# create_model passes these to every entry point; they are about weights, or choose among timm's feature extractors.
IGNORED = ("pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "cache_dir", "scriptable", "feature_cls")

default_cfgs = generate_default_cfgs({PREFIX + name: default_cfg(family(name)) for name in FAMILIES})
__all__: list[str] = []  # timm's decorator adds the models


def _entry_point(name: str) -> Callable[..., Backbone | FeatureBackbone]:
    def entry_point(pretrained: bool = False, **options: Any) -> Backbone | FeatureBackbone:
        if pretrained:
            raise SpecError("pretrained", True, "False; load a checkpoint with otoyol.weights.load")
        for key in IGNORED:
            options.pop(key, None)
        try:
            return build(family(name), **options)
        except TypeError as error:
            raise SpecError("options", ", ".join(sorted(options)), f"those of otoyol.nn.build ({error})") from None

    entry_point.__name__ = entry_point.__qualname__ = PREFIX + name
    entry_point.__doc__ = f"Otoyol's {name}."
    return entry_point


def register() -> list[str]:
    """The names under which the families stand in timm."""
    return [PREFIX + name for name in FAMILIES]


for _name in FAMILIES:
    register_model(_entry_point(_name))
