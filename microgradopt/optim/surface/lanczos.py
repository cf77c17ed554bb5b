"""Eigenvalues of a symmetric matrix that is known by its products alone.

C. Lanczos, J. Res. Nat. Bur. Standards 45 (1950) 255; B. N. Parlett, The Symmetric Eigenvalue
Problem, SIAM 1998, chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from microgradopt.engine.graph import Array

Product = Callable[[Array], Array]
LOST = 10.0  # times √n·eps·|H|: what is left of a vector that lies in the space already
UNLUCKY = 1e-3  # how often a start may be too far from an eigenvector to see it


class Pairs(NamedTuple):
    """Eigenvalues, ascending, (m,); their vectors, as rows, (m, n); ‖Hv − λv‖ of each, (m,)."""

    values: Array
    vectors: Array
    residuals: Array


class Krylov:
    """The space of v, Hv, H²v, …, on which H is the tridiagonal T = QHQᵀ.

    Each new vector is made orthogonal to all before it, twice: without that, rounding brings
    eigenvalues back as copies of themselves.

    Args:
        product: v → Hv.
        start: any vector, (n,).
        most: how many products there may be.
        eps: the precision of the products.
        apart: orthonormal rows, (m, n), to whose complement H is confined.
    """

    def __init__(
        self, product: Product, start: Array, most: int, eps: float, apart: Array | None = None
    ) -> None:
        self.product = product
        self.apart = np.empty((0, len(start))) if apart is None else apart
        self.room = min(most, len(start) - len(self.apart))
        self.basis = np.empty((self.room, len(start)))
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self.invariant = self.room == 0  # H leads nowhere outside of the space
        self._lost = LOST * math.sqrt(len(start)) * eps
        self._next = self._without(start)
        self._next /= np.linalg.norm(self._next)

    @property
    def size(self) -> int:
        """How many dimensions there are by now: as many as products."""
        return len(self.diagonal)

    @property
    def whole(self) -> bool:
        """Whether it is all of the space there is."""
        return self.size == self.basis.shape[1] - len(self.apart)

    def advance(self) -> None:
        """One dimension more."""
        j, q = self.size, self._next
        self.basis[j] = q
        w = self.product(q)
        self.diagonal.append(float(q @ w))
        size = float(np.linalg.norm(w))
        w = self._without(w)
        left = float(np.linalg.norm(w))
        self.beside.append(left)
        scale = max(size, np.abs(self.diagonal).max())
        self.invariant = self.whole or left <= self._lost * scale
        self._next = w if self.invariant else w / left

    def until(self, settled: Callable[[], bool]) -> bool:
        """Advance until it says so, or the space is invariant; False if ``most`` came first."""
        due = 1
        while not self.invariant and self.size < self.room:
            self.advance()
            if self.size >= min(due, self.room):
                due += 1 + self.size // 10  # eigenvalues of T cost too
                if settled():
                    return True
        return self.invariant

    def ritz(self) -> tuple[Array, Array, Array]:
        """Eigenvalues and eigenvectors (columns) of T, and ‖Hv − λv‖ of each."""
        T = np.diag(self.diagonal)
        above = np.arange(self.size - 1)
        T[above, above + 1] = T[above + 1, above] = self.beside[:-1]
        values, vectors = np.linalg.eigh(T)
        return values, vectors, (0.0 if self.invariant else self.beside[-1]) * np.abs(vectors[-1])

    def pairs(self, chosen: Array) -> Pairs:
        """Some of the eigenpairs, by their indices."""
        values, vectors, residuals = self.ritz()
        return Pairs(
            values[chosen], vectors[:, chosen].T @ self.basis[: self.size], residuals[chosen]
        )

    def _without(self, w: Array) -> Array:
        """What of a vector is in neither the space nor ``apart``."""
        for rows in 2 * (self.apart, self.basis[: self.size]):
            w = w - rows.T @ (rows @ w)
        return w


class Wanted(NamedTuple):
    """What is looked for: the ``low`` smallest and the ``high`` largest, to within tol·max|λ|."""

    low: int
    high: int
    tol: float
    most: int  # products for each space
    eps: float  # the precision of products


def outer(product: Product, n: int, wanted: Wanted, rng: np.random.Generator) -> tuple[Pairs, bool]:
    """The outermost eigenvalues of a matrix (n, n), and whether all of them settled.

    Each comes as often as it occurs. A space shows an eigenvalue once, so the complement of what
    was found is searched in its turn, until nothing that belongs here is left in it.
    """
    run = Krylov(product, rng.standard_normal(n), wanted.most, wanted.eps)
    sure = run.until(lambda: _settled(run, wanted))
    found = run.pairs(_ends(run.size, wanted))
    while sure and not run.whole:
        start = rng.standard_normal(n)
        run = Krylov(product, start, wanted.most, wanted.eps, found.vectors)
        sure = _search_rest(run, found, wanted)
        better = _better(run, found, wanted, sure)
        if not better.size:
            break
        found = _together(found, run.pairs(better))
    chosen = _ends(len(found.values), wanted)
    return Pairs(*(x[chosen] for x in found)), sure


def _search_rest(run: Krylov, found: Pairs, wanted: Wanted) -> bool:
    outermost = wanted._replace(low=min(wanted.low, 1), high=min(wanted.high, 1))
    return run.until(lambda: _settled(run, outermost) or _hopeless(run, found, wanted))


def _ends(count: int, wanted: Wanted) -> Array:
    """The places of the outermost of ``count`` ascending numbers."""
    places = np.arange(count)
    ends: Array = np.flatnonzero((places < wanted.low) | (places >= count - wanted.high))
    return ends


def _settled(run: Krylov, wanted: Wanted) -> bool:
    values, _, residuals = run.ritz()
    ends = _ends(run.size, wanted)
    enough = len(ends) == wanted.low + wanted.high
    return enough and bool(np.all(residuals[ends] <= wanted.tol * np.abs(values).max()))


def _levels(found: Pairs, wanted: Wanted) -> tuple[float, float]:
    """Below and above what an eigenvalue belongs to the outermost; any does, as long as few are."""
    low, high, values = wanted.low, wanted.high, found.values
    if len(values) < min(low + high, found.vectors.shape[1]):
        return math.inf, -math.inf
    return values[low - 1] if low else -math.inf, values[-high] if high else math.inf


def _better(run: Krylov, found: Pairs, wanted: Wanted, sure: bool) -> Array:
    """Which of the space's eigenvalues are further out than those found; if sure, settled ones."""
    values, _, residuals = run.ritz()
    below, above = _levels(found, wanted)
    slack = wanted.tol * max(np.abs(values).max(), np.abs(found.values).max())
    good = (values < below - slack) | (values > above + slack)
    if sure:
        good &= residuals <= slack
    ends = _ends(run.size, wanted)
    better: Array = ends[good[ends]]
    return better


