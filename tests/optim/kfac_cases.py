"""Data, losses and short cuts for the tests of K-FAC."""

from __future__ import annotations

import numpy as np

from microgradopt import nn, optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
LABELS = RNG.integers(0, 4, size=12)
TARGETS = RNG.normal(size=(12, 2))


def squares(model, x=X, y=TARGETS):
    """Whose curvature is that of a Gaussian of variance 1."""
    return lambda: nn.half_squared_error(model(x), y) / float(len(x))


def entropy(model, x=X, y=LABELS):
    return lambda: nn.cross_entropy(model(x), y)


def data(model):
    return {name: np.copy(p.data) for name, p in model.named_parameters()}


def kfac(model, **options):
    return optim.KFAC(model, **{"lr": 1.0, "momentum": 0.0, "decay": 0.0, "rng": 0, **options})


def measured(model, closure, **options):
    """The factors of each layer after one step that does not move."""
    optimizer = kfac(model, **{"lr": 0.0, "samples": None, **options})
    optimizer.step(closure)
    return optimizer.state["layers"]


def with_ones(x):
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def probabilities(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def expected_square(p):
    """The mean of (p − y)(p − y)ᵀ for y that follow p."""
    return sum(np.diag(q) - np.outer(q, q) for q in p) / len(p)


def flat(named):
    return np.concatenate([np.ravel(x) for x in named.values()])
