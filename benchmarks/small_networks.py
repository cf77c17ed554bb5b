"""Small networks to a goal: ``python -m benchmarks.small_networks [--seeds N]``.

The comparison that made Levenberg–Marquardt the default of small networks (Hagan and Menhaj 1994;
the MATLAB handbook's "Choose a multilayer neural network training function"): one period of a sine
with 1–5–1, parity of three bits with 3–10–10–1, and two real data sets that come with scikit-learn.
For each optimizer how many of the seeds arrive, and the median of iterations and seconds to get
there, those that do not arrive counting as never. Functions and training steps are compiled on the
way, and that time counts. Rates are the best of a few, on the first five seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import microgradopt as mg
from microgradopt import nn, optim

MOST = 5000  # iterations of optimizers that only take gradients
LIMIT = 500  # of the others
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


@dataclass(frozen=True)
class Task:
    """Data, a network, and the mean squared error that is to be reached."""

    name: str
    X: np.ndarray
    y: np.ndarray
    hidden: tuple[int, ...]
    goal: float
    squashed: bool = False  # whether the output goes through tanh, too

    def network(self, seed: int) -> nn.Module:
        layers = nn.MLP(self.X.shape[1], [*self.hidden, 1], activation=mg.tanh, rng=seed)
        return nn.Sequential(layers, mg.tanh) if self.squashed else layers


class Outcome(NamedTuple):
    """How many iterations and seconds it took; inf if the goal was not reached."""

    iterations: float
    seconds: float


NEVER = Outcome(np.inf, np.inf)


def sine() -> Task:
    """41 points of one period."""
    t = np.linspace(-1.0, 1.0, 41)[:, None]
    return Task("sine 1–5–1", t, np.sin(np.pi * t), (5,), 0.002)


def parity() -> Task:
    """Whether an odd number of three bits is set; −1 and 1."""
    X = np.array([[a, b, c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)])
    return Task("parity 3–10–10–1", X, np.prod(X, axis=1, keepdims=True), (10, 10), 0.001, True)


def cancer() -> Task:
    """Wisconsin breast cancer, 569 cases of 30 features; −1 and 1."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return Task("cancer 30–5–1", _standardised(X), 2.0 * y[:, None] - 1.0, (5,), 0.02)


def diabetes() -> Task:
    """Progress of diabetes in 442 patients, by 10 features; of variance 1."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return Task("diabetes 10–5–1", _standardised(X), _standardised(y[:, None]), (5,), 0.40)


def _standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


TASKS = (sine, parity, cancer, diabetes)


def levenberg_marquardt(task: Task, seed: int) -> Outcome:
    """Least squares over the network's parameters."""
    start = time.perf_counter()
    found = optim.least_squares(
        lambda net: net(task.X) - task.y,
        task.network(seed),
        f_target=0.5 * task.goal * task.y.size,
        maxiter=LIMIT,
        path=False,
    )
    return _outcome(found, start)


def lbfgs(task: Task, seed: int) -> Outcome:
    """L-BFGS on the mean squared error."""
    start = time.perf_counter()
    found = optim.minimize(
        lambda net: nn.mse(net(task.X), task.y),
        task.network(seed),
        "l-bfgs",
        f_target=task.goal,
        maxiter=LIMIT * 2,
        path=False,
    )
    return _outcome(found, start)


def _outcome(found: optim.Result, start: float) -> Outcome:
    if found.reason != "target":
        return NEVER
    return Outcome(found.nit, time.perf_counter() - start)


def first_order(make: Callable[[Any], optim.Optimizer]) -> Callable[[Task, int], Outcome]:
    """Full batches, the training step compiled."""

    def train(task: Task, seed: int) -> Outcome:
        start = time.perf_counter()
        net = task.network(seed)
        optimizer = make(net.named_parameters())

        @mg.jit
        def step(X: Any, y: Any) -> Any:
            loss = nn.mse(net(X), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        for i in range(MOST):
            loss = step(task.X, task.y).item()
            if loss <= task.goal:
                return Outcome(i, time.perf_counter() - start)
            if not np.isfinite(loss):
                break
        return NEVER

    return train


def best_rate(kind: Any, task: Task, **options: Any) -> Callable[[Task, int], Outcome]:
    """The optimizer with the rate that arrives most often, and then soonest."""
    trained = [first_order(lambda p, lr=lr: kind(p, lr=lr, **options)) for lr in RATES]
    scores = []
    for train in trained:
        runs = np.array([train(task, seed).iterations for seed in range(5)])
        scores.append((-np.count_nonzero(np.isfinite(runs)), np.median(runs)))
    return trained[min(range(len(RATES)), key=scores.__getitem__)]


def contenders(task: Task) -> dict[str, Callable[[Task, int], Outcome]]:
    """All optimizers, by name."""
    return {
        "LM": levenberg_marquardt,
        "L-BFGS": lbfgs,
        "Rprop": best_rate(optim.Rprop, task),
        "Adam": best_rate(optim.Adam, task),
        "SGD, momentum 0.9": best_rate(optim.SGD, task, momentum=0.9),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_networks")
    parser.add_argument("--seeds", type=int, default=30)
    seeds = parser.parse_args().seeds
    print(f"{'task':20}{'goal':>7}  {'optimizer':20}{'arrive':>8}{'iterations':>12}{'time':>10}")
    for make in TASKS:
        task = make()
        for name, train in contenders(task).items():
            runs = [train(task, seed) for seed in range(seeds)]
            arrived = sum(np.isfinite(run.iterations) for run in runs)
            iterations, seconds = np.median(np.array(runs), axis=0)
            cells = f"{arrived:>5}/{seeds:<2}{iterations:>12g}{1e3 * seconds:>7.0f} ms"
            print(f"{task.name:20}{task.goal:>7g}  {name:20}{cells}", flush=True)


if __name__ == "__main__":
    main()
