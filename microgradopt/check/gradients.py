"""Gradients compared with numerical derivatives: of any function, and of a primitive's rule.

The data: a function under check is turned into one from a list of leaves (floats and arrays) to a
list of leaves, f. A random cotangent u makes it a number, φ(x) = ⟨u, f(x)⟩.

- Reverse mode gives x ↦ Jᵀu = ∇φ(x), which is compared, entry by entry, with differences of φ.
- Forward mode gives x ↦ Jv for a random tangent v; it must satisfy ⟨u, Jv⟩ = ⟨Jᵀu, v⟩, which
  takes no differences and so no step.
- Order 2 does the same to the two functions that order 1 consists of, x ↦ Jᵀu and x ↦ Jv: that is
  reverse over reverse, forward over reverse, reverse over forward and forward over forward.

φ is formed outside the library, so that a wrong rule for a sum cannot excuse itself.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from microgradopt.engine.derive import jvp, vjp
from microgradopt.engine.graph import Node, Primitive
from microgradopt.engine.rules import Differentiable, Elementwise, data_of
from microgradopt.engine.structure import leaves, rebuild
from microgradopt.engine.tensor import Tensor
from microgradopt.engine.value import Value
from microgradopt.errors import GradientError, UsageError
from microgradopt.randomness import RandomSource, as_generator

Leaves: TypeAlias = list[Any]
Flat: TypeAlias = Callable[[Leaves], Leaves]

MODES = ("reverse", "forward")
METHODS = ("central", "complex")
KINK_MARGIN = 0.1  # how far check_rule stays away from points without a derivative
WORST = 5  # how many wrong entries an error lists


class Tolerance(NamedTuple):
    """|claimed − true| may be at most rtol · the larger of the two + atol."""

    rtol: float
    atol: float | None  # None: in proportion to the gradient and to the noise of its differences
    noise: float  # relative rounding noise of the function's values


def check_grads(
    f: Callable[..., Any],
    *args: Any,
    order: int = 1,
    modes: Sequence[str] = MODES,
    method: str = "central",
    rtol: float | None = None,
    atol: float | None = None,
    rng: RandomSource = None,
) -> None:
    """Check the derivatives of ``f`` at ``args`` against numerical ones; silent if they agree.

    Args:
        f: called with nodes, as by :func:`microgradopt.grad`; returns numbers or arrays, which are
            projected on a random direction.
        args: floats, arrays, or lists, tuples and dicts of those.
        order: 1 checks the gradient, 2 also the gradient of the gradient, and so on.
        modes: "reverse", "forward" or both, which are then also checked against each other.
        method: "central" differences, extrapolated to step 0; or "complex", a step along the
            imaginary axis, exact to the last digit, where ``f`` is analytic and works on plain
            complex arrays (orders above 1 use central differences).
        rtol: allowed relative error; 1e-6, or what float32 permits.
        atol: allowed absolute error; when left out, in proportion to the gradient.
        rng: the random directions; the same ones at each call when left out.

    Raises:
        GradientError: naming the argument and index, with the claimed and the numerical
            derivative.
        UsageError: if there is nothing to differentiate, or the complex step does not apply.

    >>> import microgradopt as mg
    >>> check_grads(lambda x, y: mg.sin(x) * y, 0.5, 3.0, order=2)
    """
    _refuse_unknown(order, modes, method)
    places = list(_places(args))
    if not places:
        raise UsageError("check_grads: give at least one number or array to differentiate by")
    xs = [_plain_leaf(x) for x in leaves(args)]

    def flat(values: Leaves) -> Leaves:
        return leaves(f(*rebuild(args, [_as_operand(x) for x in values])))

    generator = as_generator(0 if rng is None else rng)
    _Check(places, modes, rtol, atol, generator).run(flat, xs, order, method, "")


def check_rule(primitive: Primitive, *, rng: RandomSource = None) -> None:
    """Check the rule of one primitive at its ``sample``, in both modes, at orders 1 and 2.

    An elementwise row's sample gives an interval per operand; the points keep away from its
    ``kinks``. Any other row's sample is called with a generator and gives ``(args, params)`` pairs.

    Raises:
        GradientError: naming the primitive, the operand and the entry.
        UsageError: for a primitive that has no derivative, or no sample.
    """
    if not isinstance(primitive, Differentiable):
        raise UsageError(f"check_rule: {primitive!r} has no derivative rule to check")
    if primitive.sample is None:
        raise UsageError(
            f"check_rule: {primitive.name} does not say where to check it; declare it with "
            "sample=, an interval per operand, or rng -> [(args, params), …] if not elementwise"
        )
    generator = as_generator(0 if rng is None else rng)
    for args, params in _samples(primitive, generator):
        chosen = [i for i, x in enumerate(args) if _is_differentiable(primitive, i, x)]

        def of_chosen(*values: Any, args: Any = args, chosen: Any = chosen, params: Any = params) -> Any:
            full = list(args)
            for i, value in zip(chosen, values, strict=True):
                full[i] = value
            return primitive(*full, **params)

        try:
            check_grads(of_chosen, *(args[i] for i in chosen), order=2, rng=generator)
        except GradientError as error:
            shapes = ", ".join(str(np.shape(x)) for x in args)
            raise GradientError(f"{primitive.name} on {shapes}: {error}") from None


# The check


class _Check(NamedTuple):
    places: list[str]  # what to call each leaf
    modes: Sequence[str]
    rtol: float | None
    atol: float | None
    rng: np.random.Generator

    def run(self, f: Flat, xs: Leaves, order: int, method: str, label: str) -> None:
        ys = [data_of(y) for y in f(xs)]
        _refuse_unusable(ys)
        u = [self._direction(y) for y in ys]
        v = [self._direction(x) for x in xs]
        allowed = self._tolerance(xs + ys)
        numeric = _slopes(f, xs, u, method)
        size = sum(float(np.sum(np.abs(c * y))) for c, y in zip(u, ys, strict=True))
        noise = [allowed.noise * size / _scale(x) for x in xs]
        source = "central differences" if method == "central" else "complex step"
        gradient = numeric

        def reverse(values: Leaves) -> Leaves:
            return list(vjp(f, values)[1](u)[0])

        def forward(values: Leaves) -> Leaves:
            return list(jvp(f, (values,), (v,))[1])

        if "reverse" in self.modes:
            gradient = reverse(xs)
            self._compare(gradient, numeric, allowed, noise, f"reverse mode{label}", source)
        if "forward" in self.modes:
            if gradient is numeric:
                source, slack = f"{source} along a direction", allowed.rtol
            else:
                source, slack = "reverse mode (⟨u, Jv⟩ against ⟨Jᵀu, v⟩)", allowed.noise
            self._agree(forward(xs), u, gradient, v, slack, sum(noise), f"forward mode{label}", source)
        if order > 1:
            for mode, derivative in (("reverse", reverse), ("forward", forward)):
                if mode in self.modes:
                    self.run(derivative, xs, order - 1, "central", f"{label} over {mode} mode")

    def _direction(self, like: Any) -> Any:
        """A random direction without small entries, in the form of a leaf."""
        drawn = self.rng.uniform(0.5, 1.5, np.shape(like)) * self.rng.choice([-1.0, 1.0], np.shape(like))
        return drawn.astype(like.dtype) if isinstance(like, np.ndarray) else float(drawn)

    def _tolerance(self, involved: Leaves) -> Tolerance:
        eps = max(float(np.finfo(np.asarray(x).dtype).eps) for x in involved)
        rtol = max(1e-6, 3.0 * eps**0.5) if self.rtol is None else self.rtol
        return Tolerance(rtol, self.atol, max(1e-10, 100.0 * eps))

    def _compare(
        self,
        claimed: Leaves,
        true: Leaves,
        allowed: Tolerance,
        noise: list[float],
        what: str,
        source: str,
    ) -> None:
        """Entry by entry; the error lists the worst."""
        for place, a, n, floor in zip(self.places, claimed, true, noise, strict=True):
            a, n = np.asarray(a, np.float64), np.asarray(n)
            size = np.maximum(np.abs(a), np.abs(n))
            largest = float(np.max(np.abs(n), initial=0.0))
            atol = 0.01 * allowed.rtol * largest + floor if allowed.atol is None else allowed.atol
            wrong = ~(np.abs(a - n) <= atol + allowed.rtol * size)
            if wrong.any():
                raise GradientError(
                    f"{what} disagrees with {source} at {place}, "
                    f"in {wrong.sum()} of {wrong.size} entries:\n{_table(a, n, wrong)}"
                )

    def _agree(
        self,
        moved: Leaves,
        u: Leaves,
        gradient: Leaves,
        v: Leaves,
        slack: float,
        noise: float,
        what: str,
        source: str,
    ) -> None:
        """⟨u, Jv⟩ = ⟨Jᵀu, v⟩."""
        along = sum(float(np.sum(np.multiply(c, m, dtype=np.float64))) for c, m in zip(u, moved, strict=True))
        terms = np.concatenate(
            [np.multiply(g, t, dtype=np.float64).ravel() for g, t in zip(gradient, v, strict=True)]
        )
        back, size = float(terms.sum()), float(np.abs(terms).sum())
        if not abs(along - back) <= (self.atol or 0.0) + slack * size + noise:
            raise GradientError(
                f"{what} disagrees with {source}:\n"
                f"{_table(np.asarray(along), np.asarray(back), np.asarray(True))}"
            )


def _table(claimed: Any, true: Any, wrong: Any) -> str:
    """The wrong entries side by side, the worst first."""
    size = np.maximum(np.maximum(np.abs(claimed), np.abs(true)), np.finfo(np.float64).tiny)
    relative = np.where(wrong, np.nan_to_num(np.abs(claimed - true) / size, nan=np.inf), -1.0)
    worst = np.argsort(-relative, axis=None, kind="stable")[: min(WORST, int(wrong.sum()))]
    rows = ["    index        analytic         numeric  relative error"]
    for i in worst:
        index = tuple(int(k) for k in np.unravel_index(i, wrong.shape))
        a, n, r = claimed.flat[i], true.flat[i], relative.flat[i]
        rows.append(f"{str(index if index else '-'):>9} {a:15.8g} {n:15.8g} {r:15.2e}")
    return "\n".join(rows)


# Numerical derivatives


def _slopes(f: Flat, xs: Leaves, u: Leaves, method: str) -> Leaves:
    """∂φ/∂x for every entry of every leaf, in float64."""
    wide = [np.array(x, np.float64) for x in xs]
    if method == "central":
        return _central(f, xs, wide, u)
    try:
        with np.errstate(all="ignore"):
            exact = [_each(wide, k, lambda at: _project(f(_like(xs, at)), u).imag / 1e-100,
                           lambda phi, x: phi(1e-100j)) for k in range(len(wide))]
