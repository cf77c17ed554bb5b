"""Understanding a surface: what its first and second derivatives say of it at a point.

Is it a minimum, a maximum or a saddle; how sharply does it bend, and which learning rate does that
allow; which polynomial is close to it; how are the eigenvalues of its Hessian spread.
"""

from microgradopt.optim.surface.classification import Classification, classify
from microgradopt.optim.surface.eigenvalues import (
    Eigenvalues,
    curvature_rate,
    dominant_eigenvalue,
    hessian_eigenvalues,
)
from microgradopt.optim.surface.series import Expansion, Polynomial, taylor
from microgradopt.optim.surface.spectrum import SpectralDensity, spectral_density

__all__ = [
    "Classification", "Eigenvalues", "Expansion", "Polynomial", "SpectralDensity", "classify",
    "curvature_rate", "dominant_eigenvalue", "hessian_eigenvalues", "spectral_density", "taylor",
]  # fmt: skip
