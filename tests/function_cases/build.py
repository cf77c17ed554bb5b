"""What a case is, and how the families of cases are written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import microgradopt as mg


class Case(NamedTuple):
    """``f`` of nodes must have the values of ``reference`` of arrays, at ``args``."""

    name: str
    f: Callable[..., Any]
    reference: Callable[..., Any]
    args: tuple[Any, ...]
    label: str

    def __str__(self) -> str:
        return f"{self.name}-{self.label}"


class Cases(list[Case]):
    """The cases of one family of functions, and the generator their numbers come from."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> Any:
        """Numbers of both signs, lopsided, none close to 0 or to each other's ties."""
        return self.rng.normal(0.3, 1.5, shape)

    def add(
        self, name: str, reference: Callable[..., Any], *args: Any, label: str = "", **options: Any
    ) -> None:
        """The public function ``name`` with keyword ``options``; ``reference`` takes the same."""
        shown = ",".join(f"{key}={value!r}" for key, value in options.items()) or label or "plain"
        shapes = "×".join(str(np.shape(x)).replace(" ", "") for x in args)
        f, theirs = partial(getattr(mg, name), **options), partial(reference, **options)
        self.append(Case(name, f, theirs, args, f"{shapes}:{shown}"))

    def add_call(self, name: str, label: str, f: Any, reference: Any, *args: Any) -> None:
        """A call of ``name`` in any form."""
        self.append(Case(name, f, reference, args, label))
