"""microgradopt: a small autograd you can read in an afternoon and see on the screen."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from microgradopt import engine, errors
from microgradopt.engine import linalg
from microgradopt.engine.activations import *
from microgradopt.engine.composites import *
from microgradopt.engine.custom import *
from microgradopt.engine.debug import *
from microgradopt.engine.derive import *
from microgradopt.engine.modes import *
from microgradopt.engine.norms import *
from microgradopt.engine.ops.arranging import *
from microgradopt.engine.ops.differences import *
from microgradopt.engine.ops.elementwise import *
from microgradopt.engine.ops.gates import *
from microgradopt.engine.ops.indexing import *
from microgradopt.engine.ops.polynomials import *
from microgradopt.engine.ops.products import *
from microgradopt.engine.ops.shapes import *
from microgradopt.engine.ops.special import *
from microgradopt.engine.ops.ufuncs import *
from microgradopt.engine.padding import *
from microgradopt.engine.reductions import *
from microgradopt.engine.rules import *
from microgradopt.engine.tensor import *
from microgradopt.engine.value import *

if TYPE_CHECKING:
    from microgradopt import check, datasets, nn, optim, plot, surfaces
    from microgradopt.drawing import Drawing, draw
    from microgradopt.state import load, save

abs = absolute  # NumPy has both names

__version__ = "0.1.0"

# Imported when first used: not every program has a network, or draws.
_ON_REQUEST = {
    "Drawing": "drawing",
    "check": "check",
    "datasets": "datasets",
    "draw": "drawing",
    "jit": "compiler.function",
    "nn": "nn",
    "optim": "optim",
    "load": "state",
    "plot": "plot",
    "save": "state",
    "surfaces": "surfaces",
}

__all__ = [  # noqa: PLE0604  # each module of the engine says what of it is public
    "Drawing", "abs", "check", "datasets", "draw", "errors", "jit", "linalg", "load", "nn", "optim",
    "plot", "save", "surfaces",
    *engine.PUBLIC,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _ON_REQUEST:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_ON_REQUEST[name]}")
    return module if module.__name__.endswith(f".{name}") else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_REQUEST})
