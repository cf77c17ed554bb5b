"""A product that only one sum reads, and that sum, as one instruction of the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microgradopt.compiler.tape.arrays import Tape
from microgradopt.compiler.tape.codes import CODE, FUSED, code_of
from microgradopt.compiler.tape.lanes import FREE, Lanes
from microgradopt.engine.graph import Array


@dataclass(frozen=True, eq=False)
class Coded:
    """The instructions of a tape as the machine has them; some are dead, being part of others."""

    code: Array
    args: Array
    alive: Array


def fused(lanes: Lanes, uses: Array) -> Coded:
    """Products and sums as one instruction each where nobody else reads the product."""
    tape = lanes.tape
    codes = np.array([code_of(row) for row, _ in tape.rows], np.int64)
    coded = Coded(codes[tape.op], tape.args.copy(), np.ones(len(tape), bool))
    combined = np.zeros(len(CODE), np.int64)
    for product, both in FUSED.items():
        combined[CODE[product]] = CODE[both]
    fusible = np.zeros(tape.base + len(tape), bool)
    fusible[tape.base :] = (combined[coded.code] > 0) & (uses[tape.base :] == 1)
    adds = np.flatnonzero(coded.code == CODE["add"]) + tape.base
    free = adds[lanes.unit[adds] == FREE]
    fusible_alone = fusible & (lanes.unit == FREE)
    for i in (1, 0):
        products = coded.args[free - tape.base, i]
        chosen = fusible_alone[products]
        _combine(coded, tape, combined, free[chosen], i)
        free = free[~chosen]
    for members in lanes.groups:
        if coded.code[members[0] - tape.base] == CODE["add"]:
            for i in (1, 0):
                products = tape.args[members - tape.base, i]
                group = lanes.unit[products[0]]
                if (
                    group >= 0
                    and (lanes.unit[products] == group).all()
                    and fusible[products].all()
                    and len(lanes.groups[group]) == len(members)
                ):
                    _combine(coded, tape, combined, members, i)
                    break
    return coded


def _combine(coded: Coded, tape: Tape, combined: Array, adds: Array, i: int) -> None:
    at = adds - tape.base
    products = coded.args[at, i] - tape.base
    coded.code[at] = combined[coded.code[products]]
    coded.args[at] = np.column_stack([coded.args[at, 1 - i], coded.args[products, :2]])
    coded.alive[products] = False
