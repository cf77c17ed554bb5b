"""One random graph against its references.

The number that is differentiated is the sum of the graph's results, each entry times a weight of
its own, so that no symmetry makes it constant. ``backward()`` gives our gradient.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.exceptions import ComplexWarning

import microgradopt as mg
from benchmarks.fuzzing.rows import COMPLEX, Table
from microgradopt.check.expressions import Expression
from microgradopt.check.growth import Growth
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import Linear

Arrays = list[Any]
Apply = Callable[[Any, Sequence[Any], dict[str, Any]], Any]

EXACT = 1e-9  # relative to a leaf's largest entry, for float64
NARROW = 2e-5  # the same for float32
NUMERIC = 1e-5  # for central differences
IMAGINARY = 1e-100  # a step along the imaginary axis
STEPS = (1e-3, 1e-2, 1e-4, 1e-5, 1e-6)  # of central differences, until they are sure
NOISE = {np.float64: 1e-12, np.float32: 1e-6}  # after every row, to see what rounding may do


class DisagreementError(AssertionError):
    """Two derivatives of one expression that differ."""


class Case(NamedTuple):
    """An expression, the point, a weight for each entry of its results, and a direction."""

    expression: Expression
    inputs: Arrays
    weights: Arrays
    direction: Arrays

    @classmethod
    def of(cls, expression: Expression) -> Case:
        """The case of an expression at its own point."""
        rng = np.random.default_rng(0)
        results = as_list(expression(*expression.inputs))
        inputs = list(expression.inputs)
        return cls(expression, inputs, _mixed_signs(rng, results), _mixed_signs(rng, inputs))

    @property
    def dtype(self) -> Any:
        """float32 as soon as one input is."""
        narrow = any(getattr(x, "dtype", None) == np.float32 for x in self.inputs)
        return np.float32 if narrow else np.float64

    def widened(self) -> Case:
        """The same at float64."""
        wide = [x if isinstance(x, float) else x.astype(np.float64) for x in self.inputs]
        return self._replace(inputs=wide)


def as_list(results: Any) -> Arrays:
    """One result, or a tuple of them, as a list."""
    return list(results) if isinstance(results, tuple) else [results]


def _mixed_signs(rng: np.random.Generator, likes: Arrays) -> Arrays:
    shapes = [np.shape(x) for x in likes]
    return [rng.uniform(0.5, 1.5, s) * rng.choice([-1.0, 1.0], s) for s in shapes]


# Ours


def _apply(row: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    return row(*args, **params)


def loss(case: Case, inputs: Sequence[Any], apply: Apply = _apply) -> Any:
    """The number that is differentiated, as a node, in the dtype of the results."""
    found: Any = 0.0
    for weight, y in zip(case.weights, as_list(case.expression.run(inputs, apply))):
        scalar = isinstance(y, (float, mg.Value))
        found = found + mg.sum(y * (float(weight) if scalar else weight.astype(y.dtype)))
    return found


def gradients(case: Case, apply: Apply = _apply) -> Arrays:
    """The gradient by ``backward()``."""
    leaves = [mg.Value(x) if isinstance(x, float) else mg.Tensor(x) for x in case.inputs]
    number = loss(case, leaves, apply)
    if number.requires_grad:
        number.backward()
    return [np.zeros(np.shape(x)) if leaf.grad is None else leaf.grad
            for x, leaf in zip(case.inputs, leaves)]  # fmt: skip


def tangents(case: Case) -> Arrays:
    """The direction in the dtypes of the point."""
    return [float(v) if isinstance(x, float) else v.astype(x.dtype)
            for x, v in zip(case.inputs, case.direction)]  # fmt: skip


def slope_forward(case: Case) -> float:
    """The derivative along the direction by forward mode."""
    return float(mg.jvp(lambda *xs: loss(case, xs), case.inputs, tangents(case))[1])


def hessian_product(case: Case) -> Arrays:
    """The Hessian times the direction, forward over reverse."""
    every = tuple(range(len(case.inputs)))

    def gradient(*xs: Any) -> Any:
        return mg.grad(lambda *ys: loss(case, ys), every)(*xs)

    return list(mg.jvp(gradient, case.inputs, tangents(case))[1])


# Comparing


def expect(case: Case, found: Arrays, true: Arrays, what: str, rtol: float) -> None:
    """Raise unless each leaf agrees, relative to its largest entry.

    Where one does not, the graph may magnify rounding: noise after every row shows how much.
    """
    for i, (a, b) in enumerate(zip(found, true, strict=True)):
        if np.shape(a) != np.shape(b):
            raise DisagreementError(f"{what}: x{i} has shape {np.shape(a)}, not {np.shape(b)}")
        error = float(np.max(np.abs(a - b), initial=0.0))
        allowed = rtol * float(np.max(np.abs(b), initial=0.0)) + 1e-3 * rtol
        if not error <= allowed and not error <= allowed + _spread(case, i):  # NaN never is
            raise DisagreementError(
                f"{what} by x{i}, error {error:.3g}, allowed {allowed:.3g}\n"
                f"    ours   {np.asarray(a).tolist()}\n    theirs {np.asarray(b).tolist()}"
            )


def _spread(case: Case, i: int) -> float:
    """How far the i-th gradient moves when the result of every row is a little off."""
    exact = gradients(case)[i]
    noise = NOISE[case.dtype]
    moved = [gradients(case, _wobbling(seed, noise))[i] for seed in range(3)]
    return 3.0 * max(float(np.max(np.abs(m - exact), initial=0.0)) for m in moved)


def _wobbling(seed: int, size: float) -> Apply:
    rng = np.random.default_rng(seed)

    def apply(row: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        y = row(*args, **params)
        noise = 1.0 + size * rng.uniform(-1.0, 1.0, np.shape(y))
        return y * (float(noise) if np.shape(y) == () else noise.astype(y.dtype))

    return apply


def check_narrow(case: Case, found: Arrays) -> None:
    """A float32 gradient against that of the same graph in float64."""
    for x, g in zip(case.inputs, found):
        if isinstance(g, np.ndarray) and g.dtype != np.asarray(x).dtype:
            raise DisagreementError(f"a gradient of dtype {g.dtype} for {np.asarray(x).dtype}")
    expect(case, found, gradients(case.widened()), "float32 against float64", NARROW)


# Another library


def check_torch(case: Case, found: Arrays, table: Table, second: bool) -> None:
    """Our gradient, and our Hessian times the direction, against torch's."""
    import torch

    def operand(x: Any) -> Any:
        return x if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x))

    def apply(row: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if row.name in table:
            return table[row.name](*map(operand, args), **params)
        matrices, shape = as_matrices(row, args, params)
        parts = [torch.from_numpy(m) @ operand(x).reshape(-1) for m, x in zip(matrices, args)]
        return sum(parts[1:], parts[0]).reshape(shape)

    def derivatives(number: Any, **options: Any) -> Any:
        if not number.requires_grad:
            return [torch.zeros_like(x) for x in leaves]
        return torch.autograd.grad(number, leaves, materialize_grads=True, **options)

    def plain(g: Any) -> Any:  # torch's tensors of implied zeros have no memory to look at
        return (torch.zeros(g.shape, dtype=g.dtype) + g.detach()).numpy()

    leaves = [torch.tensor(np.array(x), requires_grad=True) for x in case.inputs]
    ys = as_list(case.expression.run(leaves, apply))
    number: Any = sum((torch.from_numpy(w) * y).sum() for w, y in zip(_arrays(case.weights), ys))
    theirs = derivatives(number, create_graph=second)
    expect(case, found, list(map(plain, theirs)), "gradient against torch", EXACT)
    if second:
        along = sum(
            (torch.from_numpy(v) * g).sum() for v, g in zip(_arrays(case.direction), theirs)
        )
        true = list(map(plain, derivatives(along)))
        expect(case, hessian_product(case), true, "Hessian against torch", 100.0 * EXACT)


def covers(table: Table, row: Primitive) -> bool:
    """Whether the other library can apply a row; a linear row is a matrix, which any can."""
    return row.name in table or isinstance(row, Linear)


def as_matrices(
    row: Primitive, args: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], tuple[int, ...]]:
    """A linear row as a matrix for each operand, by its kernel on unit vectors; and its shape."""
    zeros = [np.zeros(tuple(x.shape)) if hasattr(x, "shape") else 0.0 for x in args]

    def column(i: int, k: int) -> Any:
        unit = np.zeros(np.shape(zeros[i]))
        unit.flat[k] = 1.0
        return np.ravel(row.array(*zeros[:i], unit, *zeros[i + 1 :], **params))

    nothing = np.asarray(row.array(*zeros, **params))
    return [
        np.stack([column(i, k) for k in range(np.size(z))], axis=-1)
        if np.size(z) else np.zeros((nothing.size, 0))
        for i, z in enumerate(zeros)
    ], nothing.shape  # fmt: skip


