"""Optimizers, and the transforms they are made of."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from microgradopt.optim.adafactor import (
    Adafactor,
    clip_by_rms,
    scale_by_factored_rms,
    scale_by_relative_step,
)
from microgradopt.optim.adam import Adam, AdamW, scale_by_adam
from microgradopt.optim.adamax import Adamax, scale_by_adamax
from microgradopt.optim.adaptive import Adadelta, Adagrad, scale_by_adadelta, scale_by_adagrad
from microgradopt.optim.clipping import clip_by_global_norm, clip_by_norm, clip_by_value
from microgradopt.optim.layerwise import LAMB, LARS, scale_by_trust_ratio
from microgradopt.optim.muon import Muon, orthogonalized, scale_by_muon
from microgradopt.optim.nadam import NAdam, RAdam, scale_by_nadam, scale_by_radam
from microgradopt.optim.nesterov import Nesterov, lookahead_momentum
from microgradopt.optim.optimizer import Optimizer
from microgradopt.optim.prodigy import Prodigy, scale_by_prodigy
from microgradopt.optim.rmsprop import RMSprop, scale_by_rms
from microgradopt.optim.rprop import Rprop, scale_by_rprop
from microgradopt.optim.schedule_free import (
    AdamWScheduleFree,
    SGDScheduleFree,
    schedule_free_average,
)
from microgradopt.optim.sgd import SGD, momentum
from microgradopt.optim.signs import Lion, SignSGD, scale_by_lion, scale_by_sign
from microgradopt.optim.transforms import (
    Transform,
    add_decayed_weights,
    chain,
    scale,
    scale_by_learning_rate,
    stateless,
    transform_of,
)
from microgradopt.optim.wrappers import accumulate, ema, masked, partition

if TYPE_CHECKING:
    from microgradopt.optim import presets, schedules
    from microgradopt.optim.curvature import (
        BFGS,
        LBFGS,
        ClosureOptimizer,
        ConjugateGradient,
        GaussNewton,
        LevenbergMarquardt,
        Newton,
        NewtonCG,
        TrustRegionNewtonCG,
    )
    from microgradopt.optim.kfac import KFAC
    from microgradopt.optim.solvers import directions, globalisers
    from microgradopt.optim.solvers.fit import Fit
    from microgradopt.optim.solvers.minimize import least_squares, minimize
    from microgradopt.optim.solvers.oracle import Objective, Residuals
    from microgradopt.optim.solvers.result import REASONS, Result
    from microgradopt.optim.surface import (
        Classification,
        Eigenvalues,
        Expansion,
        Polynomial,
        SpectralDensity,
        classify,
        curvature_rate,
        dominant_eigenvalue,
        hessian_eigenvalues,
        spectral_density,
        taylor,
    )

__all__ = [
    "BFGS", "KFAC", "LAMB", "LARS", "LBFGS", "REASONS", "SGD", "Adadelta", "Adafactor", "Adagrad",
    "Adam", "AdamW", "AdamWScheduleFree", "Adamax", "Classification", "ClosureOptimizer",
    "ConjugateGradient", "Eigenvalues", "Expansion", "Fit", "GaussNewton", "LevenbergMarquardt",
    "Lion", "Muon", "NAdam", "Nesterov", "Newton", "NewtonCG", "Objective", "Optimizer",
    "Polynomial", "Prodigy", "RAdam", "RMSprop", "Residuals", "Result", "Rprop", "SGDScheduleFree",
    "SignSGD", "SpectralDensity", "Transform", "TrustRegionNewtonCG", "accumulate",
    "add_decayed_weights", "chain", "classify", "clip_by_global_norm", "clip_by_norm",
    "clip_by_rms", "clip_by_value", "curvature_rate", "directions", "dominant_eigenvalue", "ema",
    "globalisers", "hessian_eigenvalues", "least_squares", "lookahead_momentum", "masked",
    "minimize", "momentum", "orthogonalized", "partition", "presets", "scale", "scale_by_adadelta",
    "scale_by_adagrad", "scale_by_adam", "scale_by_adamax", "scale_by_factored_rms",
    "scale_by_learning_rate", "scale_by_lion", "scale_by_muon", "scale_by_nadam",
    "scale_by_prodigy", "scale_by_radam", "scale_by_relative_step", "scale_by_rms",
    "scale_by_rprop", "scale_by_sign", "scale_by_trust_ratio", "schedule_free_average", "schedules",
    "spectral_density", "stateless", "taylor", "transform_of",
]  # fmt: skip


# Imported when first used: not every program needs them.
_MODULES = {
    "presets": "presets",
    "schedules": "schedules",
    "directions": "solvers.directions",
    "globalisers": "solvers.globalisers",
}
_FROM = {
    "curvature": (
        "BFGS", "LBFGS", "ClosureOptimizer", "ConjugateGradient", "GaussNewton",
        "LevenbergMarquardt", "Newton", "NewtonCG", "TrustRegionNewtonCG",
    ),
    "kfac": ("KFAC",),
    "solvers.fit": ("Fit",),
    "solvers.minimize": ("least_squares", "minimize"),
    "solvers.oracle": ("Objective", "Residuals"),
    "solvers.result": ("REASONS", "Result"),
    "surface": (
        "Classification", "Eigenvalues", "Expansion", "Polynomial", "SpectralDensity", "classify",
        "curvature_rate", "dominant_eigenvalue", "hessian_eigenvalues", "spectral_density",
        "taylor",
    ),
}  # fmt: skip
_ON_REQUEST = {name: module for module, names in _FROM.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{_MODULES[name]}")
    if name in _ON_REQUEST:
        return getattr(import_module(f"{__name__}.{_ON_REQUEST[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_ON_REQUEST})
