"""Dead code: what no result and no effect depends on."""

from __future__ import annotations

from microgradopt.compiler.passes.rewriting import ATOMS
from microgradopt.compiler.program import EFFECTS, Program, Var, variables


def without_dead_code(program: Program) -> Program:
    """The program without instructions that nothing needs. Effects stay."""
    needed = set(variables(program.results))
    kept = []
    for i in reversed(program.instructions):
        if needed.isdisjoint(i.outs) and not isinstance(i.op, EFFECTS):
            continue
        kept.append(i)
        for x in i.operands:
            if x.__class__ is Var:
                needed.add(x)
            elif x.__class__ not in ATOMS:
                needed.update(variables(x))
        if i.params:
            needed.update(variables(i.params))
    if len(kept) == len(program.instructions):
        return program
    return Program(program.entries, kept[::-1], program.results)
