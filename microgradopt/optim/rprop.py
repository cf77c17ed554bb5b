"""Rprop: steps whose sizes depend on the gradient's signs alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microgradopt.engine.composites import clip
from microgradopt.engine.ops.elementwise import greater, less, sign, where
from microgradopt.errors import UsageError
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.sgd import ascent
from microgradopt.optim.transforms import Hyper, Transform, chain, scale, transform_of, zeros_like


def scale_by_rprop(
    lr: Hyper = 1e-2,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.2,
    smallest: Hyper = 1e-6,
    largest: Hyper = 50.0,
) -> Transform:
    """sign(g)·Δ with a step size Δ for each entry, all of them lr at first.

    Δ grows by ``eta_plus`` while the sign stays, and shrinks by ``eta_minus`` when it turns, within
    [smallest, largest]; an entry whose sign has turned rests for a step. Riedmiller and Braun 1993,
    in the form without backtracking (Igel and Hüsken 2000, Rprop−).
    """

    def apply(
        g: Any,
        state: Any,
        x: Any,
        lr: float,
        eta_minus: float,
        eta_plus: float,
        smallest: float,
        largest: float,
    ) -> tuple[Any, dict[str, Any]]:
        agreement = sign(g) * sign(state["prev"])  # g·prev itself may underflow
        size = state["step_size"] if state["step"] else zeros_like(x) + lr
        turned = less(agreement, 0.0)
        grown = where(greater(agreement, 0.0), eta_plus * size, size)
        size = clip(where(turned, eta_minus * size, grown), smallest, largest)
        kept = where(turned, 0.0, g)
        after = {"prev": kept, "step_size": size, "step": state["step"] + 1}
        return sign(kept) * size, after

    return transform_of(
        "scale_by_rprop",
        apply,
        lambda x: {"prev": zeros_like(x), "step_size": zeros_like(x), "step": 0},
        entrywise=True,
        lr=lr,
        eta_minus=eta_minus,
        eta_plus=eta_plus,
        smallest=smallest,
        largest=largest,
    )


def rprop(
    lr: Hyper, etas: tuple[Hyper, Hyper], step_sizes: tuple[Hyper, Hyper], maximize: bool
) -> Transform:
    """The chain of :class:`Rprop`."""
    smallest, largest = step_sizes
    if not callable(smallest) and not callable(largest) and smallest > largest:
        raise UsageError(
            f"Rprop: step_sizes must be the smallest and the largest, got {step_sizes!r}"
        )
    direction = scale_by_rprop(lr, *etas, smallest, largest)
    return chain(*ascent(maximize), direction, scale(-1.0))


class Rprop(Optimizer):
    """x ← x − sign(g)·Δ, with Δ growing while g keeps its sign: for full batches, without noise.

    Riedmiller and Braun 1993, in the form and with the names and defaults of torch.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the size of a parameter's first step; of a schedule, its value then.
        etas: the factors of a step size when the sign turns, below 1, and when it stays, above 1.
        step_sizes: the smallest and the largest step.
        maximize: goes up instead of down.
        nonfinite: see :class:`Optimizer`.

    Raises:
        UsageError: for factors on the wrong side of 1, or a smallest step above the largest.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.Rprop([x], lr=0.1)
    >>> for g in (5.0, 0.01, -3.0, -3.0):
    ...     x.grad = g
    ...     optimizer.step()
    ...     print(round(x.data, 6))
    0.9
    0.78
    0.78
    0.84
    """

    samples = (
        {"lr": 0.1},
        {"lr": 1.0, "etas": (0.6, 1.1), "step_sizes": (1e-8, 2.0)},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-2,
        etas: tuple[Hyper, Hyper] = (0.5, 1.2),
        step_sizes: tuple[Hyper, Hyper] = (1e-6, 50.0),
        *,
        maximize: bool = False,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, rprop, **given(locals()))
