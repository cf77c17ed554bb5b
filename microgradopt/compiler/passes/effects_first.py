"""Effects first: guards and checks pass before anything that does not lead to them is computed."""

from __future__ import annotations

from microgradopt.compiler.program import EFFECTS, Program, Var


def with_effects_first(program: Program) -> Program:
    """The program with what no effect depends on moved after the last of them.

    So results that stand in no effect's way may overwrite the state they replace.
    """
    wanted: set[Var] = set()
    early, late = [], []
    for i in reversed(program.instructions):
        if isinstance(i.op, EFFECTS) or not wanted.isdisjoint(i.outs):
            wanted.update(i.reads())
            early.append(i)
        else:
            late.append(i)
    ordered = early[::-1] + late[::-1]
    if not early or ordered == program.instructions:
        return program
    return Program(program.entries, ordered, program.results)
