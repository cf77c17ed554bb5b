"""Nodes, rules, the table of operations, derivatives: the graph and everything that walks it."""

from microgradopt.engine import composites, derive, graph, rules, tensor, value
from microgradopt.engine.ops import elementwise, products, shapes

MODULES = (
    elementwise, shapes, products, composites, rules, graph, value, tensor, derive,
)  # fmt: skip
PUBLIC = [name for module in MODULES for name in module.__all__]
