"""The methods of ``minimize`` and ``least_squares`` as optimizers with ``step(closure)``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.errors import UsageError
from microgradopt.optim.solvers import methods
from microgradopt.optim.solvers.directions import Direction, lbfgs
from microgradopt.optim.solvers.globalisers import FixedRate, Globaliser, StrongWolfe
from microgradopt.optim.solvers.methods import Pair
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.stepping import ClosureOptimizer

__all__ = [
    "BFGS", "LBFGS", "ClosureOptimizer", "ConjugateGradient", "GaussNewton", "LevenbergMarquardt",
    "Newton", "NewtonCG", "TrustRegionNewtonCG",
]  # fmt: skip


class LBFGS(ClosureOptimizer):
    """L-BFGS with torch's names, defaults and formulas.

    Args:
        params: parameters, or pairs (name, parameter).
        lr: the rate of a step without line search; the first is lr·min(1, 1/Σ|g|).
        max_iter: iterations of each ``step``.
        tolerance_grad, tolerance_change: see :class:`ClosureOptimizer`.
        history_size: how many steps are remembered.
        line_search_fn: None, or "strong_wolfe", which is the better choice for full batches.

    >>> import microgradopt as mg
    >>> x = mg.Tensor([-1.2, 1.0])
    >>> optimizer = mg.optim.LBFGS([x], line_search_fn="strong_wolfe")
    >>> for _ in range(3):
    ...     loss = optimizer.step(lambda: 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2)
    >>> x.data.round(6)
    array([1., 1.])
    """

    samples = ({"line_search_fn": "strong_wolfe"}, {"lr": 0.5, "max_iter": 5})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if line_search_fn not in (None, "strong_wolfe"):
            raise UsageError(
                f"LBFGS: line_search_fn must be 'strong_wolfe' or None, got {line_search_fn!r}"
            )
        direction = lbfgs.LBFGS(history_size)
        globaliser: Globaliser = StrongWolfe() if line_search_fn else _Rate(lr, direction)
        super().__init__(
            params,
            Pair(direction, globaliser),
            max_iter=max_iter,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
        )


class _Rate(FixedRate):
    """A fixed rate, but for the first step: nothing is known of its length yet."""

    def __init__(self, lr: float, direction: Direction) -> None:
        check_number("LBFGS", "lr", lr)
        self.direction = direction
        super().__init__(lr)

    def rate(self, point: Point) -> float:
        rate = super().rate(point)
        return rate if self.direction.natural else rate * min(1.0, 1.0 / _taxicab(point))


def _taxicab(point: Point) -> float:
    return float(np.abs(point.gradient).sum())


class BFGS(ClosureOptimizer):
    """BFGS with a line search for the strong Wolfe conditions; see ``minimize``'s "bfgs"."""

    def __init__(self, params: Iterable[Any], max_iter: int = 20, **options: Any) -> None:
        super().__init__(params, methods.bfgs(**options), max_iter=max_iter)


class ConjugateGradient(ClosureOptimizer):
    """Nonlinear conjugate gradients; see ``minimize``'s "cg"."""

    def __init__(self, params: Iterable[Any], max_iter: int = 20, **options: Any) -> None:
        super().__init__(params, methods.cg(**options), max_iter=max_iter)


class Newton(ClosureOptimizer):
    """Newton's method on the whole Hessian, (n, n): for small networks; see "newton"."""

    def __init__(self, params: Iterable[Any], max_iter: int = 1, **options: Any) -> None:
        super().__init__(params, methods.newton(**options), max_iter=max_iter)


class NewtonCG(ClosureOptimizer):
    """Newton's method on products with the Hessian; see ``minimize``'s "newton-cg"."""

    def __init__(self, params: Iterable[Any], max_iter: int = 1, **options: Any) -> None:
        super().__init__(params, methods.newton_cg(**options), max_iter=max_iter)


class TrustRegionNewtonCG(ClosureOptimizer):
    """The same within a trust region, which stays from step to step; see "trust-ncg"."""

    def __init__(self, params: Iterable[Any], max_iter: int = 1, **options: Any) -> None:
        super().__init__(params, methods.trust_ncg(**options), max_iter=max_iter)


class GaussNewton(ClosureOptimizer):
    """Gauss–Newton with backtracking; the closure returns residuals.

    Raises:
        LinAlgError: at a step, where the Jacobian does not have full column rank.
    """

    def __init__(self, params: Iterable[Any], max_iter: int = 1, **options: Any) -> None:
        super().__init__(params, methods.gauss_newton(**options), max_iter=max_iter)


class LevenbergMarquardt(ClosureOptimizer):
    """Levenberg–Marquardt: the fastest for small networks with squared errors.

    The closure returns residuals, such as ``model(X) - y``, not their squares; ½Σr² falls. The
    damping stays from step to step. Memory is that of the Jacobian, residuals × parameters.

    Args:
        params: parameters, or pairs (name, parameter).
        max_iter: iterations of each ``step``.
        options: ``start`` and ``acceleration``, see :class:`optim.globalisers.Damping`.

    >>> import numpy as np, microgradopt as mg
    >>> t = np.linspace(-1.0, 1.0, 41)[:, None]
    >>> net = mg.nn.MLP(1, [5, 1], activation=mg.tanh, rng=0)
    >>> optimizer = mg.optim.LevenbergMarquardt(net.parameters())
    >>> losses = [optimizer.step(lambda: net(t) - np.sin(np.pi * t)) for _ in range(20)]
    >>> print(losses[-1] < 0.01)
    True
    """

    def __init__(self, params: Iterable[Any], max_iter: int = 1, **options: Any) -> None:
        super().__init__(params, methods.lm(**options), max_iter=max_iter)