def check_jax(case: Case, found: Arrays, table: Table) -> None:
    """Our gradient against JAX's."""
    import jax
    import jax.numpy as jnp

    def apply(row: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if row.name in table:
            return table[row.name](*map(jnp.asarray, args), **params)
        matrices, shape = as_matrices(row, args, params)
        return sum(m @ jnp.ravel(x) for m, x in zip(matrices, args)).reshape(shape)

    def number(xs: Any) -> Any:
        ys = as_list(case.expression.run(xs, apply))
        return sum((w * y).sum() for w, y in zip(case.weights, ys))

    theirs = jax.grad(number)([jnp.asarray(x) for x in case.inputs])
    expect(case, found, [np.asarray(g) for g in theirs], "gradient against JAX", EXACT)


def _arrays(xs: Arrays) -> Arrays:
    return [np.asarray(x) for x in xs]


# Numerical derivatives


def check_slope(case: Case, found: Arrays, part: str) -> str:
    """The derivative along the direction against a numerical one; returns what that was."""
    slope, size = _along(case, found)
    numeric = slope_complex(case)
    if numeric is not None:
        against, doubt = "complex step", EXACT * size
    else:
        against = "central differences"
        numeric, doubt = slope_central(case)
        doubt += NUMERIC * size
    _expect_number(case, slope, numeric, doubt, f"gradient against {against}")
    if part == "forward":
        _expect_number(case, slope_forward(case), slope, EXACT * size, "forward against reverse")
    if part == "second order":
        bend, size = _along(case, hessian_product(case))
        numeric, doubt = bend_central(case)
        _expect_number(case, bend, numeric, NUMERIC * size + doubt, "Hessian, differences")
    return against


def _along(case: Case, found: Arrays) -> tuple[float, float]:
    """⟨found, direction⟩, and how large its terms are."""
    terms = [np.ravel(g * v) for g, v in zip(found, case.direction)]
    return float(sum(t.sum() for t in terms)), float(sum(np.abs(t).sum() for t in terms))


def _expect_number(case: Case, found: float, true: float, allowed: float, what: str) -> None:
    error = abs(found - true)
    if not error <= allowed + EXACT:
        spread = sum(_spread(case, i) * np.abs(v).sum() for i, v in enumerate(case.direction))
        if not error <= allowed + spread:
            raise DisagreementError(f"{what}: ours {found!r}, theirs {true!r}, error {error:.3g}")


def slope_complex(case: Case) -> float | None:
    """Im φ(x + ih·v) / h; None if a row of the graph cannot do that."""
    return _imaginary(case) if all(map(analytic, set(case.expression.rows))) else None


def _imaginary(case: Case) -> float | None:
    moved = [np.asarray(x) + 1j * IMAGINARY * v for x, v in zip(case.inputs, case.direction)]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", ComplexWarning)
            ys = as_list(case.expression.run(moved, complex_apply))
    except (TypeError, ValueError, AttributeError, ComplexWarning):
        return None
    return float(sum(np.sum(w * np.imag(y)) for w, y in zip(case.weights, ys)) / IMAGINARY)


def complex_apply(row: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """A row's kernel, or its analytic continuation where the kernel has none."""
    if row.name in COMPLEX:
        return COMPLEX[row.name](*args, **params)
    y = row.array(*args, **params)
    return y[0] if row.saves else y


def _moved(case: Case, step: Any) -> Arrays:
    return [x + float(step) * v if np.ndim(x) else _like(x, x + float(step) * float(v))
            for x, v in zip(case.inputs, case.direction)]  # fmt: skip


def _like(x: Any, y: Any) -> Any:
    return y if isinstance(x, float) else np.asarray(y)


def slope_central(case: Case) -> tuple[float, float]:
    """By central differences of the plain result; and how far that may be off."""

    def number(step: float) -> float:
        ys = as_list(case.expression(*_moved(case, step)))
        return sum(float(np.sum(w * y)) for w, y in zip(case.weights, ys))

    return differences(number)


def bend_central(case: Case) -> tuple[float, float]:
    """The second derivative along the direction, by central differences of gradients."""

    def slope(step: float) -> float:
        there = case._replace(inputs=_moved(case, step))
        return _along(case, gradients(there))[0]

    return differences(slope)


def differences(line: Callable[[float], float]) -> tuple[float, float]:
    """line′(0) by central differences extrapolated twice, with the step that is surest of it.

    On its own, lest the library's checker excuse itself.
    """
    best = np.nan, np.inf
    for h in STEPS:
        wide, half, narrow = ((line(k * h) - line(-k * h)) / (2.0 * k * h) for k in (4.0, 2.0, 1.0))
        first, second = half + (half - wide) / 3.0, narrow + (narrow - half) / 3.0
        slope, doubt = second + (second - first) / 15.0, abs(second - first) / 15.0
        if doubt < best[1]:
            best = slope, doubt
        if doubt <= 1e-9 * abs(slope):
            break
    return best[0], 10.0 * best[1]


@cache
def analytic(row: Primitive) -> bool:
    """Whether the complex step gives the derivative of this row, by a few graphs of it alone."""
    rng = np.random.default_rng(0)
    return all(_agrees(row, rng) for _ in range(8))


def _agrees(row: Primitive, rng: np.random.Generator) -> bool:
    growing = Growth(4, False, np.dtype(np.float64))
    growing.apply(row, lambda n: int(rng.integers(n)))
    case = Case.of(growing.expression())
    slope = _imaginary(case)
    return slope is not None and bool(
        np.isclose(slope, slope_central(case)[0], rtol=1e-5, atol=1e-7)
    )
