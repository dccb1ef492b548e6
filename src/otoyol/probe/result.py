"""What probes find: frozen, plain figures with their place in the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Singular:
    """Singular values of a block's Jacobian dy/dx over the whole batch, at the point measured: one for each dimension
    of x, so that a block with fewer outputs than inputs has zeros among them.

    ``method`` is ``svd`` (the whole Jacobian, all values) or ``golub-kahan`` (``steps`` steps from one random start):
    then ``largest`` is a lower bound of the true one, ``smallest`` an upper bound, ``change`` the relative change of
    ``largest`` in the last step, and ``values`` with ``weights`` approximate the distribution as a Gauss quadrature
    (the weights sum to 1). ``rms`` is the root mean square of all of them: exact
    with ``svd``, else the gain ‖Jv‖ / ‖v‖ of the random start, whose square has that mean.
    """

    method: str
    steps: int
    largest: float
    smallest: float
    rms: float
    change: float
    values: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class BlockFigures:
    """One block on one batch. Norms are Euclidean over the whole batch; means and variances over all its values.

    ``grad_in`` and ``grad_out``: ‖dE/dx‖ and ‖dE/dy‖. ``skip_grad`` and ``branch_grad``: the parts of dE/dx that come
    back through the shortcut and through F; they add up to dE/dx. ``skip_share``: the skip part's projection on dE/dx
    as a fraction of it, ⟨skip, dE/dx⟩ / ‖dE/dx‖², so that the two shares sum to 1 (either can leave 0…1 where the
    parts oppose each other). ``grad_cosine``: between the two parts. ``weight_grad`` and ``weight_norm``: of all
    convolution and linear weights. ``cosine``: between x and y, None where shapes differ. None stands where a figure
    has no meaning (a zero vector has no direction, a block without shortcut no skip).

    ``silent``: F puts out zeros alone. ``dead``: besides, none of its parameters, norms' gains and shifts included,
    receives a gradient, so that gradient descent cannot revive it.
    """

    name: str
    stage: int
    block: int
    pure: bool
    grad_in: float
    grad_out: float
    skip_grad: float | None
    branch_grad: float
    skip_share: float | None
    grad_cosine: float | None
    weight_grad: float
    weight_norm: float
    mean_in: float
    var_in: float
    var_branch: float
    mean_out: float
    var_out: float
    cosine: float | None
    silent: bool
    dead: bool
    jacobian: Singular | None


@dataclass(frozen=True)
class NormFigures:
    """One batch norm: its gain and shift, the statistics it has stored, and those of the batch at its input.

    Variances are means and extremes over channels; ``stored`` figures are None where nothing is stored.
    """

    name: str
    gain_mean: float
    gain_min: float
    gain_max: float
    shift_mean: float
    stored_mean: float | None
    stored_var: float | None
    batch_mean: float
    batch_var: float
    batch_var_min: float
    batch_var_max: float


@dataclass(frozen=True)
class DeadChannels:
    """Channels of one activation that are zero for every image and position of the batch."""

    name: str
    channels: int
    dead: int


@dataclass(frozen=True)
class Problem:
    """A NaN or an infinity. ``what``: ``input``, ``activation``, ``gradient``, ``loss`` or ``weight``; ``where``: the
    block (or ``stem``, ``head``) where it is first met, in the direction of travel; ``step``: training steps done."""

    what: str
    where: str
    step: int


@dataclass(frozen=True)
class Snapshot:
    """The network after ``step`` training steps, on one batch of ``images`` images. ``mode``: train (batch norm by the
    batch's statistics) or eval. After a problem there are no figures."""

    step: int
    images: int
    mode: str
    loss: float | None
    blocks: tuple[BlockFigures, ...]
    norms: tuple[NormFigures, ...]
    dead: tuple[DeadChannels, ...]
    problem: Problem | None = None


@dataclass(frozen=True)
class Stretch:
    """Consecutive blocks x' = λx + F(x) with nothing else on the path, verified in float64.

    ``first`` and ``last`` name blocks; ``factor`` is the product of λ (1 for pure identities). Residuals are relative:
    ``forward`` of Eq. 4, ‖x_L − (factor·x_l + ΣF̂)‖ / ‖x_L‖, and ``backward`` of Eq. 5 (Eq. 8 with λ),
    ‖dE/dx_l − (factor·dE/dx_L + (d/dx_l ΣF̂)ᵀ dE/dx_L)‖ / ‖dE/dx_l‖; F̂ carries the λ of the blocks behind it.
    ``direct_share``: the projection of the direct term factor·dE/dx_L on dE/dx_l, as a fraction of it.
    """

    first: str
    last: str
    length: int
    factor: float
    forward: float
    backward: float
    direct_share: float | None


@dataclass(frozen=True)
class Lesion:
    """Accuracy over ``images`` images with one block removed; ``accuracy`` is None where it cannot be: it has no
    shortcut and changes shape. ``kept``: ``identity`` or ``shortcut``, what was left in its place."""

    name: str
    kept: str
    accuracy: float | None


@dataclass(frozen=True)
class LesionStudy:
    """``intact`` and each :class:`Lesion`, in eval mode. ``constant``: what the best answer that never changes scores
    on the same images, the share of the most frequent label."""

    images: int
    intact: float
    constant: float
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True)
class Run:
    """One design with one seed: measured before training and after ``steps`` steps, whose losses stand in ``losses``.

    ``problem`` is what ended the run early; ``skipped`` names images that could not be read.
    """

    spec: str
    seed: int
    data: str
    batch: int
    steps: int
    lr: float
    losses: tuple[float, ...]
    snapshots: tuple[Snapshot, ...]
    stretches: tuple[Stretch, ...]
    lesion: LesionStudy | None
    problem: Problem | None
    skipped: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)
