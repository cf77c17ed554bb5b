"""Gradient checks: a function's derivatives, or a primitive's rule, against numerical ones.

What needs Hypothesis (``strategies``, ``properties``, ``property``) is imported when asked for.
"""

from importlib import import_module
from typing import Any

from microgradopt.check.comparison import compare
from microgradopt.check.gradients import check_grads
from microgradopt.check.rules import check_rule

__all__ = ["check_grads", "check_rule", "compare"]

ON_REQUEST = {  # name: (module, what of it; None: the module itself)
    "strategies": ("microgradopt.check.strategies", None),
    "properties": ("microgradopt.check.properties", None),
    "property": ("microgradopt.check.properties", "property"),
}


def __getattr__(name: str) -> Any:
    if name not in ON_REQUEST:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = ON_REQUEST[name]
    found = import_module(module)
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *ON_REQUEST})
