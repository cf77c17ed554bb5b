"""``Module``: something with parameters that is called like a function."""

from __future__ import annotations

from collections.abc import Iterator
from reprlib import recursive_repr
from typing import Any, Self

from microgradopt.engine.graph import Node


class Module:
    """The base of networks and layers: write ``__init__`` and ``forward``.

    Every leaf that requires a gradient and is an attribute, or in a list, tuple or dict that is
    one, is a parameter; so are those of modules found the same way. Nothing needs registering.

    >>> import microgradopt as mg
    >>> class Line(mg.nn.Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = mg.Value(2.0), mg.Value(1.0)
    ...     def forward(self, x):
    ...         return self.slope * x + self.offset
    >>> line = Line()
    >>> line(3.0).item(), list(line.named_parameters())
    (7.0, [('slope', Value(2.0)), ('offset', Value(1.0))])
    """

    training = True

    def forward(self, *args: Any, **options: Any) -> Any:
        """What calling the module computes; subclasses say it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.forward(*args, **options)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, with dotted names such as ``layers.0``."""
        for name, x in _contents(self, prefix):
            if isinstance(x, Module):
                yield name, x

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """The parameters, each once, with dotted names such as ``layers.0.weight``."""
        for name, x in _contents(self, prefix):
            if isinstance(x, Node) and x.op is None and x.requires_grad:
                yield name, x

    def parameters(self) -> list[Any]:
        """The parameters, in the order in which they were defined."""
        return [p for _, p in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training mode, or out of it."""
        for _, module in self.named_modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation mode; the same as ``train(False)``."""
        return self.train(False)

    def name_parameters(self) -> Self:
        """Call each parameter by its dotted name, in pictures and messages."""
        for name, p in self.named_parameters():
            p.name = name
        return self

    @recursive_repr()
    def __repr__(self) -> str:
        inner = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if isinstance(v, Module))
        return f"{type(self).__name__}({inner})"


def _contents(root: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Modules and nodes reachable through attributes and containers, depth first, each once."""
    seen: set[int] = set()
    stack = [(prefix, root)]
    while stack:
        name, x = stack.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, (Module, Node)):
            yield name, x
        children: list[tuple[Any, Any]] = []
        if isinstance(x, Module):
            children = list(vars(x).items())
        elif isinstance(x, dict):
            children = list(x.items())
        elif isinstance(x, (list, tuple)):
            children = list(enumerate(x))
        for key, child in reversed(children):
            stack.append((f"{name}.{key}" if name else str(key), child))
