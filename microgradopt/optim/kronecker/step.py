"""The step of K-FAC: a transform, the quadratic model of the loss, and the damping it teaches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.arguments import check_count, check_number
from microgradopt.engine.graph import Array
from microgradopt.errors import UsageError
from microgradopt.optim.kronecker.factors import averaged, unmeasured
from microgradopt.optim.kronecker.likelihoods import LIKELIHOODS
from microgradopt.optim.kronecker.watching import Pass, dot
from microgradopt.optim.options import check_choice
from microgradopt.optim.transforms import Hyper, Named, State, Transform, at, check_hyper
from microgradopt.randomness import generator_state

ADAPTED_EVERY = 5  # steps: T₁ of Martens & Grosse
SHRINKING = (19 / 20) ** ADAPTED_EVERY  # of the damping, where the model was right: ω₁
LEAST_DAMPING = 1e-8


@dataclass(frozen=True)
class NaturalStep:
    """The transform behind :class:`KFAC`, whose arguments its fields are."""

    seen: Pass
    rng: np.random.Generator
    lr: Hyper
    momentum: Hyper
    damping: Hyper
    decay: Hyper
    update_every: int
    clip: Hyper | None
    adapt: bool
    exact: bool
    likelihood: str
    samples: int | None

    def __post_init__(self) -> None:
        for name in ("lr", "momentum", "damping", "decay"):
            check_hyper("KFAC", name, getattr(self, name))
        _check_flag("adapt", self.adapt)
        _check_flag("exact", self.exact)
        check_count("KFAC", "update_every", self.update_every)
        if self.samples is not None:
            check_count("KFAC", "samples", self.samples)
        check_choice("KFAC", "likelihood", self.likelihood, tuple(LIKELIHOODS))
        if self.adapt:
            check_number("KFAC", "damping with adapt=True", self.damping, LEAST_DAMPING)
        if self.clip is not None:
            check_hyper("KFAC", "clip", self.clip)
            if self.exact:
                raise UsageError("KFAC: exact=True finds the length of a step; leave out clip")

    def transform(self) -> Transform:
        """Itself as a transform."""
        return Transform(self.init, self.update, "kfac")

    def init(self, params: Named) -> State:
        """Zeros for all averages and for the last step, and the damping."""
        return {
            "layers": {name: unmeasured(layer) for name, layer in self.seen.layers.items()},
            "last": {name: np.zeros_like(x) for name, x in params.items()},
            "damping": at(self.damping, 1, "damping"),
        }

    def update(self, g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        """The step, and the state after it; if that fails, nothing has been drawn."""
        before = generator_state(self.rng)
        try:
            return self._update(g, state, step)
        except BaseException:
            self.rng.bit_generator.state = before
            raise

    def _update(self, g: Named, state: State, step: int) -> tuple[Named, State]:
        damping = state["damping"] if self.adapt else at(self.damping, step, "damping")
        layers = state["layers"]
        if (step - 1) % self.update_every == 0:
            layers = self._measured(layers, damping, step)
        down = self._downhill(g, layers, step)
        last = {name: state["last"][name] for name in g}
        factors = self._factors(down, last, g, damping, step)
        move = {name: factors[0] * u + factors[1] * last[name] for name, u in down.items()}
        if self.adapt and step % ADAPTED_EVERY == 0:
            (((curved,),), (slope,)) = self._model([move], g, damping)
            self.seen.predicted = slope + 0.5 * curved
        after = {"layers": layers, "last": {**state["last"], **move}, "damping": damping}
        return move, after

    def _measured(self, layers: State, damping: float, step: int) -> State:
        found = self.seen.measured(self.likelihood, self.samples, self.rng)
        decay = at(self.decay, step, "decay")
        new = {
            layer.name: averaged(layer, layers[layer.name], pair, decay, damping)
            for layer, pair in found.items()
        }
        return {**layers, **new}

    def _downhill(self, g: Named, layers: State, step: int) -> Named:
        """−G⁻¹ ∇ A⁻¹ for the layers that have factors, −∇ for all else."""
        natural: Named = {}
        for name, layer in self.seen.layers.items():
            own = layers[name]
            if own["measured"]:
                block = own["G_inverse"] @ layer.block(g) @ own["A_inverse"]
                natural |= {k: x for k, x in layer.parts(block).items() if k in g}
        factor = self._clipping(natural, g, step)
        return {name: -factor * natural[name] if name in natural else -x for name, x in g.items()}

    def _clipping(self, natural: Named, g: Named, step: int) -> float:
        """What the natural gradient is multiplied by to stay within ``clip``."""
        if self.clip is None:
            return 1.0
        size = at(self.lr, step) ** 2 * _inner(natural, g)
        most = at(self.clip, step, "clip")
        return math.sqrt(most / size) if size > most else 1.0

    def _factors(
        self, down: Named, last: Named, g: Named, damping: float, step: int
    ) -> tuple[float, float]:
        """Of the direction, and of the last step."""
        lr, momentum = at(self.lr, step), at(self.momentum, step, "momentum")
        if not self.exact:
            return lr, momentum
        both = [down, last] if momentum and any(map(np.any, last.values())) else [down]
        alpha, mu = lowest(*self._model(both, g, damping))
        return lr * alpha, lr * mu

    def _model(
        self, directions: list[Named], g: Named, damping: float
    ) -> tuple[Array, list[float]]:
        """The quadratic model of the loss over some directions: its matrix, and its slopes."""
        matrix = self.seen.quadratic(directions)
        matrix += damping * np.array([[_inner(u, v) for v in directions] for u in directions])
        return matrix, [_inner(g, u) for u in directions]


def _inner(u: Named, v: Named) -> float:
    return math.fsum(dot(x, v[k]) for k, x in u.items())


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"KFAC: {name} must be True or False, got {value!r}")


def lowest(matrix: Array, slopes: Sequence[float]) -> tuple[float, float]:
    """Where ½xᵀMx + s·x is lowest, for one or two dimensions; (1, 0) where it has no lowest point.

    >>> lowest(np.array([[2.0, 1.0], [1.0, 2.0]]), [-3.0, -3.0])
    (1.0, 1.0)
    """
    if len(slopes) == 2:
        (a, b), (_, d) = matrix.tolist()
        determinant = a * d - b * b
        if a > 0.0 and determinant > 1e-12 * a * d:
            p, q = slopes
            return (b * q - d * p) / determinant, (b * p - a * q) / determinant
    first = float(matrix[0, 0])
    return (-slopes[0] / first if first > 0.0 else 1.0), 0.0


def adapted(damping: float, change: float, predicted: float) -> float:
    """The damping after a step whose loss changed so, where the model said it would change so."""
    if predicted == 0.0:
        return damping
    ratio = change / predicted
    if ratio > 0.75 or change < 0.0 < predicted:
        return max(SHRINKING * damping, LEAST_DAMPING)
    return damping if ratio >= 0.25 else damping / SHRINKING
