"""Every public function that is made of rows, with its NumPy counterpart and points to test at."""

from function_cases import (
    activations,
    arranging,
    differences,
    indexing,
    linalg,
    products,
    reductions,
    shapes,
    statistics,
    ufuncs,
)

FAMILIES = (
    activations, reductions, statistics, ufuncs, shapes, indexing, arranging, differences, products,
    linalg,
)  # fmt: skip
CASES = [case for family in FAMILIES for case in family.CASES]
