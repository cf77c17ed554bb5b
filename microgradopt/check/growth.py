"""How a random expression grows: step by step, out of whole numbers that somebody chooses.

``choose(n)`` gives a number below n. Whoever chooses (Hypothesis, see ``strategies.graphs``) can
choose again, and smaller: 0 is the simplest choice everywhere, a step names earlier variables by
their distance, and an operand costs the same choices whatever becomes of it. So when one choice is
made smaller, or one step left out, the others still mean what they meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from microgradopt.check.expressions import (
    EVERY_LAYOUT,
    Expression,
    Step,
    evaluate,
    laid_out,
    names_in,
)
from microgradopt.engine.graph import Primitive
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import Elementwise, Linear, Multilinear, is_floating

__all__ = ["Growth"]

Interval: TypeAlias = tuple[float, float]
Shape: TypeAlias = tuple[int, ...]

SHAPES: tuple[Shape, ...] = (
    (), (3,), (2, 3), (2, 1), (1, 3), (3, 4), (4,), (1,), (1, 1), (4, 3), (2, 2), (2, 3, 4),
    (3, 1, 2), (0,), (2, 0),
)  # fmt: skip
AROUND_ZERO = (-3.0, 3.0)
BIGGEST = 100  # entries of a variable
LOUDEST = 30.0  # entry of a variable; what is larger is squashed
MARGIN = 0.02  # how far to stay away from points without a derivative
PROBE, BEND = 1e-3, 0.03  # a step, and how much of it a smooth row may be off a straight line
SHIFTS = (0.0, 0.37, -0.61, 1.13)  # tried in turn to get away from them
SEEDS = 1000  # ways to fill an array; the first few with multiples of ¼
PLAIN_SEEDS = 8
SAMPLES = 50  # ways to call a row's sample
CASES = 20  # of a sample, more or less
PICKS = 12  # ways to choose a variable


class Choice(NamedTuple):
    """What is chosen for one operand, used or not."""

    old: int  # which variable, the youngest first; 0 for something new
    shape: int  # of something new
    seed: int  # of its numbers, kind and layout
    flow: int  # which variable to add a little of; 0 for none


class Growth:
    """An expression in the making: its variables, what they hold, and how one more is made."""

    def __init__(self, inputs: int, scalars: bool, dtype: np.dtype[Any]) -> None:
        self.choose: Callable[[int], int] = lambda n: 0
        self.most_inputs = inputs
        self.scalars = scalars
        self.dtype = dtype
        self.variables: dict[str, Any] = {}
        self.steps: dict[str, Step] = {}
        self.data: dict[str, Any] = {}  # of variables and steps alike

    def expression(self) -> Expression:
        """What has grown so far."""
        if not self.steps:  # nothing was drawn, or nothing fitted
            self._add(_step("alias", self._new_input(0, (), AROUND_ZERO)))
        used = {name for step in self.steps.values() for name in names_in(step)}
        results = tuple(name for name in self.steps if name not in used)
        return Expression(self.variables, self.steps, results)

    def apply(self, row: Primitive, choose: Callable[[int], int]) -> None:
        """Add a step of this row, unless the operands chosen for it do not suit it."""
        self.choose = choose
        before = list(self.variables)
        if isinstance(row, Elementwise):
            step = self._away_from_kinks(row, self._elementwise(row), {})
        else:
            step = self._away_from_kinks(row, *self._sampled(row))
        if step is None or not self._add(step):
            for name in list(self.variables)[len(before) :]:
                del self.variables[name], self.data[name]

    def _add(self, step: Step) -> bool:
        """Add a step, squashed if its result is huge; not at all if it is infinite or too long."""
        result = self._value(step)
        if np.size(result) > BIGGEST or not np.all(np.isfinite(result)):
            return False
        if np.max(np.abs(result), initial=0.0) > LOUDEST:
            step = _squashed(step, result, (-4.0, 4.0))
            result = self._value(step)
        name = f"y{len(self.steps)}"
        self.steps[name] = step
        self.data[name] = result if type(result) is float else np.asarray(result)
        return True

    def _value(self, operand: Any) -> Any:
        return evaluate(operand, self.data)

    def _away_from_kinks(
        self, row: Primitive, operands: Sequence[Any], params: dict[str, Any]
    ) -> Step | None:
        """The step, one operand shifted if that is what it takes to have a derivative there."""
        flowing = [i for i, x in enumerate(operands) if names_in(x)]
        shifts = SHIFTS if isinstance(row, Elementwise) else SHIFTS[:1]
        for shift in shifts if flowing else ():
            shifted = list(operands)
            if shift:
                shifted[flowing[0]] = _step("add", shift, operands[flowing[0]])
            if _suits(row, [self._value(x) for x in shifted], params):
                return Step(row, tuple(shifted), params)
        return None

    def _choices(self, operands: int) -> list[Choice]:
        bounds = PICKS, len(SHAPES), SEEDS, PICKS
        return [Choice(*map(self.choose, bounds)) for _ in range(operands)]

    # Operands of elementwise rows

    def _elementwise(self, row: Elementwise) -> list[Any]:
        shape: Shape = ()
        operands: list[Any] = []
        declared: Any = row.sample
        for choice, interval, rule in zip(self._choices(len(declared)), declared, row.partials):
            make = self._condition if rule is None else self._operand
            operands.append(make(choice, shape, interval))
            shape = np.broadcast_shapes(shape, np.shape(self._value(operands[-1])))
        return operands

    def _condition(self, choice: Choice, beside: Shape, _: Interval) -> Any:
        """An operand that is not differentiated: 0 or 1 in each entry."""
        shape = self._shape(choice, beside)
        bits = np.random.default_rng(choice.seed).integers(0, 2, shape)
        return np.asarray(bits, self.dtype) if shape else float(bits)

    def _operand(self, choice: Choice, beside: Shape, interval: Interval) -> Any:
        """A variable that broadcasts with a shape, brought into the interval; or a new one."""
        fitting = [n for n, x in self.data.items() if _broadcast(np.shape(x), beside)]
        name = _picked(choice.old, fitting)
        if name is None:
            return self._new_input(choice.seed, self._shape(choice, beside), interval)
        data = self.data[name]
        inside = np.all((data >= interval[0]) & (data <= interval[1]))
        return name if inside else _squashed(name, data, interval)

    def _shape(self, choice: Choice, beside: Shape) -> Shape:
        """The shape of something new that is to broadcast with a shape."""
        fitting = [s for s in SHAPES[: 1 if self.scalars else None] if _broadcast(s, beside)]
        return fitting[choice.shape % len(fitting)]

    # Operands of all other rows

    def _sampled(self, row: Primitive) -> tuple[list[Any], dict[str, Any]]:
        cases = _cases(row, self.choose(SAMPLES))
        args, params = cases[self.choose(CASES) % len(cases)]
        choices = self._choices(len(args))
        free = isinstance(row, (Linear, Multilinear))  # a polynomial: right for any numbers
        if free and len(args) == 1:  # and perhaps for other shapes
            ranks = np.ndim(args[0])
            same = [n for n, x in self.data.items() if np.ndim(x) == ranks]
            name = _picked(choices[0].old, same)
            if name is not None and _takes(row, self.data[name], params):
                return [name], params
        fit = self._free_operand if free else self._sample_operand
        return [fit(c, x) if is_floating(x) else x for c, x in zip(choices, args)], params

    def _free_operand(self, choice: Choice, like: Any) -> Any:
        """A variable of the sample's shape, or a new one."""
        shape, scalar = np.shape(like), isinstance(like, float)
        same = [n for n, x in self.data.items() if np.shape(x) == shape]
        name = _picked(choice.old, [n for n in same if isinstance(self.data[n], float) == scalar])
        return name or self._flowing(choice, self._new_input(choice.seed, shape, AROUND_ZERO))

    def _sample_operand(self, choice: Choice, sample: Any) -> Any:
        """The sample's own operand, for rows that may be particular about it."""
        data = _rounded(sample)
        own = self._input(data if isinstance(data, float) else np.asarray(data, self.dtype))
        return self._flowing(choice, own)

    def _flowing(self, choice: Choice, own: Any) -> Any:
        """Perhaps plus 0.1·sin of a variable, so that what came before flows through."""
        name = _picked(choice.flow, [n for n in self.data if n is not own])
        if name is None:
            return own
        shape, have = np.shape(self._value(own)), np.shape(self.data[name])
        fits = _broadcast(have, shape) and np.broadcast_shapes(have, shape) == shape
        number = name if fits else _step("sum", name)
        return _step("add", own, _step("multiply", 0.1, _step("sin", number)))

    # Inputs and constants

    def _new_input(self, seed: int, shape: Shape, interval: Interval) -> Any:
        data = _filled(seed, shape, interval)
        if not shape and (self.scalars or seed % 3 == 0):
            return self._input(float(data))
        layout = EVERY_LAYOUT[seed % len(EVERY_LAYOUT)] if shape else "C"
        return self._input(laid_out(np.asarray(data, self.dtype), layout))

    def _input(self, data: Any) -> Any:
        """A new argument; a constant where there are enough of them."""
        if len(self.variables) == self.most_inputs:
            return data
        name = f"x{len(self.variables)}"
        self.variables[name] = self.data[name] = data
        return name


