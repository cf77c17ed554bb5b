"""Initialisers: functions ``(shape, rng=None, dtype=float64) -> array``, drawn from ``rng``.

The shape of a weight is ``(fan_out, fan_in)``, or ``(fan_out, fan_in, *kernel)`` for convolutions,
as in torch. Options are bound with :func:`functools.partial`:
``nn.Linear(2, 100, init=partial(nn.init.normal, std=0.01))``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.errors import ShapeError, UsageError
from microgradopt.randomness import RandomSource, as_generator

Initialiser: TypeAlias = Callable[..., Array]

_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "leaky_relu": math.sqrt(2.0 / (1.0 + 0.01**2)),
    "selu": 0.75,
}


def gain(nonlinearity: str) -> float:
    """The factor that keeps the spread of activations through a nonlinearity; torch's table."""
    try:
        return _GAINS[nonlinearity]
    except KeyError:
        raise UsageError(
            f"gain: unknown nonlinearity {nonlinearity!r}; choose from {', '.join(_GAINS)}"
        ) from None


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs feed an output and the reverse."""
    if np.ndim(shape) != 1 or len(shape) < 2 or min(shape) < 1:
        raise ShapeError(f"fan-in and fan-out need a weight of 2 or more axes, none 0; got {shape}")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _check_spread(user: str, name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise UsageError(f"{user}: {name} must be finite and at least 0, got {value!r}")


def zeros(shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64) -> Array:
    """All 0."""
    return np.zeros(shape, dtype)


def constant(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, value: float
) -> Array:
    """All ``value``."""
    return np.full(shape, value, dtype)


def normal(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, std: float = 0.01
) -> Array:
    """Normal with mean 0 and standard deviation ``std``; 0.01 is the classic small start."""
    _check_spread("normal", "std", std)
    return (std * as_generator(rng).standard_normal(tuple(shape))).astype(dtype)


def uniform(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, bound: float
) -> Array:
    """Uniform between −``bound`` and ``bound``."""
    _check_spread("uniform", "bound", bound)
    return as_generator(rng).uniform(-bound, bound, tuple(shape)).astype(dtype)


def xavier_normal(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, gain: float = 1.0
) -> Array:
    """Normal with variance gain²·2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12)."""
    return normal(shape, rng, dtype, std=gain * math.sqrt(2.0 / sum(fans(shape))))


def xavier_uniform(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, gain: float = 1.0
) -> Array:
    """Uniform with variance gain²·2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 16)."""
    return uniform(shape, rng, dtype, bound=gain * math.sqrt(6.0 / sum(fans(shape))))


def he_normal(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, slope: float = 0.0
) -> Array:
    """Normal with variance 2 / ((1 + slope²)·fan_in), for ReLU (He et al. 2015, eq. 15)."""
    return normal(shape, rng, dtype, std=math.sqrt(2.0 / ((1.0 + slope**2) * fans(shape)[0])))


def he_uniform(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, slope: float = 0.0
) -> Array:
    """Uniform with variance 2 / ((1 + slope²)·fan_in), for ReLU (He et al. 2015, eq. 15)."""
    return uniform(shape, rng, dtype, bound=math.sqrt(6.0 / ((1.0 + slope**2) * fans(shape)[0])))


def orthogonal(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, gain: float = 1.0
) -> Array:
    """A random (semi-)orthogonal matrix times ``gain`` (Saxe et al. 2014).

    Axes after the first are taken as one.
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    draw = as_generator(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draw)
    q = q * np.sign(np.diag(r))  # makes the draw uniform over orthogonal matrices
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


def torch_default(shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64) -> Array:
    """Uniform between ±1/√fan_in, what torch's Linear starts from."""
    return uniform(shape, rng, dtype, bound=1.0 / math.sqrt(fans(shape)[0]))
