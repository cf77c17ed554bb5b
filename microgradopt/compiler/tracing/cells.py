"""Where a traced function finds its state: read before each run of the program, written after it.

A cell is one place: the data of a leaf, its gradient, or an attribute of an object, such as an
optimizer's, that holds a structure of numbers and arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from microgradopt.engine.graph import Node


class Cell(Protocol):
    """One place of state; its content is a structure, of one number or array if nothing else."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from other cells."""

    def read(self) -> Any:
        """What is there now."""

    def write(self, new: Any) -> None:
        """Set it."""


class LeafData:
    """The data of a leaf; writing moves the leaf to the end of the counter."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def key(self) -> tuple[Any, ...]:
        return "data", id(self.node)

    def read(self) -> Any:
        return self.node._raw

    def write(self, new: Any) -> None:
        self.node.assign(new)


class LeafGrad:
    """The gradient of a leaf; None where there is none."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def key(self) -> tuple[Any, ...]:
        return "grad", id(self.node)

    def read(self) -> Any:
        return self.node.grad

    def write(self, new: Any) -> None:
        self.node.grad = new


@dataclass(eq=True, frozen=True)
class Attribute:
    """An attribute of an object that takes part in the trace.

    ``written`` says whether what the call makes of it is put there.
    """

    owner: Any
    name: str
    written: bool = True

    @property
    def key(self) -> tuple[Any, ...]:
        return id(self.owner), self.name

    def read(self) -> Any:
        return getattr(self.owner, self.name)

    def write(self, new: Any) -> None:
        setattr(self.owner, self.name, new)
