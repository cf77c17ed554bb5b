"""Nested lists, tuples and dicts of numbers and arrays, taken apart and put together again."""

from collections.abc import Callable
from typing import Any


def leaves(tree: Any) -> list[Any]:
    """What a structure is made of, in order; None is an empty structure."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [x for key in tree for x in leaves(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [x for branch in tree for x in leaves(branch)]
    return [tree]


def rebuild(tree: Any, values: list[Any]) -> Any:
    """A structure like ``tree`` with other ``values`` in its leaves."""
    remaining = iter(values)
    return map_structure(lambda _: next(remaining), tree)


def map_structure(f: Callable[[Any], Any], tree: Any) -> Any:
    """A structure like ``tree`` with ``f`` applied to each leaf."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: map_structure(f, branch) for key, branch in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_structure(f, branch) for branch in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_structure(f, branch) for branch in tree)
    return f(tree)
