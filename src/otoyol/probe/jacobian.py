"""Singular values of a block's Jacobian, without forming it unless it is tiny.

One graph of x → y gives Jᵀu by backward, and Jv as the derivative of Jᵀu with respect to u ("double backward").
Golub and Kahan's bidiagonalisation with full reorthogonalisation (Golub & Van Loan, Matrix Computations, 10.4.1) spans
the same Krylov space as power iteration and finds more in it: the bidiagonal matrix's largest singular value never
exceeds J's and is never worse than power iteration's, its smallest is never below J's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from otoyol.probe.place import set_chance
from otoyol.probe.result import Singular

EXACT = 256  # numbers in x and in y up to which the whole Jacobian is formed


class Jacobian:
    """dy/dx of ``block`` at x (N, C, H, W), as two products. In train mode it couples the images of the batch, as
    batch norm does."""

    def __init__(self, block: nn.Module, x: Tensor, chance: Tensor | None = None) -> None:
        self.x = x.detach().clone().requires_grad_()
        if chance is not None:
            set_chance(x.device, chance)
        wanted = [parameter for parameter in block.parameters() if parameter.requires_grad]
        for parameter in wanted:
            parameter.requires_grad_(False)
        try:
            self.y = block(self.x)
        finally:
            for parameter in wanted:
                parameter.requires_grad_(True)
        self._u = torch.zeros_like(self.y, requires_grad=True)
        (self._pulled,) = torch.autograd.grad(self.y, self.x, self._u, create_graph=True)

    def pull(self, u: Tensor) -> Tensor:
        """Jᵀu."""
        return torch.autograd.grad(self.y, self.x, u, retain_graph=True)[0]

    def push(self, v: Tensor) -> Tensor:
        """Jv."""
        return torch.autograd.grad(self._pulled, self._u, v, retain_graph=True)[0]


def singular_values(
    block: nn.Module, x: Tensor, steps: int = 8, seed: int = 0, chance: Tensor | None = None
) -> Singular:
    """Estimates for ``block`` (a copy: its buffers move) at x, from a start drawn with ``seed``."""
    jacobian = Jacobian(block, x, chance)
    if max(jacobian.x.numel(), jacobian.y.numel()) <= EXACT:
        return _exact(jacobian)
    return _golub_kahan(jacobian, steps, seed)


def _exact(jacobian: Jacobian) -> Singular:
    rows = torch.eye(jacobian.y.numel(), dtype=jacobian.y.dtype, device=jacobian.y.device)
    matrix = torch.stack([jacobian.pull(row.view_as(jacobian.y)).flatten() for row in rows])
    found = torch.linalg.svdvals(matrix.double())
    values = (*found.tolist(), *[0.0] * (jacobian.x.numel() - len(found)))
    rms = float((found**2).sum() / jacobian.x.numel()) ** 0.5
    return Singular("svd", 0, values[0], values[-1], rms, 0.0, values, (1 / len(values),) * len(values))


def _golub_kahan(jacobian: Jacobian, steps: int, seed: int) -> Singular:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(jacobian.x.shape, generator=generator, dtype=torch.float64).to(jacobian.x)
    right = [start / torch.linalg.vector_norm(start)]
    left: list[Tensor] = []
    alphas: list[float] = []
    betas: list[float] = []
    before = 0.0
    while True:
        u = jacobian.push(right[-1])
        if left:
            u = u - betas[-1] * left[-1]
        u = _against(u, left)
        alphas.append(float(torch.linalg.vector_norm(u)))
        if len(alphas) == steps or alphas[-1] <= _nothing(alphas, betas):
            break
        left.append(u / alphas[-1])
        before = float(torch.linalg.svdvals(_bidiagonal(alphas, betas))[0])
        v = _against(jacobian.pull(left[-1]) - alphas[-1] * right[-1], right)
        beta = float(torch.linalg.vector_norm(v))
        if beta <= _nothing(alphas, betas):
            break  # the space is closed under J: nothing more can be found from this start
        betas.append(beta)
        right.append(v / beta)
    _, found, turned = torch.linalg.svd(_bidiagonal(alphas, betas))
    values = tuple(found.tolist())
    change = abs(values[0] - before) / values[0] if values[0] and len(values) > 1 else 0.0
    weights = tuple((turned[:, 0] ** 2).tolist())
    return Singular("golub-kahan", len(values), values[0], values[-1], alphas[0], change, values, weights)


def _bidiagonal(alphas: list[float], betas: list[float]) -> Tensor:
    """Upper bidiagonal: α on the diagonal, β above it."""
    size = len(alphas)
    above = torch.tensor(betas[: size - 1], dtype=torch.float64)
    return torch.diag(torch.tensor(alphas, dtype=torch.float64)) + torch.diag(above, 1)


def _against(vector: Tensor, basis: list[Tensor]) -> Tensor:
    """``vector`` made orthogonal to ``basis``, twice, for one time is not enough in floating point."""
    for _ in range(2):
        for other in basis:
            vector = vector - (vector * other).sum() * other
    return vector


def _nothing(alphas: list[float], betas: list[float]) -> float:
    return 1e-7 * max([*alphas, *betas])
