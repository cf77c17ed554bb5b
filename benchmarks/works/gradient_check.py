"""A gradient check of a network by random directions, and of a small one entry by entry.

The large one has 10,062 parameters (64–100–32–10, softmax cross-entropy over 64 points). torch's
``gradcheck`` in its fast mode and HIPS autograd's ``check_grads`` look along one random direction
with one step; ours along three, along each array by itself, at single entries, with steps
extrapolated to 0, and in both modes. The small network, 8–10–3, is looked at entry by entry by
torch (its slow mode) and by ours. All check first order, float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Contender, Sample, Work, no_more_than, timed

LARGE, SMALL = (64, 100, 32, 10), (8, 10, 3)
POINTS = 64


def problem(sizes: tuple[int, ...]) -> tuple[list[Any], Any, Any]:
    """Weights and biases in turn, inputs, labels."""
    rng = np.random.default_rng(0)
    shapes = [shape for i, o in pairwise(sizes) for shape in ((i, o), (o,))]
    weights = [rng.normal(size=s) / np.sqrt(sizes[0]) for s in shapes]
    return weights, rng.normal(size=(POINTS, sizes[0])), rng.integers(0, sizes[-1], POINTS)


def _scores(x: Any, weights: Any, tanh: Callable[[Any], Any]) -> Any:
    for i in range(0, len(weights), 2):
        x = x @ weights[i] + weights[i + 1]
        x = tanh(x) if i + 2 < len(weights) else x
    return x


def ours(sizes: tuple[int, ...]) -> Sample:
    """This library's check."""
    import microgradopt as mg

    weights, X, y = problem(sizes)

    def loss(weights: Any) -> Any:
        return mg.nn.cross_entropy(_scores(X, weights, mg.tanh), y)

    return timed(lambda: mg.check.check_grads(loss, weights), calls=1)


def torch(sizes: tuple[int, ...], fast: bool) -> Sample:
    """torch.autograd.gradcheck."""
    import torch

    torch.set_num_threads(1)
    weights, X, y = problem(sizes)
    leaves = [torch.tensor(w, requires_grad=True) for w in weights]
    inputs, labels = torch.tensor(X), torch.tensor(y)

    def loss(*weights: Any) -> Any:
        return torch.nn.functional.cross_entropy(_scores(inputs, weights, torch.tanh), labels)

    return timed(lambda: torch.autograd.gradcheck(loss, leaves, fast_mode=fast), calls=1)


def hips_autograd(sizes: tuple[int, ...]) -> Sample:
    """autograd.test_util.check_grads, order 1."""
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp
    from autograd.test_util import check_grads

    weights, X, y = problem(sizes)

    def loss(*weights: Any) -> Any:
        scores = _scores(X, weights, anp.tanh)
        return anp.mean(logsumexp(scores, axis=1) - scores[np.arange(POINTS), y])

    check = check_grads(loss, modes=["rev"], order=1)
    return timed(lambda: check(*weights), calls=1)


def _show(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms"


WORKS = (
    Work(
        "check-large",
        "check of 10,062 parameters",
        _show,
        (
            Contender(OURS, partial(ours, LARGE), no_more_than(2.0, "s")),
            Contender("torch gradcheck, fast mode", partial(torch, LARGE, True)),
            Contender("HIPS autograd check_grads", partial(hips_autograd, LARGE)),
            Contender("torch gradcheck, every entry", partial(torch, LARGE, False), rounds=1),
        ),
        rounds=5,
    ),
    Work(
        "check-small",
        "check of 123 parameters, every entry",
        _show,
        (
            Contender(OURS, partial(ours, SMALL)),
            Contender("torch gradcheck", partial(torch, SMALL, False)),
        ),
        rounds=5,
    ),
)
