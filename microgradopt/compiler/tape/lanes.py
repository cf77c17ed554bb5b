"""Copies of one formula in a tape: which instructions do the same for one sample after the other.

Nothing but speed depends on what is found. A group is any set of instructions of the same shape:
none of them can depend on another, and since operands of equally deep formulas are less deep,
groups run in order of depth never wait for each other in a circle.

Most groups are found from sums. What a loss or the gradient of a parameter adds up are the copies'
contributions: their operands, position by position, are groups again, down to the leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from microgradopt.compiler.tape.arrays import Tape
from microgradopt.compiler.tape.simplify import followed, number_of
from microgradopt.engine.graph import Array

FEWEST = 4  # lanes worth a vector instruction

MANY = 1000  # singles

FREE, SUMMED = -1, -2


@dataclass(frozen=True, eq=False)
class Sum:
    """Adds one after the other that nobody else reads: ``first``, then terms, in order.

    ``adds`` are the numbers of the partial sums, the last of which is the result.
    """

    adds: Array
    first: int
    terms: Array


@dataclass(eq=False)
class Lanes:
    """The groups and sums found in a tape; ``unit`` says for each value which group it is in."""

    tape: Tape
    shape: Array
    unit: Array
    groups: list[Array] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)


def find_lanes(tape: Tape, shape: Array, uses: Array) -> Lanes:
    """Find groups and sums; ``uses`` counts who reads each value."""
    unit = np.full(tape.base + len(tape), FREE)
    lanes = Lanes(tape, shape, unit)
    for chain in _chains(tape, shape, uses):
        _sum_up(lanes, chain)
    for members in _of_same_shape(lanes):
        _group(lanes, members)
    return lanes


@dataclass(frozen=True, eq=False)
class _Chain:
    """Adds of which each continues the last; terms of the same shape from one cut to the next."""

    adds: Array
    first: int
    terms: Array
    cuts: Array


def _chains(tape: Tape, shape: Array, uses: Array) -> list[_Chain]:
    """The chains with terms that may be lanes, the longest first."""
    base = tape.base
    adds = np.flatnonzero(tape.op == number_of(tape, "add")) + base
    links = np.zeros(base + len(tape), bool)
    links[adds] = uses[adds] == 1
    a, b = tape.args[adds - base, 0], tape.args[adds - base, 1]
    mirrored = links[b] & ~links[a]
    so_far, term = np.where(mirrored, b, a), np.where(mirrored, a, b)
    previous = np.arange(base + len(tape))
    previous[adds] = np.where(links[so_far], so_far, adds)
    heads = followed(previous)[adds]
    order = np.argsort(heads, kind="stable")
    heads, terms = heads[order], term[order]
    starts = _changes(heads)
    cuts = np.union1d(starts, _changes(shape[terms]))
    wide = cuts[np.diff(cuts, append=len(order)) >= FEWEST]
    chosen = np.unique(np.searchsorted(starts, wide, side="right") - 1)
    ends, cuts = np.append(starts[1:], len(order)), np.append(cuts, len(order))
    found = []
    for i in chosen[np.argsort(starts[chosen] - ends[chosen], kind="stable")].tolist():
        start, end = int(starts[i]), int(ends[i])
        members = order[start:end]
        inside = cuts[np.searchsorted(cuts, start) : np.searchsorted(cuts, end) + 1] - start
        first = int(so_far[members[0]])
        found.append(_Chain(adds[members], first, terms[start:end], inside))
    return found


def _changes(values: Array) -> Array:
    """Where runs of equal values begin."""
    return np.flatnonzero(np.diff(values, prepend=-1))


def _sum_up(lanes: Lanes, chain: _Chain) -> None:
    """Group the terms of a chain, and have it added up at once where they are of the same shape."""
    if (lanes.unit[chain.adds] != FREE).any():
        return
    for start, end in pairwise(chain.cuts.tolist()):
        if end - start >= FEWEST:
            first = int(chain.adds[start - 1]) if start else chain.first
            terms = chain.terms[start:end]
            alike = start == 0 and lanes.shape[chain.first] == lanes.shape[terms[0]]
            _group(lanes, np.append(chain.first, terms) if alike else terms)
            lanes.unit[chain.adds[start:end]] = SUMMED
            lanes.sums.append(Sum(chain.adds[start:end], first, terms))


def _group(lanes: Lanes, seeds: Array) -> None:
    """Make groups of instructions of the same shape, and of their operands, down to the leaves."""
    tape, unit = lanes.tape, lanes.unit
    todo = [seeds]
    while todo:
        members = todo.pop()
        members = members[(members >= tape.base) & (unit[members] == FREE)]
        members = _unrepeated(members)
        if len(members) < FEWEST:
            continue
        unit[members] = len(lanes.groups)
        lanes.groups.append(members)
        operands = tape.args[members - tape.base].T
        todo += [x for x in operands if x[0] >= tape.base and x[0] != x[-1]]


def _unrepeated(members: Array) -> Array:
    """Each member once, in the order in which they first come."""
    if (members[1:] > members[:-1]).all() or (members[1:] < members[:-1]).all():
        return members
    _, first = np.unique(members, return_index=True)
    return members[np.sort(first)]


def _of_same_shape(lanes: Lanes) -> list[Array]:
    """What is not in a group yet, by shape; the deepest formulas first."""
    free = np.flatnonzero(lanes.unit[lanes.tape.base :] == FREE) + lanes.tape.base
    order = np.argsort(lanes.shape[free], kind="stable")
    shapes = lanes.shape[free][order]
    starts = _changes(shapes)
    lengths = np.diff(starts, append=len(order))
    wide = np.flatnonzero(lengths >= FEWEST)[::-1]
    return [free[order[starts[i] : starts[i] + lengths[i]]] for i in wide]


def level_by_level(lanes: Lanes, level: Array) -> None:
    """Group what is left by row and level, unless it is so little that Python may do it."""
    tape = lanes.tape
    free = np.flatnonzero(lanes.unit[tape.base :] == FREE) + tape.base
    if len(free) < MANY:
        return
    key = level[free] * len(tape.rows) + tape.op[free - tape.base]
    order = np.argsort(key, kind="stable")
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    for members in np.split(free[order], cuts):
        if len(members) >= FEWEST:
            lanes.unit[members] = len(lanes.groups)
            lanes.groups.append(members)
