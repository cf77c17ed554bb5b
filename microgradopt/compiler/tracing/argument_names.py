"""What the arguments of a call are called, for the source and the picture of its program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any


def argument_names(
    function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Iterator[str]:
    """A name for each leaf of the arguments, in order: ``x``, or ``batch[0]`` inside of a batch."""
    for name, x in zip(_positional(function), args):
        yield from _leaf_names(name, x)
    for name, x in options.items():
        yield from _leaf_names(name, x)


def _positional(function: Callable[..., Any]) -> Iterator[str]:
    """The names of as many positional arguments as there may be."""
    rest = "x"
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions of C have no signature
        parameters = {}.values()
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = parameter.name
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            yield parameter.name
    yield from map((rest + "[{}]").format, count())


def _leaf_names(name: str, tree: Any) -> Iterator[str]:
    if tree is None:
        return
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from _leaf_names(f"{name}[{key!r}]", branch)
    elif isinstance(tree, (list, tuple)):
        for i, branch in enumerate(tree):
            yield from _leaf_names(f"{name}[{i}]", branch)
    else:
        yield name
