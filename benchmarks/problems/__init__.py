"""Sums of squares whose minima are known, for tests and benchmarks of optimizers.

>>> import numpy as np
>>> from benchmarks.problems import BY_NAME, load
>>> rosenbrock = BY_NAME["Rosenbrock"]
>>> rosenbrock.residuals(np.array(rosenbrock.start))
array([-4.4,  2.2])
>>> rosenbrock.minima
(0.0,)
>>> [regression.name for regression in load() if regression.level == "Average"][:2]
['ENSO', 'Gauss3']
"""

from benchmarks.problems.nist import Regression, load, log_relative_error
from benchmarks.problems.squares import Problem, SumOfSquares
from benchmarks.problems.unconstrained import ALL, BY_NAME

__all__ = [
    "ALL", "BY_NAME", "Problem", "Regression", "SumOfSquares", "load", "log_relative_error",
]  # fmt: skip
