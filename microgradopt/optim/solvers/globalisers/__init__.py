"""Globalisers: how far to go along or around a direction, so that a search arrives."""

from microgradopt.optim.solvers.globalisers.armijo import Armijo
from microgradopt.optim.solvers.globalisers.base import Globaliser
from microgradopt.optim.solvers.globalisers.damping import Damping
from microgradopt.optim.solvers.globalisers.rates import FixedRate, InverseCurvature
from microgradopt.optim.solvers.globalisers.trust_region import TrustRegion
from microgradopt.optim.solvers.globalisers.wolfe import StrongWolfe

__all__ = [
    "Armijo", "Damping", "FixedRate", "Globaliser", "InverseCurvature", "StrongWolfe",
    "TrustRegion",
]  # fmt: skip
