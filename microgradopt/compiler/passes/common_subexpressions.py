"""Common subexpressions: the same operation on the same operands, computed once."""

from __future__ import annotations

from collections.abc import Hashable

from microgradopt.compiler.passes.rewriting import Renaming, key_of
from microgradopt.compiler.program import EFFECTS, Call, Instruction, Program, Var


def without_repetitions(program: Program) -> Program:
    """The program with every repeated instruction replaced by what the first of them made."""
    renaming = Renaming()
    first: dict[Hashable, tuple[Var, ...]] = {}
    kept = []
    for old in program.instructions:
        i = renaming.applied(old)
        if not isinstance(i.op, EFFECTS):
            outs = first.setdefault(_key(i), i.outs)
            if outs is not i.outs:
                renaming.update(zip(i.outs, outs, strict=True))
                continue
        kept.append(i)
    return renaming.finished(program, kept)


def _key(i: Instruction) -> Hashable:
    operands: Hashable = i.operands
    for x in i.operands:
        if x.__class__ is not Var and (x.__class__ is not float or not x or x != x):
            operands = key_of(i.operands)
            break
    op = key_of(i.op) if i.op.__class__ is Call else i.op
    return (op, operands, key_of(i.params)) if i.params else (op, operands)
