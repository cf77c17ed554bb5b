"""Reverse and forward mode of a function at a point against differences; see gradients.py."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.check.arguments import as_result
from microgradopt.check.numeric import Flat, Leaves, Line, Phi, length, scale, terms, unit
from microgradopt.check.projections import (
    dense,
    filled,
    neighbours,
    only_leaf,
    place_of,
    random_index,
    random_like,
    worst_position,
)
from microgradopt.check.report import Entries, Report, one_number
from microgradopt.check.suspicions import Case
from microgradopt.check.taylor import SLACK, observed_rate
from microgradopt.engine.derive import jvp, vjp
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import data_of

SOURCES = {"central": "central differences", "complex": "complex step"}
LIMIT = 200  # with more entries than this, directions are looked along instead
DIRECTIONS = 3  # through all leaves
LEAVES = 12  # how many leaves are also looked at by themselves
SINGLE = 3  # how many entries of each
BESIDE = 1e-3  # of the input's scale, to see how large φ is nearby


class Disagreement(Exception):  # noqa: N818  # becomes a GradientError when it is explained
    """Two sides that differ, and what is needed to explain it."""

    def __init__(self, head: str, case: Case) -> None:
        super().__init__(head)
        self.head = head
        self.case = case


def reverse_of(f: Flat, u: Leaves) -> Flat:
    """x ↦ Jᵀu."""
    return lambda values: list(vjp(f, values)[1](u)[0])


def forward_of(f: Flat, v: Leaves) -> Flat:
    """x ↦ Jv."""
    return lambda values: list(jvp(f, (values,), (v,))[1])


def _beside(x: Any) -> Any:
    """A leaf, moved a little."""
    moved = x + BESIDE * scale(x)
    return np.asarray(moved) if isinstance(x, np.ndarray) else moved


@dataclass(frozen=True)
class Point:
    """One function at one point, and the φ made of it."""

    f: Flat
    xs: Leaves
    u: Leaves
    size: float  # of the terms of φ
    blur: float  # what rounding makes of φ
    label: str  # which derivative of the user's function it is

    @property
    def phi(self) -> Phi:
        return Phi(self.f, self.xs, self.u, self.blur)

    def pulled(self, against: str) -> "Side":
        """Reverse mode's side."""
        gradient = reverse_of(self.f, self.u)(self.xs)

        def slope(direction: Leaves) -> float:
            return float(terms(gradient, filled(direction, self.xs)).sum())

        return Side("reverse", f"reverse mode{self.label} {against}", slope, gradient)

    def pushed(self, against: str) -> "Side":
        """Forward mode's side."""

        def slope(direction: Leaves) -> float:
            moved = forward_of(self.f, filled(direction, self.xs))(self.xs)
            return float(terms(self.u, moved).sum())

        return Side("forward", f"forward mode{self.label} {against}", slope, [])


@dataclass(frozen=True)
class Side:
    """What one mode claims: φ's slope along any direction; reverse mode also has the gradient."""

    mode: str
    what: str
    slope: Callable[[Leaves], float]
    gradient: Leaves


