"""L-BFGS-B: L-BFGS within bounds."""

from __future__ import annotations

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.directions.lbfgs import LBFGS
from microgradopt.optim.solvers.point import Point


class LBFGSB(LBFGS):
    """Towards the minimiser of a quadratic model over the bounds.

    From the first minimum along the bent path of steepest descent (the Cauchy point) on, over the
    variables that are free there. The model's matrix is B = θI − W·M·Wᵀ of the last ``memory``
    steps. Byrd, Lu, Nocedal and Zhu 1995, "A limited memory algorithm for bound constrained
    optimization"; the minimiser is projected as Morales and Nocedal 2011 do.
    """

    bounded = ("along",)

    def along(self, point: Point) -> Array:
        bounds = point.bounds
        if bounds is None:
            return super().along(point)
        model = Compact(self.steps, self.changes, len(point.x))
        x, g = point.x, point.gradient
        cauchy, c = cauchy_point(x, g, bounds, model)
        free = (cauchy > bounds.lower) & (cauchy < bounds.upper)
        target = cauchy
        if free.any():
            r = (g + model.theta * (cauchy - x) - model.W @ (model.M @ c))[free]
            target = cauchy.copy()
            target[free] += model.solved(free, -r)
        p = bounds.clip(target) - x
        if float(p @ g) >= 0.0:  # the projection has turned it uphill
            step = target - cauchy
            p = cauchy + min(1.0, bounds.reach(cauchy, step)) * step - x
        return p

    def longest(self, point: Point, p: Array) -> float:
        if point.bounds is None:
            return np.inf
        return max(point.bounds.reach(point.x, p), 1.0)  # to 1 it is inside but for rounding


class Compact:
    """B = θI − W·M·Wᵀ, with W = [Y, θS] of shape (n, 2k); equation 3.2 of the paper."""

    def __init__(self, steps: list[Array], changes: list[Array], n: int) -> None:
        if not steps:
            self.theta, self.W, self.M = 1.0, np.zeros((n, 0)), np.zeros((0, 0))
            return
        S, Y = np.stack(steps, 1), np.stack(changes, 1)
        s, y = S[:, -1], Y[:, -1]
        self.theta = float(y @ y) / float(s @ y)
        self.W = np.hstack([Y, self.theta * S])
        SY = S.T @ Y
        L = np.tril(SY, -1)
        inner = np.block([[-np.diag(np.diag(SY)), L.T], [L, self.theta * (S.T @ S)]])
        self.M = np.linalg.inv(inner)

    def solved(self, free: Array, r: Array) -> Array:
        """B⁻¹r over the free variables, by the formula of Sherman, Morrison and Woodbury."""
        W = self.W[free]
        inner = np.eye(len(self.M)) - self.M @ (W.T @ W) / self.theta
        v = np.linalg.solve(inner, self.M @ (W.T @ r)) if len(self.M) else self.M @ (W.T @ r)
        return r / self.theta + (W @ v) / self.theta**2


def cauchy_point(x: Array, g: Array, bounds: Bounds, model: Compact) -> tuple[Array, Array]:
    """The first minimum of the model along the projected path x − t·g; algorithm CP.

    Returns:
        The point z, and Wᵀ(z − x).
    """
    theta, W, M = model.theta, model.W, model.M
    breaks = _breaks(x, g, bounds)
    d = np.where(breaks > 0.0, -g, 0.0)
    p, c, z = W.T @ d, np.zeros(W.shape[1]), x.copy()
    slope = -float(d @ d)
    bend = -theta * slope - float(p @ (M @ p))
    t = 0.0
    order = np.argsort(breaks, kind="stable")
    for b in order[breaks[order] > 0.0].tolist():
        room = breaks[b] - t
        if not np.isfinite(room) or slope >= 0.0 or -slope < bend * room:
            break  # the minimum is before this bound is met
        t = float(breaks[b])
        z[b] = bounds.upper[b] if d[b] > 0.0 else bounds.lower[b]
        c = c + room * p
        w, gb = W[b], float(g[b])
        Mw = M @ w
        slope += room * bend + gb * gb + theta * gb * float(z[b] - x[b]) - gb * float(Mw @ c)
        bend -= theta * gb * gb + 2.0 * gb * float(Mw @ p) + gb * gb * float(Mw @ w)
        p, d[b] = p + gb * w, 0.0
    rest = max(-slope / bend, 0.0) if bend > 0.0 else 0.0
    moving = d != 0.0
    z[moving] = x[moving] + (t + rest) * d[moving]
    return z, c + rest * p


def _breaks(x: Array, g: Array, bounds: Bounds) -> Array:
    """At which t each variable of x − t·g meets a bound."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(g < 0.0, (x - bounds.upper) / g, (x - bounds.lower) / g)
    return np.where(g == 0.0, np.inf, t)
