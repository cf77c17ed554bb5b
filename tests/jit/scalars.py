"""Random programs of scalars for the tests of the tape: with lanes and without."""

from __future__ import annotations

from typing import Any

import numpy as np
from programs import Builder

from microgradopt.compiler.program import Check, Guard, Host, Program, Var
from microgradopt.engine.graph import Primitive

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 1e300, -1e300, 1e-310, np.inf, -np.inf, np.nan)
UNARY = (
    "absolute", "alias", "isfinite", "isnan", "logical_not", "negative", "relu", "sign", "sqrt",
    "square", "floor", "lorentzian",
)  # fmt: skip
BINARY = (
    "add", "add", "chain", "divide", "equal", "greater", "greater_equal", "less", "less_equal",
    "maximum", "minimum", "multiply", "multiply", "not_equal", "passing", "subtract",
)  # fmt: skip
EXACT = (*UNARY, *BINARY)
TERNARY = ("where",)


class Scalars:
    """Makes a program by the numbers of a generator, of rows that always round alike."""

    def __init__(self, seed: int, entries: int) -> None:
        self.rng = np.random.default_rng(seed)
        values = [self.number() for _ in range(entries)]
        self.b = Builder(*values, names=tuple(f"p{i}" for i in range(entries)))

    def number(self) -> float:
        """A float, sometimes a special one."""
        if self.rng.random() < 0.15:
            return float(self.rng.choice(SPECIAL))
        return float(self.rng.normal())

    def pick(self, pool: list[Any]) -> Any:
        """One of the values there are, or a constant."""
        if not pool or self.rng.random() < 0.15:
            return self.number() if self.rng.random() < 0.7 else True
        recent = pool[-8:] if self.rng.random() < 0.5 else pool
        return recent[self.rng.integers(len(recent))]

    def kernel(self, pool: list[Any], rows: tuple[str, ...] = (*UNARY, *BINARY, *TERNARY)) -> Any:
        """Apply a row to some values; nothing where what it makes is not a scalar of a tape."""
        row = Primitive.table[str(self.rng.choice(rows))]
        count = 3 if row.name in TERNARY else 1 if row.name in UNARY else 2
        operands = [self.pick(pool) for _ in range(count)]
        made = self.b(row, *operands)
        if made.kind is float or made.kind is bool:
            pool.append(made)
        else:  # a sum of two truths is a whole number
            self.b.instructions.pop()

    def effect(self, pool: list[Any]) -> None:
        """A host, guard or check on some value."""
        x = self.pick(pool)
        if not isinstance(x, Var) or x.kind is not float:
            pool.append(self.b(Host("rate", lambda: 0.1)))
        elif self.rng.random() < 0.4:
            pool += self.b(Host("twice", lambda x: (x, 2.0 * x)), x)
        elif self.rng.random() < 0.6:
            self.b(Guard(bool(self.b.known[x])), x)
        else:
            self.b(Check(lambda *args: None), x)

    def program(self, pool: list[Any], results: int) -> tuple[Program, list[Any]]:
        """What was made, with some of the values as results."""
        chosen = [self.pick(pool) for _ in range(results)]
        return self.b.program(*chosen), self.b.values


def loose_program(seed: int, length: int = 40, effects: float = 0.1) -> tuple[Program, list[Any]]:
    """A program without any pattern."""
    s = Scalars(seed, int(seed % 5) + 1)
    pool: list[Any] = list(s.b.entries)
    for _ in range(length):
        if s.rng.random() < effects:
            s.effect(pool)
        else:
            s.kernel(pool)
    return s.program(pool, int(s.rng.integers(0, 8)))


def laned_program(seed: int, effects: float = 0.0) -> tuple[Program, list[Any]]:
    """Families of copies of random formulas, some incomplete, which sums bring together again."""
    s = Scalars(seed, 12)
    shared: list[Any] = list(s.b.entries[:4])
    own: list[Any] = list(s.b.entries[4:])
    everything = [*shared, *own]
    for _ in range(int(s.rng.integers(1, 4))):
        steps = int(s.rng.integers(2, 16))
        formula = s.rng.integers(1 << 30)
        varying = bool(s.rng.integers(2))
        lanes = []
        for lane in range(int(s.rng.integers(1, 15))):
            inside = [*shared, s.number() if varying else own[lane % len(own)]]
            keep, s.rng = s.rng, np.random.default_rng(formula)
            for _ in range(steps - int(keep.random() < 0.05)):
                _replicated(s, inside)
            s.rng = keep
            lanes.append([x for x in inside[len(shared) + 1 :] if isinstance(x, Var)])
            if s.rng.random() < effects:
                s.effect(everything)
        for _ in range(int(s.rng.integers(1, 7))):
            order = list(range(len(lanes)))
            if s.rng.random() < 0.5:
                order.reverse()
            elif s.rng.random() < 0.2:
                s.rng.shuffle(order)
            which = int(s.rng.integers(steps // 2, steps))
            terms = [lanes[k][which] for k in order if which < len(lanes[k])]
            everything += [x for x in terms if s.rng.random() < 0.1]
            everything.append(_added(s, terms))
        shared = [*shared[1:], everything[-1]]
    return s.program(everything[12:], int(s.rng.integers(2, 12)))


def _replicated(s: Scalars, inside: list[Any]) -> None:
    """The same choices in every copy, for the generator is the same."""
    name = str(s.rng.choice(("add", "multiply", "multiply", "chain", "subtract", "relu", "square",
                             "greater", "passing", "maximum", "floor", "divide")))  # fmt: skip
    count = 1 if name in UNARY else 2
    at = s.rng.integers(len(inside), size=count)
    recent = s.rng.random(count) < 0.6
    operands = [inside[-1 - i % 3 if late else i] for i, late in zip(at, recent)]
    constant = s.rng.random()
    if constant < 0.2:
        operands[0] = (0.5, 1.0, 0.0, -0.0, -1.0)[int(100 * constant) % 5]
    if not any(isinstance(x, Var) for x in operands) or all(
        (isinstance(x, Var) and x.kind is bool) or x is True for x in operands
    ):
        operands[0] = s.b.entries[0]
    made = s.b(name, *operands)
    inside.append(made)


def _added(s: Scalars, terms: list[Any]) -> Any:
    total: Any = s.b.entries[1] if s.rng.random() < 0.5 else s.number()
    mirrored = s.rng.random() < 0.3
    for x in terms:
        total = s.b("add", x, total) if mirrored else s.b("add", total, x)
    return total if isinstance(total, Var) else s.b.entries[0]
