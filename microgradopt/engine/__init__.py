"""Nodes, rules, the table of operations, derivatives: the graph and everything that walks it."""

from microgradopt.engine import (
    composites,
    custom,
    debug,
    derive,
    modes,
    norms,
    padding,
    reductions,
    rules,
    tensor,
    value,
)
from microgradopt.engine.ops import (
    arranging,
    differences,
    elementwise,
    indexing,
    polynomials,
    products,
    shapes,
    ufuncs,
)

MODULES = (
    elementwise, ufuncs, shapes, products, indexing, arranging, differences, polynomials,
    reductions, composites, padding, norms, rules, modes, value, tensor, derive, custom, debug,
)  # fmt: skip
PUBLIC = [name for module in MODULES for name in module.__all__]
