"""Families: plain functions and rows of numbers. ``FAMILIES["resnet50"]()`` is a spec.

Names are torchvision's and timm's where they have one, He's for CIFAR. ``resnetv1_50`` is the paper's ResNet-50
(stride on the first 1×1), ``resnet50`` torchvision's and timm's (stride on the 3×3, "v1.5").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from otoyol.errors import SpecError
from otoyol.spec.model import Spec

Depths = tuple[int, ...]


def imagenet(
    family: str,
    depths: Depths,
    block: str = "bottleneck",
    widths: Depths = (64, 128, 256, 512),
    **choices: Any,
) -> Spec:
    """Four stages of strides 1, 2, 2, 2 behind a stride-4 stem, 224×224, 1000 classes (He et al. 2015, Table 1)."""
    stages = _stages(depths, widths, (1, 2, 2, 2))
    return Spec(family=family, stages=stages, block=block, **choices)


def resnetv2(family: str, depths: Depths, block: str = "bottleneck-v2", stem: str = "imagenet", **choices: Any) -> Spec:
    """Pre-activation (He et al. 2016) as timm builds it: a bare stem, projections that read the pre-activated input."""
    spec = imagenet(family, depths, block, stem=stem, **choices)
    return spec.model_copy(update={"stem": {**spec.stem.model_dump(), "activated": False}})


def resnext(family: str, depths: Depths, groups: int, group_width: int, **choices: Any) -> Spec:
    """ResNeXt (Xie et al. 2017): inner width groups × group_width in the first stage, output as ResNet's."""
    widths = tuple(groups * group_width * 2**i for i in range(4))
    return imagenet(family, depths, widths=widths, expansion=f"256/{widths[0]}", groups=groups, **choices)


def cifar(family: str, depth: int, block: str, shortcut: str = "A", **choices: Any) -> Spec:
    """He et al. 2015, section 4.2: 3×3 stem of 16, three stages of 16, 32, 64, 32×32, 10 classes.

    A basic net of depth 6n+2 has n blocks a stage, a bottleneck net of depth 9n+2 likewise (He et al. 2016).
    """
    per_block = 9 if block.startswith("bottleneck") else 6
    n = (depth - 2) // per_block
    stages = _stages((n, n, n), (16, 32, 64), (1, 2, 2))
    return Spec(
        family=family, input="3x32x32", stem="cifar", stages=stages, block=block,
        shortcut=choices.pop("shortcut_fields", {"kind": shortcut}), head=10, zero_init=False, **choices,
    )  # fmt: skip


def wrn(family: str, depth: int, k: int, **choices: Any) -> Spec:
    """Wide ResNet (Zagoruyko & Komodakis 2016, Table 1): depth 6n+4, widths 16k, 32k, 64k, pre-activation."""
    n = (depth - 4) // 6
    stages = _stages((n, n, n), (16 * k, 32 * k, 64 * k), (1, 2, 2))
    stem = {"kernels": (3,), "widths": (16,), "strides": (1,), "activated": False, "pool": "none"}
    return Spec(family=family, input="3x32x32", stem=stem, stages=stages, block="basic-v2", head=10, **choices)


def custom() -> Spec:
    """The smallest spec: where the text form of a design from no family starts."""
    return Spec(stages=_stages((1,), (64,), (1,)))


def _stages(depths: Depths, widths: Depths, strides: Depths) -> list[dict[str, int]]:
    return [{"depth": d, "width": w, "stride": s} for d, w, s in zip(depths, widths, strides, strict=True)]


IMAGENET_DEPTHS: dict[int, Depths] = {
    18: (2, 2, 2, 2), 26: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
    152: (3, 8, 36, 3), 200: (3, 24, 36, 3), 269: (3, 30, 48, 8),
}  # fmt: skip
BASIC = {18, 34}
CIFAR_BASIC = (20, 32, 44, 56, 110, 1202)
CIFAR_BOTTLENECK = (164, 1001)

# He et al. 2016, Table 1, ResNet-110.
HE2016_SHORTCUTS: dict[str, dict[str, Any]] = {
    "scale": {"kind": "A", "gate": "scale", "scale": 0.5, "branch_scale": 1.0},
    "scale_both": {"kind": "A", "gate": "scale", "scale": 0.5, "branch_scale": 0.5},
    "exclusive": {"kind": "A", "gate": "exclusive", "gate_bias": -6.0},
    "shortcut_only": {"kind": "A", "gate": "shortcut-only", "gate_bias": -6.0},
    "conv": {"kind": "C"},
    "dropout": {"kind": "A", "gate": "dropout", "dropout": 0.5},
}
# He et al. 2016, Fig. 4 (b), (c), (d); (a) is v1 and (e) is v2.
HE2016_ORDERINGS = ("bn_after", "relu_before", "relu_preact")


