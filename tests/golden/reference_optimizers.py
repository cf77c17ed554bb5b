"""Optimizers that torch lacks, each from its paper and plainly in NumPy.

Each takes the starting arrays, ``gradient(x, step)``, ``rate(step)`` and options, and gives the
arrays after every step. Nothing of the library is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Gradient = Callable[[Arrays, int], Arrays]
Rate = Callable[[int], float]


def zeros(x: Arrays) -> Arrays:
    return {k: np.zeros_like(p) for k, p in x.items()}


def length(a: np.ndarray) -> float:
    return float(np.sqrt(np.sum(a**2)))


def uphill(gradient: Gradient, x: Arrays, t: int, maximize: bool) -> Arrays:
    return {k: -g if maximize else g for k, g in gradient(x, t).items()}


def lamb(
    x: Arrays,
    gradient: Gradient,
    rate: Rate,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    bias_correction: bool = True,
    always_adapt: bool = True,
    max_ratio: float | None = None,
    maximize: bool = False,
) -> Iterator[Arrays]:
    """You et al. 2020, algorithm 2."""
    b1, b2 = betas
    m, v = zeros(x), zeros(x)
    for t in count(1):
        g, after = uphill(gradient, x, t, maximize), {}
        for k, p in x.items():
            m[k] = b1 * m[k] + (1 - b1) * g[k]
            v[k] = b2 * v[k] + (1 - b2) * g[k] ** 2
            m_hat = m[k] / (1 - b1**t) if bias_correction else m[k]
            v_hat = v[k] / (1 - b2**t) if bias_correction else v[k]
            u = m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p
            ratio = 1.0
            if length(p) > 0 and length(u) > 0 and (always_adapt or weight_decay):
                ratio = min(length(p) / length(u), np.inf if max_ratio is None else max_ratio)
            after[k] = p - rate(t) * ratio * u
        x = after
        yield x


def lars(
    x: Arrays,
    gradient: Gradient,
    rate: Rate,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    trust_coefficient: float = 1e-3,
    eps: float = 1e-8,
    joint_norm: bool = False,
    always_adapt: bool = True,
    max_ratio: float | None = None,
    maximize: bool = False,
) -> Iterator[Arrays]:
    """You, Gitman and Ginsburg 2017, algorithm 1."""
    velocity = zeros(x)
    for t in count(1):
        g, after = uphill(gradient, x, t, maximize), {}
        for k, p in x.items():
            decayed = g[k] + weight_decay * p
            size = length(decayed) if joint_norm else length(g[k])
            ratio = 1.0
            if length(p) > 0 and size > 0 and (always_adapt or weight_decay):
                whole = size if joint_norm else size + weight_decay * length(p)
                ratio = trust_coefficient * length(p) / (whole + eps)
                ratio = min(ratio, np.inf if max_ratio is None else max_ratio)
            new = rate(t) * ratio * decayed
            velocity[k] = momentum * velocity[k] + new
            after[k] = p - (momentum * velocity[k] + new if nesterov else velocity[k])
        x = after
        yield x


def sign_sgd(
    x: Arrays,
    gradient: Gradient,
    rate: Rate,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Iterator[Arrays]:
    """Bernstein et al. 2018, algorithm 2 (Signum); without momentum their algorithm 1."""
    m = zeros(x)
    for t in count(1):
        g = uphill(gradient, x, t, maximize)
        m = {k: momentum * m[k] + (1 - momentum) * g[k] for k in x}
        x = {k: p - rate(t) * (np.sign(m[k]) + weight_decay * p) for k, p in x.items()}
        yield x


def lion(
    x: Arrays,
    gradient: Gradient,
    rate: Rate,
    *,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Iterator[Arrays]:
    """Chen et al. 2023, algorithm 2."""
    b1, b2 = betas
    m = zeros(x)
    for t in count(1):
        g = uphill(gradient, x, t, maximize)
        c = {k: b1 * m[k] + (1 - b1) * g[k] for k in x}
        x = {k: p - rate(t) * (np.sign(c[k]) + weight_decay * p) for k, p in x.items()}
        m = {k: b2 * m[k] + (1 - b2) * g[k] for k in x}
        yield x


def schedule_free(
    x: Arrays,
    direction: Callable[[Arrays, int], Arrays],
    rate: Rate,
    beta: float,
    warmup_steps: int,
    r: float,
    weight_lr_power: float,
) -> Iterator[tuple[Arrays, Arrays]]:
    """Defazio et al. 2024, equations 3 to 5: y, where gradients are taken, and the average x."""
    z, largest, total = x, 0.0, 0.0
    for t in count(1):
        y = {k: (1 - beta) * z[k] + beta * x[k] for k in x}
        lr = rate(t) * (min(1.0, t / warmup_steps) if warmup_steps else 1.0)
        d = direction(y, t)
        z = {k: z[k] - lr * d[k] for k in z}
        largest = max(largest, lr)
        weight = t**r * largest**weight_lr_power
        total += weight
        x = {k: (1 - weight / total) * x[k] + weight / total * z[k] for k in x}
        yield {k: (1 - beta) * z[k] + beta * x[k] for k in x}, x


def sgd_schedule_free(
    x: Arrays, gradient: Gradient, rate: Rate, **options: Any
) -> Iterator[tuple[Arrays, Arrays]]:
    """Their algorithm for SGD, with decay at y."""
    given = {"momentum": 0.9, "weight_decay": 0.0, "maximize": False, **options}
    decay, maximize = given["weight_decay"], given["maximize"]

    def direction(y: Arrays, t: int) -> Arrays:
        g = uphill(gradient, y, t, maximize)
        return {k: g[k] + decay * y[k] for k in y}

    return schedule_free(x, direction, rate, given["momentum"], *average_options(given))


def adamw_schedule_free(
    x: Arrays, gradient: Gradient, rate: Rate, **options: Any
) -> Iterator[tuple[Arrays, Arrays]]:
    """Their algorithm 1, with v corrected in the direction, as in their package."""
    given = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "maximize": False, **options}
    (b1, b2), eps, decay = given["betas"], given["eps"], given["weight_decay"]
    v = zeros(x)

    def direction(y: Arrays, t: int) -> Arrays:
        g = uphill(gradient, y, t, given["maximize"])
        for k in y:
            v[k] = b2 * v[k] + (1 - b2) * g[k] ** 2
        return {k: g[k] / (np.sqrt(v[k] / (1 - b2**t)) + eps) + decay * y[k] for k in y}

    return schedule_free(x, direction, rate, b1, *average_options(given))


def average_options(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    return given.get("warmup_steps", 0), given.get("r", 0.0), given.get("weight_lr_power", 2.0)


def only_y(steps: Callable[..., Iterator[tuple[Arrays, Arrays]]]) -> Callable[..., Any]:
    return lambda *args, **options: (y for y, _ in steps(*args, **options))


def prodigy(
    x: Arrays,
    gradient: Gradient,
    rate: Rate,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decouple: bool = True,
    use_bias_correction: bool = False,
    safeguard_warmup: bool = False,
    d0: float = 1e-6,
    d_coef: float = 1.0,
    growth_rate: float | None = None,
    maximize: bool = False,
) -> Iterator[Arrays]:
    """Mishchenko and Defazio 2023, algorithm 4, with the options of their package."""
    (b1, b2), start = betas, x
    b3 = np.sqrt(b2) if beta3 is None else beta3
    m, v, s = zeros(x), zeros(x), zeros(x)
    d = d_max = d0
    numerator = 0.0
    for t in count(1):
        g = uphill(gradient, x, t, maximize)
        if not decouple:
            g = {k: g[k] + weight_decay * p for k, p in x.items()}
        lr = rate(t) * (np.sqrt(1 - b2**t) / (1 - b1**t) if use_bias_correction else 1.0)
        numerator *= b3
        for k, p in x.items():
            numerator += d / d0 * d * lr * np.sum(g[k] * (start[k] - p))
            m[k] = b1 * m[k] + (1 - b1) * d * g[k]
            v[k] = b2 * v[k] + (1 - b2) * d**2 * g[k] ** 2
            s[k] = b3 * s[k] + d / d0 * d * (1.0 if safeguard_warmup else lr) * g[k]
        step = d * lr
        d_hat = d_coef * numerator / sum(np.sum(np.abs(a)) for a in s.values())
        if d == d0:
            d = max(d, d_hat)
        d_max = max(d_max, d_hat)
        d = min(d_max, d * (np.inf if growth_rate is None else growth_rate))
        decay = weight_decay if decouple else 0.0
        x = {
            k: p - step * decay * p - step * m[k] / (np.sqrt(v[k]) + d * eps) for k, p in x.items()
        }
        yield x


REFERENCES = {
    "LAMB": lamb,
    "LARS": lars,
    "SignSGD": sign_sgd,
    "Lion": lion,
    "SGDScheduleFree": only_y(sgd_schedule_free),
    "AdamWScheduleFree": only_y(adamw_schedule_free),
    "Prodigy": prodigy,
}
