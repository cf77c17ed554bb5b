"""What rows are called elsewhere: in torch, in JAX, and on complex numbers.

Each table maps a row's name to a function ``(*operands, **params)`` of the other library's arrays.
Some rows have no counterpart and are composed; a linear row that is not listed becomes the matrix
that its NumPy kernel is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Table = dict[str, Callable[..., Any]]

SAME_NAME = [
    "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "copysign", "cos", "cosh", "deg2rad", "divide", "exp", "exp2", "expm1", "fmax", "fmin",
    "fmod", "hypot", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2", "matmul",
    "maximum", "minimum", "multiply", "negative", "power", "rad2deg", "reciprocal", "remainder",
    "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh",
]  # fmt: skip
COMPOSED_BY_OPERATORS: Table = {
    "alias": lambda x: x,
    "affine": lambda x, weight, bias: x @ weight.T + bias,
    "astype": lambda x, dtype: x,
    "half_squares": lambda *xs, strength: 0.5 * strength * sum((x * x).sum() for x in xs),
    "lorentzian": lambda x: 1.0 / (1.0 + x * x),
    "one_minus_square": lambda x: (1.0 - x) * (1.0 + x),
}


def torch_rows() -> Table:
    """The rows as functions of torch tensors."""
    import torch

    def axes(x: Any, axis: Any) -> Any:
        return tuple(range(x.ndim)) if axis is None else axis

    def extreme(reduce: Any) -> Any:
        return lambda x, axis, keepdims: reduce(x, axes(x, axis), keepdims)

    def total(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        over = axes(x, axis)
        return x.sum(over, keepdims) if over != () else x

    def log_total(x: Any, axis: Any) -> Any:
        return torch.logsumexp(x, axis, keepdim=True)

    def einsum(*xs: Any, inputs: Any, output: str) -> Any:
        return torch.einsum(f"{','.join(inputs)}->{output}", *xs)

    def index(x: Any, key: Any) -> Any:
        places = np.arange(x.numel()).reshape(tuple(x.shape))[key]
        return x.reshape(-1)[torch.from_numpy(np.array(places))]

    def scatter(x: Any, key: Any, shape: Any) -> Any:
        places = np.arange(math.prod(shape)).reshape(shape)[key]
        at = torch.from_numpy(np.array(places))
        flat = torch.zeros(math.prod(shape), dtype=x.dtype)
        return flat.index_add(0, at.reshape(-1), x.expand(at.shape).reshape(-1)).reshape(shape)

    def cross_entropy(x: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(x, torch.from_numpy(np.asarray(labels)))

    def sinc(x: Any) -> Any:  # torch's own has no second derivative at 0
        near = torch.abs(x) < 1e-3
        far, square = torch.where(near, 1.0, math.pi * x), (math.pi * x) ** 2
        series = 1.0 - square / 6.0 + square * square / 120.0
        return torch.where(near, series, torch.sin(far) / far)

    def pad(x: Any, width: Any) -> Any:
        return torch.nn.functional.pad(x, [n for pair in reversed(width) for n in pair])

    def convolution(x: Any, w: Any, padding: Any, **how: Any) -> Any:
        function = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")
        return function(pad(x, ((0, 0), (0, 0), *padding)), w, **how)

    def max_windows(x: Any, kernel: Any, stride: Any, dilation: Any) -> Any:
        for axis, step in zip(range(-len(kernel), 0), stride):
            x = x.unfold(axis, 1 + (kernel[axis] - 1) * dilation[axis], step)
            x = x[..., :: dilation[axis]].amax(-1)
        return x

    def normalise(x: Any, *weights: Any, axis: Any, eps: Any, centred: Any) -> Any:
        away = x - x.mean(axis, True) if centred else x
        out = away / torch.sqrt((away * away).mean(axis, True) + eps)
        out = out * weights[0] if weights else out
        return out + weights[1] if len(weights) > 1 else out

    return {
        **{name: getattr(torch, name) for name in SAME_NAME if hasattr(torch, name)},
        **COMPOSED_BY_OPERATORS,
        # torch.pow drops ∂²/∂x∂y for y = 0; in the samples, x is positive
        "power": lambda x, y: torch.exp(y * torch.log(x)),
        "as_value": lambda x: x.reshape(()),
        "broadcast_to": lambda x, shape: x.expand(shape),
        "cbrt": lambda x: torch.sign(x) * torch.abs(x) ** (1.0 / 3.0),
        "concatenate": lambda *xs, axis: torch.cat(xs, axis),
        "convolution": convolution,
        "biased_convolution": lambda x, w, bias, **how: (
            convolution(x, w, **how) + bias.reshape(-1, *(1,) * (x.ndim - 2))
        ),
        "cumsum": lambda x, axis: x.cumsum(axis),
        "direction_cosine": lambda x, y: x / torch.hypot(x, y),
        "einsum": einsum,
        "heaviside": lambda x, middle: torch.where(x == 0.0, middle, (x > 0.0) * 1.0),
        "index": index,
        "log_softmax": lambda x, axis: x - log_total(x, axis),
        "logaddexp_slope": lambda x, y: torch.sigmoid(x - y),
        "logistic_density": lambda x: torch.sigmoid(x) * torch.sigmoid(-x),
        "logsumexp": log_total,
        "max": extreme(torch.amax),
        "max_windows": max_windows,
        "min": extreme(torch.amin),
        "normalise": normalise,
        "pad": pad,
        "power_slope": lambda x, y: y * torch.exp((y - 1.0) * torch.log(x)),
        "relu": torch.relu,
        "reshape": lambda x, shape: x.reshape(shape),
        "scatter": scatter,
        "sigmoid2": lambda x: torch.sigmoid(x * math.log(2.0)),
        "sinc": sinc,
        "softmax": lambda x, axis: torch.exp(x - log_total(x, axis)),
        "softmax_cross_entropy": cross_entropy,
        "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        "stack": lambda *xs, axis: torch.stack(xs, axis),
        "sum": total,
        "transpose": lambda x, axes: x.permute(axes),
        "where": lambda condition, x, y: torch.where(condition != 0.0, x, y),
    }


def jax_rows() -> Table:
    """The rows as functions of JAX arrays."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def log_total(x: Any, axis: Any) -> Any:
        return jax.nn.logsumexp(x, axis, keepdims=True)

    def scatter(x: Any, key: Any, shape: Any) -> Any:
        return jnp.zeros(shape, x.dtype).at[key].add(x)

    def einsum(*xs: Any, inputs: Any, output: str) -> Any:
        return jnp.einsum(f"{','.join(inputs)}->{output}", *xs)

    def cross_entropy(x: Any, labels: Any) -> Any:
        return -jax.nn.log_softmax(x)[np.arange(len(labels)), labels].mean()

    return {
        **{name: getattr(jnp, name) for name in SAME_NAME if hasattr(jnp, name)},
        **COMPOSED_BY_OPERATORS,
        "as_value": lambda x: x.reshape(()),
        "broadcast_to": jnp.broadcast_to,
        "cbrt": jnp.cbrt,
        "concatenate": lambda *xs, axis: jnp.concatenate(xs, axis),
        "cumsum": jnp.cumsum,
        "direction_cosine": lambda x, y: x / jnp.hypot(x, y),
        "einsum": einsum,
        "heaviside": lambda x, middle: jnp.where(x == 0.0, middle, (x > 0.0) * 1.0),
        "index": lambda x, key: x[key],
        "log_softmax": lambda x, axis: x - log_total(x, axis),
        "logaddexp_slope": lambda x, y: jax.nn.sigmoid(x - y),
        "logistic_density": lambda x: jax.nn.sigmoid(x) * jax.nn.sigmoid(-x),
        "logsumexp": log_total,
        "max": jnp.max,
        "min": jnp.min,
        "pad": lambda x, width: jnp.pad(x, pad_width=width),
        "power_slope": lambda x, y: y * jnp.power(x, y - 1.0),
        "relu": jax.nn.relu,
        "reshape": jnp.reshape,
        "scatter": scatter,
        "sigmoid": jax.nn.sigmoid,
        "sigmoid2": lambda x: jax.nn.sigmoid(x * math.log(2.0)),
        "sinc": jnp.sinc,
        "softmax": lambda x, axis: jnp.exp(x - log_total(x, axis)),
        "softmax_cross_entropy": cross_entropy,
        "softplus": jax.nn.softplus,
        "stack": lambda *xs, axis: jnp.stack(xs, axis),
        "sum": jnp.sum,
        "transpose": jnp.transpose,
        "where": lambda condition, x, y: jnp.where(condition != 0.0, x, y),
    }