def _families() -> dict[str, Callable[[], Spec]]:
    rows: dict[str, Callable[[], Spec]] = {}

    def add(name: str, build: Callable[..., Spec], *args: Any, **choices: Any) -> None:
        rows[name] = partial(build, name, *args, **choices)

    for depth in (18, 34, 50, 101, 152):
        layers, kind = IMAGENET_DEPTHS[depth], "basic" if depth in BASIC else "bottleneck"
        add(f"resnet{depth}", imagenet, layers, kind)
        add(f"resnetv1_{depth}", imagenet, layers, kind, stride_at="first")
        add(f"resnet{depth}c", imagenet, layers, kind, stem="deep")
        add(f"resnet{depth}d", imagenet, layers, kind, stem="deep", shortcut="D")
        add(f"resnetv2_{depth}", resnetv2, layers, f"{kind}-v2")
        add(f"resnetv2_{depth}d", resnetv2, layers, f"{kind}-v2", stem="deep", shortcut="D")
        add(f"seresnet{depth}", imagenet, layers, kind, attention="se")
    add("resnet26", imagenet, IMAGENET_DEPTHS[26])
    add("resnet26d", imagenet, IMAGENET_DEPTHS[26], stem="deep", shortcut="D")
    add("resnet50t", imagenet, IMAGENET_DEPTHS[50], stem="tiered", shortcut="D")
    add("resnet50_gn", imagenet, IMAGENET_DEPTHS[50], norm="group")
    add("resnet200d", imagenet, IMAGENET_DEPTHS[200], stem="deep", shortcut="D")
    add("resnetv2_50t", resnetv2, IMAGENET_DEPTHS[50], stem="tiered", shortcut="D")
    add("resnetv2_200", resnetv2, IMAGENET_DEPTHS[200])

    add("resnext50_32x4d", resnext, IMAGENET_DEPTHS[50], 32, 4)
    add("resnext50d_32x4d", resnext, IMAGENET_DEPTHS[50], 32, 4, stem="deep", shortcut="D")
    add("resnext101_32x4d", resnext, IMAGENET_DEPTHS[101], 32, 4)
    add("resnext101_32x8d", resnext, IMAGENET_DEPTHS[101], 32, 8)
    add("resnext101_64x4d", resnext, IMAGENET_DEPTHS[101], 64, 4)
    add("wide_resnet50_2", imagenet, IMAGENET_DEPTHS[50], widths=(128, 256, 512, 1024), expansion=2)
    add("wide_resnet101_2", imagenet, IMAGENET_DEPTHS[101], widths=(128, 256, 512, 1024), expansion=2)

    add("seresnet50t", imagenet, IMAGENET_DEPTHS[50], stem="tiered", shortcut="D", attention="se")
    add("seresnext50_32x4d", resnext, IMAGENET_DEPTHS[50], 32, 4, attention="se")
    add("seresnext101_32x4d", resnext, IMAGENET_DEPTHS[101], 32, 4, attention="se")
    add("seresnext101_32x8d", resnext, IMAGENET_DEPTHS[101], 32, 8, attention="se")
    for depth in (152, 200, 269):
        add(f"seresnet{depth}d", imagenet, IMAGENET_DEPTHS[depth], stem="deep", shortcut="D", attention="se")
    for depth in (50, 101, 200, 269):
        add(f"ecaresnet{depth}d", imagenet, IMAGENET_DEPTHS[depth], stem="deep", shortcut="D", attention="eca")
    for depth in (26, 50):
        add(f"ecaresnet{depth}t", imagenet, IMAGENET_DEPTHS[depth], stem="tiered", shortcut="D", attention="eca")
    add("ecaresnetlight", imagenet, (1, 1, 11, 3), shortcut="D", attention="eca")

    for depth in CIFAR_BASIC + CIFAR_BOTTLENECK:
        kind = "basic" if depth in CIFAR_BASIC else "bottleneck"
        add(f"cifar_resnet{depth}", cifar, depth, kind)
        add(f"cifar_resnet{depth}b", cifar, depth, kind, "B")
        add(f"cifar_resnetv2_{depth}", cifar, depth, f"{kind}-v2", "B")
    for depth in (110, 164):
        kind = "basic" if depth in CIFAR_BASIC else "bottleneck"
        for ordering in HE2016_ORDERINGS:
            add(f"cifar_resnet{depth}_{ordering}", cifar, depth, f"{kind}-{ordering.replace('_', '-')}")
    for label, fields in HE2016_SHORTCUTS.items():
        add(f"cifar_resnet110_{label}", cifar, 110, "basic", shortcut_fields=fields)
    add("wrn_28_10", wrn, 28, 10)
    rows["custom"] = custom
    return rows


FAMILIES: dict[str, Callable[[], Spec]] = _families()


def family(name: str) -> Spec:
    """The family's spec. Raises SpecError with the closest names where there is none of that name."""
    try:
        return FAMILIES[name]()
    except KeyError:
        import difflib

        near = difflib.get_close_matches(name[:64], FAMILIES, 3)
        near = near or ["resnet50", "resnetv2_50", "cifar_resnet20"]
        allowed = f"a family such as {', '.join(near)}; see `otoyol families`"
        raise SpecError("family", name, allowed) from None
