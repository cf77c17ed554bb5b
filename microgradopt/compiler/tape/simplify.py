"""Passes on a tape: what is computed twice, what changes nothing, what nobody reads.

Copies of one formula must stay copies, or the lanes are lost: where a constant differs from copy to
copy, a product with it is left out in all of them or in none. So rules ask about a whole class of
values of the same shape: made by the same rows from the same kinds of leaves, all the way down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microgradopt.compiler.tape import compiled
from microgradopt.compiler.tape.arrays import NOTHING, Tape
from microgradopt.engine.graph import Array

NEVER_MINUS_ZERO = frozenset((
    "absolute", "equal", "exp", "greater", "greater_equal", "isfinite", "isnan", "less",
    "less_equal", "logical_and", "logical_not", "logical_or", "not_equal", "relu", "sigmoid",
    "square",
))  # fmt: skip


def simplified(tape: Tape, *, native: bool) -> tuple[Tape, Array]:
    """A tape with the same results to the bit, and the shape of each of its values.

    Two values have the same shape, a number, where they are the same formula of entries and
    constants, whichever entries and constants these are. With ``native``, compiled loops help.
    """
    numbered, needed = (_numbered, _needed) if not native else (compiled.numbered, compiled.needed)
    shape = numbered(tape.op, _aliased(tape)[tape.args], _leaf_shapes(tape))
    same = _unchanged(tape, shape)
    same = numbered(tape.op, same[tape.args], np.arange(tape.base))[same]
    args = same[tape.args]
    seeds = np.zeros(tape.base + len(tape), bool)
    seeds[same[np.array(list(tape.observed()), np.int64)]] = True
    kept = needed(args, seeds, tape.base)[tape.base :]
    kept &= same[tape.base :] == np.arange(tape.base, tape.base + len(tape))
    tape = tape.restricted(kept, args, same)
    return tape, numbered(tape.op, tape.args, _leaf_shapes(tape))


def _numbered(op: Array, args: Array, leaves: Array) -> Array:
    """Give equal instructions the same label: that of the first, which is its own number.

    Instructions are equal where their operations are and their operands have equal labels;
    ``leaves`` labels the values before the first instruction.
    """
    label: list[int] = leaves.tolist()
    seen: dict[int, int] = {}
    known, number = seen.setdefault, len(label)
    width = number + len(op)  # packs four numbers into one: a tuple takes the collector's time
    for o, a, b, c in zip(op.tolist(), *args.T.tolist()):
        key = ((o * width + label[a]) * width + label[b]) * width + label[c]
        label.append(known(key, number))
        number += 1
    return np.array(label, np.int64)


def _leaf_shapes(tape: Tape) -> Array:
    """One shape for all entries, one for all constants; what hosts return is like nothing else."""
    label = np.arange(tape.base)
    label[1 : tape.entries + 1] = 1
    label[tape.outside + 1 :] = tape.outside + 1
    return label


def _aliased(tape: Tape) -> Array:
    """For each value, the one it is another name of, or itself."""
    same = np.arange(tape.base + len(tape))
    where = np.flatnonzero(tape.op == number_of(tape, "alias"))
    same[where + tape.base] = tape.args[where, 0]
    return followed(same)


def _unchanged(tape: Tape, shape: Array) -> Array:
    """For each value, the one it is a copy of, such as x of x · 1; or itself."""
    facts = _Facts.of(tape)
    same = np.arange(len(facts.one))
    for i in (0, 1):
        where = np.flatnonzero(_in_whole_classes(facts.keeps(i), shape[tape.base :]))
        same[where + tape.base] = tape.args[where, i]
    return followed(same)


def followed(pointers: Array) -> Array:
    """Where one gets to by following the pointers to the end."""
    while True:
        further = pointers[pointers]
        if np.array_equal(further, pointers):
            return pointers
        pointers = further


def _in_whole_classes(mask: Array, shape: Array) -> Array:
    """Where the mask holds for all instructions of the same shape."""
    spoiled = np.zeros(int(shape.max(initial=0)) + 1, bool)
    spoiled[shape[~mask]] = True
    return ~spoiled[shape]


@dataclass(frozen=True, eq=False)
class _Facts:
    """What is known of values beforehand, by their numbers."""

    tape: Tape
    one: Array
    zero: Array  # +0, not −0
    minus_zero: Array
    never_minus_zero: Array

    @classmethod
    def of(cls, tape: Tape) -> _Facts:
        size = tape.base + len(tape)
        constant = slice(tape.outside + 1, tape.base)
        values = np.full(size, np.nan)
        values[constant] = tape.constants
        minus_zero = (values == 0.0) & np.signbit(values)
        never = np.zeros(size, bool)
        never[constant] = ~minus_zero[constant]
        harmless = np.array([row.name in NEVER_MINUS_ZERO for row, _ in tape.rows], bool)
        never[tape.base :] = harmless[tape.op]
        # A sum is −0 only where both terms are: it is not where one of them never is.
        added = np.flatnonzero(tape.op == number_of(tape, "add"))
        for _ in range(3):  # further down hardly matters
            never[tape.base + added] = never[tape.args[added, :2]].any(axis=1)
        return cls(tape, values == 1.0, (values == 0.0) & ~minus_zero, minus_zero, never)

    def keeps(self, i: int) -> Array:
        """Which instructions give their operand i back, whatever it is."""
        x, y = self.tape.args[:, i], self.tape.args[:, 1 - i]
        one = self.one[y]
        nothing = self.minus_zero[y] | (self.zero[y] & self.never_minus_zero[x])
        rules = {"multiply": one, "chain": one, "add": nothing}
        if i == 0:
            rules |= {"divide": one, "subtract": self.zero[y], "alias": y == NOTHING}
        mask = np.zeros(len(self.tape), bool)
        for name, holds in rules.items():
            mask |= (self.tape.op == number_of(self.tape, name)) & holds
        mask &= self.tape.truths[x] == self.tape.truths[self.tape.base :]
        return mask


def number_of(tape: Tape, name: str) -> int:
    """The number of a row on a tape; −1 where it is not used."""
    names: Sequence[str] = [row.name for row, _ in tape.rows]
    return names.index(name) if name in names else -1


def _needed(args: Array, seeds: Array, base: int) -> Array:
    """What is needed for the values that are known to be."""
    needed = bytearray(seeds)
    made = len(needed) - 1
    for a, b, c in zip(*args[::-1].T.tolist()):
        if needed[made]:
            needed[a] = needed[b] = needed[c] = True
        made -= 1
    return np.frombuffer(needed, bool).copy()
