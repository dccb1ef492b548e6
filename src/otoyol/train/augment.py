"""What is done to a training image, from torchvision's v2 transforms, and to a training batch.

All of it draws from torch's global generator, which the engine seeds: an image's from (seed, epoch, index), a batch's
from (seed, step, rank, pass).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from otoyol.errors import SpecError
from otoyol.spec import Input
from otoyol.train.config import Factor, Part, Positive, Share, Whole

Change = Callable[[Tensor], Tensor]
GREY = 127  # what fills an erased rectangle: the middle, near 0 once normalised


class Ranges(Part):
    """Where two numbers are a range, the lower one comes first."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and value[0] > value[1]:
                raise SpecError(f"augment.{type(self).__name__.lower()}.{name}", list(value), "the lower number first")
        return self


class Crop(Ranges):
    """``pad``: ``padding`` black pixels on every side, then a crop of the input's size anywhere (He et al. 2015,
    section 4.2). ``resized``: a part of the image of random area and shape, scaled to the input (Szegedy et al. 2014,
    1409.4842)."""

    kind: Literal["pad", "resized"] = "pad"
    padding: Whole = 4
    scale: tuple[Positive, Positive] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)


class Affine(Ranges):
    """Rotation by up to ``degrees``, shift by up to ``translate`` of the size, ``scale`` from a range, ``shear``."""

    degrees: Factor = 0.0
    translate: Share = 0.0
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    shear: Factor = 0.0


class Elastic(Part):
    """Every pixel moved a little (Simard et al. 2003): displacements with a deviation of about ``strength``
    pixels, alike over ``smooth`` pixels."""

    strength: Positive = 1.0
    smooth: Positive = 3.0


class Policy(Part):
    """``rand``: RandAugment (Cubuk et al. 2019, 1909.13719), ``ops`` of ``magnitude``. ``trivial``: TrivialAugmentWide
    (Müller and Hutter 2021, 2103.10158). ``auto``: AutoAugment (Cubuk et al. 2018, 1805.09501) as learnt on ``of``."""

    name: Literal["rand", "trivial", "auto"]
    ops: Whole = 2
    magnitude: Annotated[int, Field(ge=0, le=30, strict=True)] = 9
    of: Literal["imagenet", "cifar10", "svhn"] = "imagenet"


class Jitter(Part):
    """Changes of colour by up to these factors."""

    brightness: Factor = 0.0
    contrast: Factor = 0.0
    saturation: Factor = 0.0
    hue: Annotated[float, Field(ge=0.0, le=0.5, strict=True)] = 0.0


class Augment(Part):
    """Applied in this order; ``flip`` (left to right) and ``erase`` (Zhong et al. 2017, 1708.04896) are probabilities.
    Without a ``crop`` the image is scaled to cover the input and cropped at the centre."""

    crop: Crop | None = None
    flip: Share = 0.0
    affine: Affine | None = None
    elastic: Elastic | None = None
    policy: Policy | None = None
    jitter: Jitter | None = None
    erase: Share = 0.0


class Mix(Part):
    """Pairs of a batch's images mixed, by the parameter α of a Beta distribution: ``mixup`` (Zhang et al. 2017,
    1710.09412), ``cutmix`` (Yun et al. 2019, 1905.04899), one of both at even chance where both are above 0.
    ``share``: of the batches."""

    mixup: Factor = 0.0
    cutmix: Factor = 0.0
    share: Share = 1.0


def make_augment(augment: Augment, image: Input) -> Change:
    """The change of one uint8 image (1 or 3, h, w) to (1 or 3, height, width) of the input."""
    from torchvision.transforms import v2

    changes: list[Change] = []
    if (crop := augment.crop) is not None:
        if crop.kind == "resized":
            size = [image.height, image.width]
            changes.append(v2.RandomResizedCrop(size, scale=crop.scale, ratio=crop.ratio, antialias=True))
        else:
            changes.append(_PadCrop(crop.padding))
    if augment.flip:
        changes.append(_Flip(augment.flip))
    if (affine := augment.affine) is not None:
        changes.append(
            v2.RandomAffine(
                degrees=affine.degrees,
                translate=(affine.translate,) * 2,
                scale=affine.scale,
                shear=affine.shear or None,
                interpolation=v2.InterpolationMode.BILINEAR,
            )
        )
    if (elastic := augment.elastic) is not None:
        if 4 * elastic.smooth >= min(image.height, image.width):  # torch cannot reflect more than an image has
            raise SpecError("augment.elastic.smooth", elastic.smooth, "less than a quarter of the input's shorter side")
        # torchvision's noise of [-1, 1], blurred, times alpha / 2 in pixels, has a deviation near alpha / (10 · sigma)
        alpha = 10 * elastic.smooth * elastic.strength
        changes.append(v2.ElasticTransform(alpha=alpha, sigma=elastic.smooth))
    if (policy := augment.policy) is not None:
        changes.append(_policy(policy))
    if (jitter := augment.jitter) is not None:
        changes.append(v2.ColorJitter(**jitter.model_dump()))
    if augment.erase:
        changes.append(v2.RandomErasing(augment.erase, value=GREY))
    return _InTurn(changes)


class _InTurn:
    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes

    def __call__(self, x: Tensor) -> Tensor:
        for change in self.changes:
            x = change(x)
        return x


class _PadCrop:
    """torchvision's RandomCrop(size, padding) without the time that its generality takes."""

    def __init__(self, padding: int) -> None:
        self.padding = padding

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        top, left = torch.randint(0, 2 * self.padding + 1, (2,)).tolist()
        return nn.functional.pad(x, [self.padding] * 4)[..., top : top + height, left : left + width]


class _Flip:
    """torchvision's RandomHorizontalFlip, likewise."""

    def __init__(self, chance: float) -> None:
        self.chance = chance

    def __call__(self, x: Tensor) -> Tensor:
        return x.flip(-1) if torch.rand(()).item() < self.chance else x


def _policy(policy: Policy) -> Change:
    from torchvision.transforms import v2

    if policy.name == "rand":
        made: Any = v2.RandAugment(policy.ops, policy.magnitude)
    elif policy.name == "trivial":
        made = v2.TrivialAugmentWide()
    else:
        made = v2.AutoAugment(v2.AutoAugmentPolicy(policy.of))
    change: Change = made
    return change


def make_mix(mix: Mix, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(images, labels) → (images, labels or, mixed, probabilities (N, classes))."""
    from torchvision.transforms import v2

    made: list[Any] = []
    if mix.mixup:
        made.append(v2.MixUp(alpha=mix.mixup, num_classes=classes))
    if mix.cutmix:
        made.append(v2.CutMix(alpha=mix.cutmix, num_classes=classes))

    def mixed(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if not made or (mix.share < 1 and torch.rand(()).item() >= mix.share):
            return images, labels
        which = made[int(torch.randint(len(made), ()))] if len(made) > 1 else made[0]
        x, target = which(images, labels)
        return x, target.to(images.dtype)

    return mixed
