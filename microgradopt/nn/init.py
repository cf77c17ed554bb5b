"""Initialisers: functions ``(shape, rng=None, dtype=float64) -> array``, drawn from ``rng``.

The shape of a weight is ``(fan_out, fan_in)``, or ``(fan_out, fan_in, *kernel)`` for convolutions,
as in torch. Options are bound with :func:`functools.partial`:
``nn.Linear(2, 100, init=partial(nn.init.normal, std=0.01))``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.graph import Array
from microgradopt.errors import ShapeError, UsageError
from microgradopt.randomness import RandomSource, as_generator

Initialiser: TypeAlias = Callable[..., Array]

_LINEAR = ["linear", *(f"conv{way}{n}d" for way in ("", "_transpose") for n in (1, 2, 3))]
_GAINS = {
    **dict.fromkeys(_LINEAR, 1.0),
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "leaky_relu": math.sqrt(2.0 / (1.0 + 0.01**2)),
    "selu": 0.75,
}


def gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the spread of activations through a nonlinearity; torch's table.

    Args:
        nonlinearity: the name of an activation, or of a layer such as "linear" or "conv2d".
        param: the slope of "leaky_relu", 0.01 when left out.

    Raises:
        UsageError: for an unknown name, or a ``param`` of what has none.
    """
    if nonlinearity not in _GAINS:
        raise UsageError(
            f"gain: unknown nonlinearity {nonlinearity!r}; choose from {', '.join(_GAINS)}"
        )
    if param is None:
        return _GAINS[nonlinearity]
    if nonlinearity != "leaky_relu":
        raise UsageError(f"gain: {nonlinearity!r} has no parameter, got {param!r}; leave it out")
    check_number("gain", "param", param, -math.inf)
    return math.sqrt(2.0 / (1.0 + param**2))


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs feed an output and the reverse."""
    if np.ndim(shape) != 1 or len(shape) < 2 or min(shape) < 1:
        raise ShapeError(f"fan-in and fan-out need a weight of 2 or more axes, none 0; got {shape}")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


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
    check_number("normal", "std", std)
    return (std * as_generator(rng).standard_normal(tuple(shape))).astype(dtype)


def uniform(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, bound: float
) -> Array:
    """Uniform between −``bound`` and ``bound``."""
    check_number("uniform", "bound", bound)
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


def _he_variance(shape: Sequence[int], slope: float, mode: str) -> float:
    fan_in, fan_out = fans(shape)
    if mode not in ("fan_in", "fan_out"):
        raise UsageError(f'he: mode must be "fan_in" or "fan_out", got {mode!r}')
    return 2.0 / ((1.0 + slope**2) * (fan_in if mode == "fan_in" else fan_out))


def he_normal(
    shape: Sequence[int],
    rng: RandomSource = None,
    dtype: Any = np.float64,
    *,
    slope: float = 0.0,
    mode: str = "fan_in",
) -> Array:
    """Normal with variance 2 / ((1 + slope²)·fan), for ReLU (He et al. 2015, eq. 15).

    Args:
        slope: that of a leaky ReLU.
        mode: "fan_in" keeps the spread on the way forward, "fan_out" that of the gradients.
    """
    return normal(shape, rng, dtype, std=math.sqrt(_he_variance(shape, slope, mode)))


def he_uniform(
    shape: Sequence[int],
    rng: RandomSource = None,
    dtype: Any = np.float64,
    *,
    slope: float = 0.0,
    mode: str = "fan_in",
) -> Array:
    """Uniform with the variance of :func:`he_normal`."""
    return uniform(shape, rng, dtype, bound=math.sqrt(3.0 * _he_variance(shape, slope, mode)))


def lecun_normal(shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64) -> Array:
    """Normal with variance 1 / fan_in (LeCun et al. 1998), the start that SELU needs."""
    return normal(shape, rng, dtype, std=math.sqrt(1.0 / fans(shape)[0]))


def lecun_uniform(shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64) -> Array:
    """Uniform with variance 1 / fan_in (LeCun et al. 1998)."""
    return uniform(shape, rng, dtype, bound=math.sqrt(3.0 / fans(shape)[0]))


def truncated_normal(
    shape: Sequence[int],
    rng: RandomSource = None,
    dtype: Any = np.float64,
    *,
    std: float = 0.01,
    cut: float = 2.0,
) -> Array:
    """Normal with standard deviation ``std`` before what is beyond ±``cut``·std is drawn again."""
    check_number("truncated_normal", "std", std)
    check_number("truncated_normal", "cut", cut)
    if cut < 0.01:
        raise UsageError(f"truncated_normal: cut must be at least 0.01, got {cut!r}; use uniform")
    rng = as_generator(rng)
    draw = np.asarray(rng.standard_normal(tuple(shape)))
    while (far := np.abs(draw) > cut).any():
        draw[far] = rng.standard_normal(int(far.sum()))
    return (std * draw).astype(dtype)


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


def identity(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, gain: float = 1.0
) -> Array:
    """``gain`` on the diagonal of a matrix and 0 elsewhere: a layer that starts as its input."""
    if np.ndim(shape) != 1 or len(shape) != 2:
        raise ShapeError(f"identity: needs the shape of a matrix, got {shape}; see dirac")
    return gain * np.eye(*shape, dtype=dtype)


def dirac(
    shape: Sequence[int], rng: RandomSource = None, dtype: Any = np.float64, *, groups: int = 1
) -> Array:
    """Convolution kernels that hand on their input: 1 in the middle of channel i → i; as torch's.

    Args:
        shape: (out_channels, in_channels / groups, *kernel).
        groups: of the convolution; each hands on its own channels.
    """
    fans(shape)
    if len(shape) < 3:
        raise ShapeError(f"dirac: needs the shape of a convolution's weight, got {shape}")
    if groups < 1 or shape[0] % groups:
        raise UsageError(f"dirac: groups must divide out_channels {shape[0]}, got {groups!r}")
    outs, ins, middle = shape[0] // groups, shape[1], tuple(n // 2 for n in shape[2:])
    weight = np.zeros(shape, dtype)
    for group in range(groups):
        for i in range(min(outs, ins)):
            weight[(group * outs + i, i, *middle)] = 1.0
    return weight


def sparse(
    shape: Sequence[int],
    rng: RandomSource = None,
    dtype: Any = np.float64,
    *,
    sparsity: float,
    std: float = 0.01,
) -> Array:
    """:func:`normal`, with a part ``sparsity`` of each column set to 0 (Martens 2010); as torch's.

    The number of zeros in a column is rounded up.
    """
    if np.ndim(shape) != 1 or len(shape) != 2:
        raise ShapeError(f"sparse: needs the shape of a matrix, got {shape}")
    check_number("sparse", "sparsity", sparsity)
    if sparsity > 1.0:
        raise UsageError(f"sparse: sparsity is a part from 0 to 1, got {sparsity!r}")
    rng = as_generator(rng)
    weight = normal(shape, rng, dtype, std=std)
    zeros = math.ceil(sparsity * shape[0])
    for column in weight.T:
        column[rng.permutation(shape[0])[:zeros]] = 0.0
    return weight
