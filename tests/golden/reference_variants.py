"""What torch's optimizers have no keyword for, from the papers and plainly in NumPy.

A formula takes what it remembers (a dict, empty at first), a gradient, the step's number and rate,
and gives what is taken off the parameter. Nothing of the library is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
Arrays: TypeAlias = dict[str, Array]
Memory: TypeAlias = dict[str, Any]
Formula: TypeAlias = Callable[[Memory, Array, int, float], Array]
Gradient: TypeAlias = Callable[[Arrays, int], Arrays]
Rate: TypeAlias = Callable[[int], float]
Betas: TypeAlias = tuple[float, float]


def descent(make: Callable[..., Formula], weight_decay: float = 0.0, decoupled: bool = False):
    """The arrays after every step of a formula; ``weight_decay`` and ``decoupled`` are defaults."""

    def steps(
        x: Arrays,
        gradient: Gradient,
        rate: Rate,
        *,
        weight_decay: float = weight_decay,
        decoupled_weight_decay: bool = decoupled,
        maximize: bool = False,
        **options: Any,
    ) -> Iterator[Arrays]:
        formula = make(**options)
        memory: dict[str, Memory] = {k: {} for k in x}
        for t in count(1):
            g, lr, after = gradient(x, t), rate(t), {}
            for k, p in x.items():
                d = -g[k] if maximize else g[k]
                if decoupled_weight_decay:
                    after[k] = p - lr * weight_decay * p - formula(memory[k], d, t, lr)
                else:
                    after[k] = p - formula(memory[k], d + weight_decay * p, t, lr)
            yield (x := after)

    return steps


def average(memory: Memory, name: str, beta: float, new: Array, start: float = 0.0) -> Array:
    """The next β·old + (1 − β)·new."""
    memory[name] = beta * memory.get(name, start) + (1.0 - beta) * new
    return memory[name]


def divided(m: Array, square: Array, missing: float, eps: float, eps_mode: str) -> Array:
    """m over the root of square/missing, eps where the mode says."""
    if eps_mode == "inside":
        return m / np.sqrt(square / missing + eps)
    if eps_mode == "hat":
        return np.sqrt(missing) * m / (np.sqrt(square) + eps)
    return m / (np.sqrt(square / missing) + eps)


def velocity(
    memory: Memory, u: Array, lr: float, momentum: float, nesterov: bool, lr_in_velocity: bool
) -> Array:
    """b ← μb + u times the rate, or b ← μb + lr·u; Nesterov's is that and one step more."""
    inside, outside = (lr, 1.0) if lr_in_velocity else (1.0, lr)
    b = memory["b"] = momentum * memory.get("b", 0.0) + inside * u
    return outside * (inside * u + momentum * b if nesterov else b)


def sgd(
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    lr_in_velocity: bool = False,
) -> Formula:
    """The tutorials' v ← μv − lr·g; x ← x + v, and Nesterov's x ← x − μ·v_before + (1 + μ)·v."""

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        assert lr_in_velocity  # the other form is torch's
        damped = (1.0 - dampening) * g if momentum and t > 1 else g
        before = memory.get("v", 0.0)
        v = memory["v"] = momentum * before - lr * damped
        return momentum * before - (1.0 + momentum) * v if nesterov else -v

    return formula


def adam(
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    amsgrad: bool = False,
    bias_correction: bool = True,
    eps_mode: str = "outside",
) -> Formula:
    """Kingma and Ba 2015, algorithm 1; its section 2 for ``eps_mode="hat"``."""

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        m, v = average(memory, "m", betas[0], g), average(memory, "v", betas[1], g**2)
        if amsgrad:
            v = memory["largest"] = np.maximum(memory.get("largest", 0.0), v)
        c1, c2 = (1.0 - b**t if bias_correction else 1.0 for b in betas)
        return lr * divided(m / c1, v, c2, eps, eps_mode)

    return formula


def adagrad(
    lr_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    eps_mode: str = "outside",
) -> Formula:
    """Duchi et al. 2011, with torch's falling rate."""

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        s = memory["s"] = memory.get("s", initial_accumulator_value) + g**2
        return lr / (1.0 + (t - 1.0) * lr_decay) * divided(g, s, 1.0, eps, eps_mode)

    return formula


def adadelta(rho: float = 0.9, eps: float = 1e-6) -> Formula:
    """Zeiler 2012, algorithm 1."""

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        s = average(memory, "s", rho, g**2)
        u = np.sqrt((memory.get("moved", 0.0) + eps) / (s + eps)) * g
        average(memory, "moved", rho, u**2)
        return lr * u

    return formula