def _signed(z: Any) -> Any:
    return np.sign(np.real(z))


def _log_total(z: Any, axis: Any) -> Any:
    return np.log(np.sum(np.exp(z), axis, keepdims=True))


def _angle(y: Any, x: Any) -> Any:
    """arctan2 continued to complex numbers beside real ones."""
    steep = np.abs(np.real(y)) > np.abs(np.real(x))
    flat = np.arctan(np.where(steep, x, y) / np.where(steep, y, x))
    real = np.arctan2(np.real(y), np.real(x))
    return np.where(steep, -flat, flat) - np.real(np.where(steep, -flat, flat)) + real


def _sinc(z: Any) -> Any:
    """Near 0 by its series: a quotient there loses the imaginary part in rounding."""
    near = np.abs(z) < 1e-3
    far, square = np.where(near, 1.0, np.pi * z), (np.pi * z) ** 2
    return np.where(near, 1.0 - square / 6.0 + square * square / 120.0, np.sin(far) / far)


COMPLEX: Table = {
    "absolute": lambda z: z * _signed(z),
    "arctan2": _angle,
    "as_value": lambda z: np.reshape(z, ()),
    "astype": lambda z, dtype: z,
    "arctanh": lambda z: 0.5 * (np.log(1.0 + z) - np.log(1.0 - z)),
    "cbrt": lambda z: _signed(z) * (z * _signed(z)) ** (1.0 / 3.0),
    "copysign": lambda z, w: z * _signed(z) * _signed(w),
    "deg2rad": lambda z: z * (math.pi / 180.0),
    "direction_cosine": lambda z, w: z / np.sqrt(z * z + w * w),
    "fmax": np.maximum,
    "fmin": np.minimum,
    "fmod": lambda z, w: z - w * np.trunc(np.real(z) / np.real(w)),
    "heaviside": lambda z, w: np.where(z == 0.0, w, np.real(z) > 0.0),
    "hypot": lambda z, w: np.sqrt(z * z + w * w),
    "ldexp": lambda z, exponent: z * np.exp2(exponent),
    "log_softmax": lambda z, axis: z - _log_total(z, axis),
    "logaddexp": lambda z, w: np.log(np.exp(z) + np.exp(w)),
    "logaddexp2": lambda z, w: np.log(2.0**z + 2.0**w) / math.log(2.0),
    "logaddexp_slope": lambda z, w: 1.0 / (1.0 + np.exp(w - z)),
    "logistic_density": lambda z: np.exp(-z) / np.square(1.0 + np.exp(-z)),
    "logsumexp": _log_total,
    "rad2deg": lambda z: z * (180.0 / math.pi),
    "remainder": lambda z, w: z - w * np.floor(np.real(z) / np.real(w)),
    "sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "sigmoid2": lambda z: 1.0 / (1.0 + 2.0**-z),
    "sign": lambda z: _signed(z) + 0.0 * z,
    "sinc": _sinc,
    "softmax": lambda z, axis: np.exp(z - _log_total(z, axis)),
    "softplus": lambda z: np.log(1.0 + np.exp(z)),
}
