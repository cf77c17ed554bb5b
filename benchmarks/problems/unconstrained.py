"""The unconstrained problems of Moré, Garbow and Hillstrom.

J. J. Moré, B. S. Garbow and K. E. Hillstrom, "Testing Unconstrained Optimization Software", ACM
Transactions on Mathematical Software 7 (1981), 17–41: all 35, in the order of the paper, some of
them in several sizes.
"""

from __future__ import annotations

from benchmarks.problems.any_size import ANY_SIZE
from benchmarks.problems.fixed_size import FIXED_SIZE
from benchmarks.problems.squares import Problem

ALL: tuple[Problem, ...] = (*FIXED_SIZE, *ANY_SIZE)
BY_NAME: dict[str, Problem] = {problem.name: problem for problem in ALL}
