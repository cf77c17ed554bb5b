"""A compiled program with its outside: what its entries are, and what its results become."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from microgradopt.compiler.program import Program

Role: TypeAlias = Literal["argument", "parameter", "fixed", "grad", "state", "returned"]
# parameter: the data of a leaf with gradient; fixed: of one without; state: of an optimizer or such


@dataclass(frozen=True)
class Tie:
    """One end of a wire between a program and the outside.

    Attributes:
        name: a short one: of the argument, of the leaf, of the number or array in a state; of a
            returned one, where it is in what is returned.
        of: of which part of a state; empty elsewhere.
        where: the whole of it, as one would write it.
    """

    role: Role
    name: str
    of: str
    where: str


@dataclass(eq=False)
class WiredProgram(Program):
    """A program that knows what it was made from.

    Attributes:
        name: of the function.
        sources: what each entry is.
        targets: for each result all that it becomes.
    """

    name: str = ""
    sources: list[Tie] = field(default_factory=list)
    targets: list[list[Tie]] = field(default_factory=list)
