"""A program of scalars as arrays: what the tape's passes work on.

A network of scalars makes hundreds of thousands of instructions, too many to visit as objects more
than once. Here every value has a number: ``NOTHING``, then what comes from outside (the entries,
then what hosts return), then the constants, then what the instructions make, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.program import EFFECTS, Host, Instruction, Program, Var, substituted
from microgradopt.engine.graph import Array, Primitive
from microgradopt.engine.rules import Elementwise, Plain

Number: TypeAlias = int  # of a value

NOTHING: Number = 0  # stands where a row has fewer operands than WIDTH
WIDTH = 3  # the most operands an instruction on the tape can have
TRUTHS = (bool, np.bool_)
KINDS = (float, np.float64, *TRUTHS)
NUMBERS = frozenset((int, *KINDS))
ROWS = (Elementwise, Plain)


@dataclass(frozen=True, eq=False)
class Effect:
    """A host, guard or check, which must stay where it is: before the instruction ``at``.

    ``reads`` numbers the variables in its operands, ``makes`` what it returns.
    """

    instruction: Instruction
    at: int
    reads: dict[Var, Number]
    makes: tuple[Number, ...]

    def perform(self, value: Callable[[Number], float]) -> Sequence[Any]:
        """Do it, with the operands' values; what it returned, one for each of ``makes``."""
        i = self.instruction
        known = {var: var.kind(value(number)) for var, number in self.reads.items()}
        args, params = substituted((i.operands, i.params), known.__getitem__)
        out = i.op.compute(args, params)
        return (out,) if len(i.outs) == 1 else out


@dataclass(frozen=True, eq=False)
class Tape:
    """A program of scalars; ``op`` indexes ``rows``, ``args`` holds ``WIDTH`` numbers each.

    A row comes with how many operands it is given; ``constants`` are different from each other.

    A result is the number of a value and its type; a result that was a constant of the program is
    itself, of type None. ``names`` are the user's, of values that have one.
    """

    rows: list[tuple[Primitive, int]]
    op: Array  # int64, one per instruction
    args: Array  # int64, WIDTH per instruction
    entries: int
    outside: int  # how many values come from outside: the entries, and what hosts return
    constants: Array  # float64
    effects: list[Effect]
    results: list[tuple[Any, type | None]]
    truths: Array  # whether each value is a truth, kept as 0.0 or 1.0
    names: dict[Number, str]

    @property
    def base(self) -> Number:
        """The number of what the first instruction makes."""
        return 1 + self.outside + len(self.constants)

    def __len__(self) -> int:
        return len(self.op)

    def observed(self) -> Iterator[Number]:
        """The values that results and effects read."""
        yield from (number for number, kind in self.results if kind is not None)
        for effect in self.effects:
            yield from effect.reads.values()

    def restricted(self, kept: Array, args: Array, same: Array) -> Tape:
        """With the instructions where ``kept`` holds and other operands.

        ``same`` gives the number of the value that takes the place of each.
        """
        shift = np.concatenate([np.arange(self.base), self.base + np.cumsum(kept) - kept])
        count = np.concatenate([[0], np.cumsum(kept)])

        def new(x: Number) -> Number:
            return int(shift[same[x]])

        return replace(
            self,
            op=self.op[kept],
            args=shift[args[kept]],
            effects=[
                replace(e, at=int(count[e.at]), reads={v: new(x) for v, x in e.reads.items()})
                for e in self.effects
            ],
            results=[(x if kind is None else new(x), kind) for x, kind in self.results],
            truths=np.concatenate([self.truths[: self.base], self.truths[self.base :][kept]]),
            names={new(x): name for x, name in self.names.items()},
        )


def fits_tape(program: Program) -> bool:
    """Whether a program is one of scalars throughout, made of rows with few operands."""
    return all(var.kind in KINDS for var in program.entries) and all(
        _is_scalar(i) if i.op.__class__ in ROWS else _is_effect(i) for i in program.instructions
    )


def _is_scalar(i: Instruction) -> bool:
    outs, operands = i.outs, i.operands
    if len(outs) != 1 or outs[0].kind not in KINDS or i.params or len(operands) > WIDTH:
        return False
    return all([x.__class__ is Var or x.__class__ in NUMBERS for x in operands])  # noqa: C419


def _is_effect(i: Instruction) -> bool:
    made = (*i.outs, *(() if i.op.__class__ is Host else i.reads()))
    return i.op.__class__ in EFFECTS and all(var.kind in KINDS for var in made)


def encode(program: Program) -> Tape:
    """The arrays of a program that ``fits_tape``."""
    effects: list[tuple[Instruction, int]] = []
    outs: list[Var] = []
    operands: list[Any] = []
    counts: list[int] = []
    ops: list[int] = []
    rows: dict[Primitive, int] = {}
    for i in program.instructions:  # visited once: that is what takes the time
        if i.op.__class__ in EFFECTS:
            effects.append((i, len(outs)))
            continue
        operands += i.operands
        counts.append(len(i.operands))
        ops.append(rows.setdefault(i.op, len(rows)))
        outs.append(i.outs[0])
    outside = [*program.entries, *(var for i, _ in effects for var in i.outs)]
    first = 1 + len(outside)  # the number of the first constant, in the end
    number = dict(zip(outside, range(1, first)))
    number.update(zip(outs, range(first, first + len(outs))))
    found = np.array([number.get(x, NOTHING) for x in operands], np.int64)
    where = np.flatnonzero(found == NOTHING)
    constants, which = distinct([operands[k] for k in where.tolist()])
    shift = len(constants)
    found[found >= first] += shift
    found[where] = first + which
    args = np.full((len(outs), WIDTH), NOTHING)
    args[np.arange(WIDTH) < np.array(counts, np.int64)[:, None]] = found

    def final(var: Var) -> Number:
        return number[var] + shift if number[var] >= first else number[var]

    op, kinds = with_counts(ops, counts, list(rows))
    return Tape(
        rows=kinds,
        op=op,
        args=args,
        entries=len(program.entries),
        outside=len(outside),
        constants=constants,
        effects=[
            Effect(i, at, {var: final(var) for var in i.reads()}, tuple(map(final, i.outs)))
            for i, at in effects
        ],
        results=[(final(x), x.kind) if x.__class__ is Var else (x, None) for x in program.results],
        truths=np.concatenate([[False], _truths(outside), np.zeros(shift, bool), _truths(outs)]),
        names={final(var): var.name for var in number if var.name is not None},
    )


def with_counts(
    ops: Sequence[int], counts: Any, rows: list[Primitive]
) -> tuple[Array, list[tuple[Primitive, int]]]:
    """Operations by row and number of operands: which each instruction is, and all of them."""
    keys = np.array(ops, np.int64) * (WIDTH + 1) + np.array(counts, np.int64)
    used = np.flatnonzero(np.bincount(keys))
    kinds = [(rows[key // (WIDTH + 1)], key % (WIDTH + 1)) for key in used.tolist()]
    return np.searchsorted(used, keys), kinds


def _truths(variables: Iterable[Var]) -> Array:
    return np.array([var.kind in TRUTHS for var in variables], bool)


def distinct(constants: list[float]) -> tuple[Array, Array]:
    """The different constants, by their bits, and where each of the given ones is among them."""
    numbers = np.array(constants, np.float64)
    bits, where = np.unique(numbers.view(np.int64), return_inverse=True)
    return bits.view(np.float64), where
