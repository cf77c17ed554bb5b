"""Constant folding: what depends on constants only is computed once, before the first run."""

from __future__ import annotations

from typing import Any

import numpy as np

from microgradopt.compiler.passes.rewriting import ATOMS, Renaming
from microgradopt.compiler.program import EFFECTS, Instruction, Program, Var, variables

ROOM = 4096  # bytes by which a folded result may be larger than what it was computed from


def with_constants_folded(program: Program) -> Program:
    """The program with the results of constant instructions in the places of their variables.

    A result that takes much more memory than its operands is left to be computed at each run, and
    so is what raises: it is to raise there.
    """
    renaming = Renaming()
    kept = []
    for old in program.instructions:
        i = renaming.applied(old)
        if _is_constant(i) and _fold(i, renaming):
            continue
        kept.append(i)
    return renaming.finished(program, kept)


def _is_constant(i: Instruction) -> bool:
    for x in i.operands:
        if x.__class__ is Var:
            return False
    if isinstance(i.op, EFFECTS) or not all(x.kind is not object for x in i.outs):
        return False
    trees = [x for x in i.operands if x.__class__ not in ATOMS]
    return next(variables([trees, i.params]), None) is None


def _fold(i: Instruction, renaming: Renaming) -> bool:
    room = ROOM + sum(x.nbytes for x in i.operands if isinstance(x, np.ndarray))
    if sum(x.nbytes for x in i.outs) > room:
        return False
    try:
        out: Any = i.op.compute(i.operands, i.params)
    except Exception:
        return False
    renaming.update(zip(i.outs, (out,) if len(i.outs) == 1 else out, strict=True))
    return True
