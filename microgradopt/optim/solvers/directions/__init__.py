"""Directions: where to go from a point. Each may be paired with a globaliser that it goes with."""

from microgradopt.optim.solvers.directions.base import Direction
from microgradopt.optim.solvers.directions.bfgs import BFGS
from microgradopt.optim.solvers.directions.conjugate_gradient import ConjugateGradient
from microgradopt.optim.solvers.directions.gauss_newton import GaussNewton
from microgradopt.optim.solvers.directions.lbfgs import LBFGS
from microgradopt.optim.solvers.directions.lbfgsb import LBFGSB
from microgradopt.optim.solvers.directions.newton import Newton
from microgradopt.optim.solvers.directions.newton_cg import NewtonCG
from microgradopt.optim.solvers.directions.steepest import Steepest

__all__ = [
    "BFGS", "LBFGS", "LBFGSB", "ConjugateGradient", "Direction", "GaussNewton", "Newton",
    "NewtonCG", "Steepest",
]  # fmt: skip
