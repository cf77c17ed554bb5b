"""Passes: what makes a program shorter without changing a bit of its results.

Each is a function of a program that gives another, or the same one where there is nothing to do.
"""

from __future__ import annotations

from microgradopt.compiler.passes.common_subexpressions import without_repetitions
from microgradopt.compiler.passes.constant_folding import with_constants_folded
from microgradopt.compiler.passes.dead_code import without_dead_code
from microgradopt.compiler.passes.effects_first import with_effects_first
from microgradopt.compiler.passes.simplification import simplified
from microgradopt.compiler.program import Program

__all__ = [
    "PASSES", "simplified", "standard", "with_constants_folded", "with_effects_first",
    "without_dead_code", "without_repetitions",
]  # fmt: skip

PASSES = {
    "dead code": without_dead_code,  # first, so that the others have less to read
    "constants": with_constants_folded,
    "algebra": simplified,
    "repetitions": without_repetitions,
}


def standard(program: Program) -> list[tuple[str, Program]]:
    """The program after each pass, by the pass's name, until none finds anything more to do."""
    found = []
    idle = 0
    while idle < len(PASSES):
        for name, apply in PASSES.items():
            before, program = program, apply(program)
            idle = idle + 1 if program is before else 0
            found.append((name, program))
            if idle == len(PASSES):
                break
    return found
