"""Nested lists, tuples and dicts of numbers and arrays, taken apart and put together again."""

from collections.abc import Callable, Sequence
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


def aligned(tree: Any, like: Any, where: str = "") -> list[tuple[Any, Any]]:
    """The leaves of ``like``, each with what stands in its place in ``tree``; dicts go by key.

    Raises:
        LookupError: where the two differ, naming the place.
    """
    if like is None and tree is None:
        return []
    if isinstance(like, dict):
        if not isinstance(tree, dict) or set(tree) != set(like):
            raise LookupError(f"{where} is not a dict with the keys {list(like)}")
        return [pair for k in like for pair in aligned(tree[k], like[k], f"{where}[{k!r}]")]
    if isinstance(like, (list, tuple)):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(like):
            raise LookupError(f"{where} is not a {type(like).__name__} of {len(like)}")
        pairs = (aligned(t, x, f"{where}[{i}]") for i, (t, x) in enumerate(zip(tree, like)))
        return [pair for found in pairs for pair in found]
    if isinstance(tree, (dict, tuple)):
        raise LookupError(f"{where} is a {type(tree).__name__} in the place of one array")
    return [(tree, like)]


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


def of_places(
    f: Callable[..., Any], args: Sequence[Any], places: Sequence[int], options: dict[str, Any]
) -> Callable[..., Any]:
    """``f`` as a function of the arguments at some ``places`` alone; the others stay."""

    def of_chosen(*values: Any) -> Any:
        full = list(args)
        for i, value in zip(places, values, strict=True):
            full[i] = value
        return f(*full, **options)

    return of_chosen