def _together(a: Pairs, b: Pairs) -> Pairs:
    both = Pairs(*(np.concatenate(pair) for pair in zip(a, b)))
    order = np.argsort(both.values, kind="stable")
    return Pairs(*(x[order] for x in both))


def _hopeless(run: Krylov, found: Pairs, wanted: Wanted) -> bool:
    """Whether the rest has nothing that is further out than what was found."""
    values = run.ritz()[0]
    below, above = _levels(found, wanted)
    least, most = (f(np.append(found.values, values)) for f in (np.min, np.max))
    return _absent(above - values[-1], values[-1] - least, run) and _absent(
        values[0] - below, most - values[0], run
    )


def _absent(gap: float, span: float, run: Krylov) -> bool:
    """Whether an eigenvalue further out by ``gap`` than a space reaches would have shown in it.

    The start has a part of at least UNLUCKY/√n along its eigenvector, but for one in a thousand.
    A Chebyshev polynomial of H, of the space's degree, stretches that part by cosh(m·arcosh(1+2γ)),
    γ = gap/span, and leaves all others; the quotient of the result would lie further out.
    """
    if run.size == 1 or not gap > 0.0:
        return False
    gamma = float(gap) / max(float(span), np.finfo(float).tiny)
    stretch = (run.size - 1) * math.acosh(1.0 + 2.0 * gamma) - math.log(2.0)
    parts = run.basis.shape[1] / UNLUCKY**2
    return math.log(gamma) + 2.0 * stretch >= math.log(parts)
