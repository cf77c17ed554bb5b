"""Distributions of targets given outputs, and derivatives of −log p(y|z) for y that follow them.

Outputs z have shape (cases, outputs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.errors import UsageError
from microgradopt.randomness import draw


def _probabilities(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def _draw_categorical(z: Array, rng: np.random.Generator) -> Array:
    p = _probabilities(z)
    u = draw(rng, "random", (len(p), 1))
    classes = np.minimum((np.cumsum(p, axis=1) <= u).sum(axis=1), p.shape[1] - 1)
    return p - np.eye(p.shape[1])[classes]  # type: ignore[no-any-return]


def _each_categorical(z: Array) -> Iterator[Array]:
    p = _probabilities(z)
    for k, unit in enumerate(np.eye(p.shape[1])):
        yield np.sqrt(p[:, k : k + 1]) * (p - unit)


def _draw_gaussian(z: Array, rng: np.random.Generator) -> Array:
    return draw(rng, "standard_normal", z.shape)  # type: ignore[no-any-return]


def _each_gaussian(z: Array) -> Iterator[Array]:
    yield from (np.broadcast_to(unit, z.shape) for unit in np.eye(z.shape[1]))


def _sigmoid(z: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * z)


def _draw_bernoulli(z: Array, rng: np.random.Generator) -> Array:
    p = _sigmoid(z)
    return p - (draw(rng, "random", p.shape) < p)  # type: ignore[no-any-return]


def _each_bernoulli(z: Array) -> Iterator[Array]:
    p = _sigmoid(z)
    root = np.sqrt(p * (1.0 - p))
    yield from (root * unit for unit in np.eye(p.shape[1]))


class Likelihood(NamedTuple):
    """A distribution of targets given outputs.

    ``draw(z, rng)`` gives the derivatives for targets that are drawn; ``each(z)`` arrays whose
    outer products add up to what those of the drawn ones are in the mean, case by case.
    """

    draw: Callable[[Array, np.random.Generator], Array]
    each: Callable[[Array], Iterator[Array]]


LIKELIHOODS = {
    "categorical": Likelihood(_draw_categorical, _each_categorical),
    "gaussian": Likelihood(_draw_gaussian, _each_gaussian),
    "bernoulli": Likelihood(_draw_bernoulli, _each_bernoulli),
}


def as_cases(z: Array, likelihood: str) -> Array:
    """Outputs of shape (..., outputs) as (cases, outputs); of shape (cases,), one each.

    Raises:
        UsageError: if there is not a logit for each of several classes.
    """
    if likelihood == "categorical" and (z.ndim < 2 or z.shape[-1] < 2):
        raise UsageError(
            'KFAC: likelihood="categorical" needs outputs of shape (cases, classes), got '
            f'{z.shape}; for numbers, take "gaussian" or "bernoulli"'
        )
    return z.reshape(-1, z.shape[-1] if z.ndim > 1 else 1).astype(np.float64)


def derivatives(
    z: Array, likelihood: str, samples: int | None, rng: np.random.Generator
) -> Iterator[Array]:
    """Cotangents of the outputs; the mean Fisher matrix is the sum of their outer products."""
    cases, law = as_cases(z, likelihood), LIKELIHOODS[likelihood]
    if samples is None:
        found = law.each(cases)
    else:
        share = 1.0 / math.sqrt(samples)
        found = (share * law.draw(cases, rng) for _ in range(samples))
    return (c.reshape(z.shape).astype(z.dtype) for c in found)
