"""Nodes, rules, the table of operations, derivatives: the graph and everything that walks it."""

from microgradopt.engine import custom, debug, derive, interop, modes, norms, rules, tensor, value

MODULES = (
    *interop.FAMILIES, norms, rules, modes, value, tensor, derive, custom, debug,
)  # fmt: skip
PUBLIC = [name for module in MODULES for name in module.__all__]
