"""Structures whose form is known, taken apart and put together by code written for them.

A replay does this at every call; walking the structure again would take longer than small programs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from microgradopt.engine.graph import Node


@dataclass(frozen=True)
class Place:
    """In a structure, the place of a result of the program.

    Attributes:
        number: that of the result.
        kind: the class of the node that is to hold it; None where no node does.
        name, grad: of that node.
    """

    number: int
    kind: type[Node] | None = None
    name: str | None = None
    grad: Place | None = None


def held(kind: type[Node], data: Any, name: str | None, grad: Any) -> Node:
    """A constant node that holds a result."""
    node = kind.__new__(kind)._become_leaf(data, 0, name)
    node.grad = grad
    return node


def filler(tree: Any) -> Callable[[Sequence[Any]], Any]:
    """The function from the results of a run to a structure with results in their places."""
    constants: list[Any] = []
    text = f"lambda r: {_expression(tree, constants)}"
    return eval(text, {"c": constants, "held": held})  # type: ignore[no-any-return]


def _expression(tree: Any, constants: list[Any]) -> str:
    def fixed(x: Any) -> str:
        constants.append(x)
        return f"c[{len(constants) - 1}]"

    if type(tree) is Place:
        value = f"r[{tree.number}]"
        if tree.kind is None:
            return value
        grad = "None" if tree.grad is None else _expression(tree.grad, constants)
        return f"held({fixed(tree.kind)}, {value}, {fixed(tree.name)}, {grad})"
    if isinstance(tree, dict):
        return (
            "{"
            + ", ".join(f"{fixed(k)}: {_expression(x, constants)}" for k, x in tree.items())
            + "}"
        )
    if isinstance(tree, (list, tuple)):
        inside = "".join(f"{_expression(x, constants)}, " for x in tree)
        if hasattr(tree, "_fields"):
            return f"{fixed(type(tree))}({inside})"
        return f"[{inside}]" if isinstance(tree, list) else f"({inside})"
    return fixed(tree)


def picker(tree: Any, is_leaf: Callable[[Any], bool]) -> Callable[[Any], list[Any]]:
    """The function from a structure of this form to the list of its leaves.

    It raises a LookupError for a structure that lacks one of them.
    """
    constants: list[Any] = []
    paths: list[str] = []

    def visit(tree: Any, path: str) -> None:
        if is_leaf(tree):
            paths.append(path)
            return
        for key in tree if isinstance(tree, dict) else range(len(tree or ())):
            constants.append(key)
            visit(tree[key], f"{path}[c[{len(constants) - 1}]]")

    visit(tree, "s")
    return eval(f"lambda s: [{', '.join(paths)}]", {"c": constants})  # type: ignore[no-any-return]
