"""config.json: what timm and the Hugging Face hub read of a folder."""

from __future__ import annotations

from typing import Any

from otoyol.nn.published import default_cfg
from otoyol.share.folder import SECTION, About
from otoyol.spec import Spec
from otoyol.weights.files import text_of

ARCHITECTURE = "otoyol_design"  # the timm model that any design is, given its text form


def config(spec: Spec, about: About) -> dict[str, Any]:
    """timm's configuration of a classifier or backbone, with ours beside it; ours alone for a detector.

    timm scales to ``input_size / crop_pct`` and crops at the centre; ``crop_pct`` is our ``crop_share``.
    """
    ours = {SECTION: about.model_dump(mode="json")}
    if about.task == "detection":
        return {"architecture": "otoyol", **ours}
    published = default_cfg(spec)
    taken = ("num_classes", "input_size", "pool_size", "interpolation", "first_conv", "classifier")
    pretrained = {
        **{key: published[key] for key in taken}, "crop_pct": about.crop_share, "crop_mode": "center",
        "mean": list(about.mean), "std": list(about.std),
    }  # fmt: skip
    return {
        "architecture": ARCHITECTURE,
        "num_classes": spec.head.classes,
        **({"label_names": list(about.classes)} if about.classes else {}),
        "model_args": {"spec": text_of(spec)},
        "pretrained_cfg": pretrained,
        **ours,
    }