def _picked(k: int, names: Sequence[str]) -> str | None:
    """One of the names, the youngest for 1; None for 0 asks for something new."""
    return names[-1 - (k - 1) % len(names)] if k and names else None


def _step(row: str, *operands: Any) -> Step:
    return Step(Primitive.table[row], operands, {})


def _squashed(operand: Any, data: Any, interval: Interval) -> Step:
    """low + (high − low)·sigmoid(scale·x), where the scale keeps large x apart."""
    low, high = interval
    size = float(np.max(np.abs(data), initial=1.0))
    scale = min(1.0, 2.0 ** (2 - math.ceil(math.log2(size))))
    inner = operand if scale == 1.0 else _step("multiply", scale, operand)
    return _step("add", low, _step("multiply", high - low, _step("sigmoid", inner)))


@cache
def _broadcast(a: Shape, b: Shape) -> bool:
    """Whether two shapes broadcast together."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b)))


@lru_cache(maxsize=10_000)
def _cases(row: Primitive, seed: int) -> list[tuple[Sequence[Any], dict[str, Any]]]:
    sample: Any = row.sample
    return list(sample(np.random.default_rng(seed)))


@quietly
def _suits(row: Primitive, args: Sequence[Any], params: dict[str, Any]) -> bool:
    """Whether the operands are in the domain, and away from points without a derivative."""
    if isinstance(row, Elementwise):
        declared: Any = row.sample
        for x, (low, high), rule in zip(args, declared, row.partials):
            if rule is not None and not np.all((low <= x) & (x <= high)):
                return False
    if row.kinks is not None:
        return bool(np.all(np.abs(row.kinks(*args, **params)) > MARGIN))
    if isinstance(row, (Elementwise, Linear, Multilinear)):
        return True
    places = [(i, k) for i, x in enumerate(args) if is_floating(x) for k in range(np.size(x))]
    return all(_smooth(row, args, params, i, k) for i, k in places)


def _smooth(row: Primitive, args: Sequence[Any], params: dict[str, Any], i: int, k: int) -> bool:
    """Whether the result goes straight on as one entry moves; at a tie in a maximum, it bends."""
    unit = np.zeros(np.shape(args[i]), np.asarray(args[i]).dtype)
    unit.flat[k] = PROBE
    there, here, back = (
        np.asarray(row(*args[:i], args[i] + step * unit, *args[i + 1 :], **params), np.float64)
        for step in (1.0, 0.0, -1.0)
    )
    return bool(np.all(np.abs(there - 2.0 * here + back) < BEND * PROBE))


def _takes(row: Primitive, data: Any, params: dict[str, Any]) -> bool:
    """Whether a row computes something of an operand of another shape than its sample's."""
    try:
        row(data, **params)
    except (ValueError, IndexError, TypeError):
        return False
    return True


def _rounded(x: Any) -> Any:
    """To three decimals, for the reader, where that does not change an entry by much."""
    short = np.round(x, 3)
    found = short if np.allclose(short, x, rtol=0.05, atol=0.0) else x
    return float(found) if isinstance(x, float) else found


def _filled(seed: int, shape: Shape, interval: Interval) -> Any:
    """Numbers from the interval: multiples of ¼ if the seed is small, or else three decimals."""
    rng = np.random.default_rng(seed)
    low, high = interval
    quarters = np.arange(math.ceil(4.0 * low), math.floor(4.0 * high) + 1) / 4.0
    if seed < PLAIN_SEEDS and len(quarters) > 2:
        return rng.choice(quarters, shape)
    return np.clip(np.round(rng.uniform(low, high, shape), 3), low, high)
