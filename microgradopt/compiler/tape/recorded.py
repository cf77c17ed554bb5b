"""The tape of a program of scalars that was recorded in lists: no instruction becomes an object."""

from __future__ import annotations

import numpy as np

from microgradopt.compiler.tape.arrays import NOTHING, WIDTH, Tape, distinct, with_counts
from microgradopt.compiler.tracing.scalars import CONSTANT, NOTHING as ABSENT, ScalarProgram
from microgradopt.engine.graph import Array


def tape_of(program: ScalarProgram) -> Tape:
    """The arrays of a program of scalars."""
    scalars = program.scalars
    entries = len(program.entries)
    constants, which = distinct(scalars.constants)
    base = 1 + entries + len(constants)
    place = {var: 1 + i for i, var in enumerate(program.entries)}
    outside = np.array([place.get(var, NOTHING) for var in scalars.outside], np.int64)

    def numbers(codes: list[int]) -> Array:
        given = np.array(codes, np.int64)
        found = np.full(len(given), NOTHING)
        made = (given >= 0) & (given < CONSTANT)
        found[made] = base + given[made]
        fixed = given >= CONSTANT
        found[fixed] = 1 + entries + which[given[fixed] - CONSTANT]
        foreign = (given < 0) & (given != ABSENT)
        found[foreign] = outside[-1 - given[foreign]]
        return found

    args = np.full((len(scalars.op), WIDTH), NOTHING)
    args[:, 0], args[:, 1] = numbers(scalars.a), numbers(scalars.b)
    counts = 1 + (args[:, 1] != NOTHING)
    op, kinds = with_counts(scalars.op, counts.tolist(), scalars.rows)
    is_truth = np.isin(np.array(scalars.op, np.int64), list(scalars.truths))
    truths = np.concatenate([np.zeros(base, bool), is_truth])
    results = numbers([ABSENT if c is None else c for c in program.codes]).tolist()
    return Tape(
        rows=kinds,
        op=op,
        args=args,
        entries=entries,
        outside=entries,
        constants=constants,
        effects=[],
        results=[
            (x, None) if code is None else (number, bool if truths[number] else float)
            for x, code, number in zip(program.given, program.codes, results)
        ],
        truths=truths,
        names={place[var]: var.name for var in program.entries if var.name is not None},
    )
