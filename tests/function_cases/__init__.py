"""Every public function that is made of rows, with its NumPy counterpart and points to test at."""

from function_cases import products, reductions, shapes

CASES = [case for family in (reductions, shapes, products) for case in family.CASES]