@dataclass(frozen=True)
class Check:
    """What stays the same in all parts of one check."""

    places: Sequence[str]  # what to call each leaf
    modes: Sequence[str]
    method: str
    rtol: float
    atol: float | None
    eps: float  # of the least precise array on the way
    own: float  # the same when the inputs are in double precision, as for differences
    rng: np.random.Generator
    report: Report
    limit: int = LIMIT

    @property
    def noise(self) -> float:
        """How far rounding takes φ, relatively."""
        return max(1e-10, 100.0 * self.eps)

    @quietly
    def run(
        self,
        f: Flat,
        xs: Leaves,
        order: int,
        label: str = "",
        u: Leaves | None = None,
        least: float = 0.0,
    ) -> None:
        """Check f in every mode, then the functions its modes are, one order lower.

        ``least`` is how large the terms of φ may have been before they cancelled.
        """
        ys = [as_result(y) for y in f(xs)]
        u = [random_like(y, self.rng) for y in ys] if u is None else u
        tiny = float(np.finfo(np.float64).tiny)  # below, differences of φ lose their digits
        nearby = [data_of(y) for y in f(list(map(_beside, xs)))]  # φ may be 0 at just this point
        sizes = [float(np.abs(terms(u, found)).sum()) for found in (ys, nearby)]
        size = max([*filter(math.isfinite, sizes), least, tiny / self.noise])
        at = Point(f, xs, u, size, self.noise * size, label)
        if self.method == "taylor":
            self._taylor(at, order)
            return
        v = dense(xs, self.rng)
        gradient = self._reverse(at) if "reverse" in self.modes else None
        if "forward" in self.modes:
            self._forward(at, v, gradient)
        for mode, derivative, weights in (
            ("reverse", reverse_of(f, u), dense(xs, self.rng)),
            ("forward", forward_of(f, v), None),
        ):
            if order > 1 and mode in self.modes:
                inner = f"{label} over {mode} mode"
                self.run(derivative, xs, order - 1, inner, weights, size)

    # Reverse mode: the gradient

    def _reverse(self, at: Point) -> Leaves:
        side = at.pulled(f"against {SOURCES[self._numeric(at)]}")
        if sum(map(np.size, at.xs)) > self.limit:
            self._project(at, side)
        else:
            for k, x in enumerate(at.xs):
                self._judge(at, side, k, list(np.ndindex(np.shape(x))))
        return side.gradient

    def _project(self, at: Point, side: Side) -> None:
        """Through all leaves at once, then each by itself, and a few entries of each."""
        for _ in range(DIRECTIONS):
            self._look(at, side, dense(at.xs, self.rng), "all leaves")
        some = [k for k, x in enumerate(at.xs) if np.size(x)]
        if len(some) > LEAVES:
            some = sorted(self.rng.choice(some, LEAVES, replace=False).tolist())
        for k in some:
            self._look(at, side, only_leaf(dense(at.xs, self.rng), k), self.places[k])
            few = {random_index(at.xs[k], self.rng) for _ in range(SINGLE)}
            self._judge(at, side, k, sorted(few))

    def _look(self, at: Point, side: Side, direction: Leaves, place: str) -> None:
        """Compare along one direction, and search where it differs."""
        slack = self.rtol * length(terms(side.gradient, direction))
        seen = self._seen(at, side.slope(direction), self._slope(at, direction), slack, direction)
        self.report.add(side.what, f"{place}, along a direction", seen, 1)
        if seen.wrong.any():
            self._search(at, side, direction, seen)

    # Forward mode: one slope, against reverse mode where it is there

    def _forward(self, at: Point, v: Leaves, gradient: Leaves | None) -> None:
        if gradient is None:
            side = at.pushed(f"against {SOURCES[self._numeric(at)]}")
            back = self._slope(at, v)
            slack = self.rtol * abs(back)
        else:
            side = at.pushed("against reverse mode, ⟨u, Jv⟩ = ⟨Jᵀu, v⟩")
            parts = terms(gradient, v)
            back = float(parts.sum())
            slack = self.noise * float(np.abs(parts).sum())
        seen = self._seen(at, side.slope(v), back, slack, v)
        self.report.add(side.what, "all leaves, along a direction", seen, 1)
        if seen.wrong.any():
            self._search(at, side, v, seen)

    # The Taylor series along a direction

    def _taylor(self, at: Point, order: int) -> None:
        for _ in range(DIRECTIONS):
            v = dense(at.xs, self.rng)
            line = at.phi.line(v)
            self._series(at, v, line, [float(line(0.0))], [at.size], order)

    def _series(
        self,
        at: Point,
        v: Leaves,
        line: Line,
        known: Sequence[float],
        sizes: Sequence[float],
        order: int,
    ) -> None:
        """With the next coefficient of ``line``, by each mode, the remainder falls faster by h.

        The point's φ is the derivative of ``line`` that the last of the ``known`` ones came from.
        """
        power = len(known)
        for mode in self.modes:
            reverse = mode == "reverse"
            derivative = reverse_of(at.f, at.u) if reverse else forward_of(at.f, v)
            weights = v if reverse else at.u
            parts = terms(weights, derivative(at.xs)) / math.factorial(power)
            series = [*known, float(parts.sum())]
            spreads = [*sizes, float(np.abs(parts).sum())]
            rate = observed_rate(line, series, spreads, self.eps, self.own)
            self.report.note(f"{mode} mode{at.label}, Taylor remainder", "all leaves", rate)
            if rate is not None and not rate > power + 1 - SLACK:
                falls = f"falls as h^{rate:.2f}, expected h^{power + 1}"
                against = f"by its Taylor series, whose remainder {falls}"
                side = at.pulled(against) if reverse else at.pushed(against)
                seen = self._seen(at, side.slope(v), self._slope(at, v), 0.0, v)
                self._search(at, side, v, seen)
            if power < order:
                inner = f"{at.label} over {mode} mode"
                deeper = Point(derivative, at.xs, weights, at.size, at.blur, inner)
                self._series(deeper, v, line, series, spreads, order)

    # One comparison

    def _numeric(self, at: Point) -> str:
        return "complex" if self.method == "complex" and not at.label else "central"

    def _slope(self, at: Point, direction: Leaves) -> float:
        return at.phi.slope(self._numeric(at), direction).slope

    def _seen(
        self, at: Point, claimed: float, true: float, slack: float, direction: Leaves
    ) -> Entries:
        """Two slopes along a direction."""
        if self.atol is None:
            return one_number(claimed, true, slack + at.blur)
        moved = length(np.concatenate([np.ravel(d) for d in direction]))
        return one_number(claimed, true, slack + self.atol * moved)

    def _judge(self, at: Point, side: Side, k: int, indices: Sequence[tuple[int, ...]]) -> None:
        """Compare some entries of one leaf."""
        entries = self._entries(at, side, k, indices)
        self.report.add(side.what, self.places[k], entries, np.size(at.xs[k]))
        if entries.wrong.any():
            raise self._refusal(at, side, k, entries)

    def _entries(
        self, at: Point, side: Side, k: int, indices: Sequence[tuple[int, ...]]
    ) -> Entries:
        found = [at.phi.entry(self._numeric(at), k, index).slope for index in indices]
        n = np.array(found, np.float64)
        a = np.array([side.slope(unit(at.xs, k, index)) for index in indices], np.float64)
        atol = 0.01 * self.rtol * float(np.max(np.abs(n), initial=0.0)) + at.blur / scale(at.xs[k])
        atol = atol if self.atol is None else self.atol
        return Entries(indices, a, n, self.rtol * np.maximum(np.abs(a), np.abs(n)) + atol)

    # What is wrong, when something is

    def _search(self, at: Point, side: Side, direction: Leaves, seen: Entries) -> None:
        """Raise, naming the entry that makes two sides differ along a direction."""

        def gap(part: Leaves) -> float:
            apart = abs(side.slope(part) - self._slope(at, part))
            return math.inf if math.isnan(apart) else apart

        k, index = place_of(at.xs, worst_position(gap, direction))
        found = self._entries(at, side, k, neighbours(at.xs[k], index, self.rng))
        if found.wrong.any():
            raise self._refusal(at, side, k, found)
        line = at.phi.line(direction)
        case = Case(at.f, at.xs, at.u, side.mode, None, seen, None, line, 1.0, at.blur)
        raise Disagreement(f"{side.what}, along a random direction: they disagree", case)

    def _refusal(self, at: Point, side: Side, k: int, entries: Entries) -> Disagreement:
        bad, size = entries.only_wrong(), np.size(at.xs[k])
        index = bad.indices[int(np.argmax(np.abs(bad.claimed - bad.true)))]
        whole = np.asarray(side.gradient[k], np.float64) if side.gradient else None
        line, reach = at.phi.line(unit(at.xs, k, index)), at.phi.reach(k, index)
        case = Case(at.f, at.xs, at.u, side.mode, k, entries, whole, line, reach, at.blur)
        count = f"{len(bad.indices)} of {len(entries.indices)} entries"
        if len(entries.indices) < size:
            count += f" looked at, of {size} in all,"
        count = count if np.shape(at.xs[k]) else "they"
        return Disagreement(f"{side.what}, {self.places[k]}: {count} disagree", case)