def rmsprop(
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
    nesterov: bool = False,
    lr_in_velocity: bool = False,
    bias_correction: bool = False,
    initial_accumulator_value: float = 0.0,
    eps_mode: str = "outside",
) -> Formula:
    """Tieleman and Hinton 2012; centred, Graves 2013, equations 38 to 41."""

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        missing = 1.0 - alpha**t if bias_correction else 1.0
        v = average(memory, "v", alpha, g**2, initial_accumulator_value) / missing
        if centered:
            v = np.maximum(v - (average(memory, "m", alpha, g) / missing) ** 2, 0.0)
        u = divided(g, v, 1.0, eps, eps_mode)
        return velocity(memory, u, lr, momentum, nesterov, lr_in_velocity)

    return formula


def adamax(betas: Betas = (0.9, 0.999), eps: float = 1e-8, eps_mode: str = "inside") -> Formula:
    """Kingma and Ba 2015, algorithm 2."""

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        m = average(memory, "m", betas[0], g) / (1.0 - betas[0] ** t)
        inside = eps if eps_mode == "inside" else 0.0
        u = memory["u"] = np.maximum(betas[1] * memory.get("u", 0.0), np.abs(g) + inside)
        return lr * m / (u if eps_mode == "inside" else u + eps)

    return formula


def nadam(
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    momentum_decay: float = 4e-3,
    momentum_warmup: bool = True,
    eps_mode: str = "outside",
) -> Formula:
    """Dozat 2016, section 2.2."""

    def mu(t: int) -> float:
        return (
            betas[0] * (1.0 - 0.5 * 0.96 ** (momentum_decay * t)) if momentum_warmup else betas[0]
        )

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        m, v = average(memory, "m", betas[0], g), average(memory, "v", betas[1], g**2)
        past = float(np.prod([mu(i) for i in range(1, t + 1)]))
        looking = (1.0 - mu(t)) * g / (1.0 - past) + mu(t + 1) * m / (1.0 - past * mu(t + 1))
        return lr * divided(looking, v, 1.0 - betas[1] ** t, eps, eps_mode)

    return formula


def radam(
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    threshold: float = 5.0,
    nesterov: bool = False,
    eps_mode: str = "hat",
) -> Formula:
    """Liu et al. 2020, algorithm 2, with torch's threshold of 5 where the paper has 4."""
    b1, b2 = betas
    longest = 2.0 / (1.0 - b2) - 1.0

    def formula(memory: Memory, g: Array, t: int, lr: float) -> Array:
        m, v = average(memory, "m", b1, g), average(memory, "v", b2, g**2)
        if nesterov:
            m = b1 * m / (1.0 - b1 ** (t + 1)) + (1.0 - b1) * g / (1.0 - b1**t)
        else:
            m = m / (1.0 - b1**t)
        length = longest - 2.0 * t * b2**t / (1.0 - b2**t)
        if length <= threshold:
            return lr * m
        r = (length - 4.0) * (length - 2.0) * longest
        r /= (longest - 4.0) * (longest - 2.0) * length
        return lr * np.sqrt(r) * divided(m, v, 1.0 - b2**t, eps, eps_mode)

    return formula


def nesterov(
    x: Arrays,
    gradient: Gradient,
    rate: Rate,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Iterator[Arrays]:
    """v ← μv − lr·∇f(x + μv); x ← x + v (Sutskever et al. 2013, equations 3 and 4)."""
    v = {k: np.zeros_like(p) for k, p in x.items()}
    for t in count(1):
        ahead = {k: p + momentum * v[k] for k, p in x.items()}
        g = gradient(ahead, t)
        for k in x:
            d = (-g[k] if maximize else g[k]) + weight_decay * ahead[k]
            v[k] = momentum * v[k] - rate(t) * d
        yield (x := {k: p + v[k] for k, p in x.items()})


REFERENCES = {
    "SGD": descent(sgd),
    "Nesterov": nesterov,
    "Adam": descent(adam),
    "AdamW": descent(adam, weight_decay=0.01, decoupled=True),
    "Adagrad": descent(adagrad),
    "Adadelta": descent(adadelta),
    "RMSprop": descent(rmsprop),
    "Adamax": descent(adamax),
    "NAdam": descent(nadam),
    "RAdam": descent(radam),
}
