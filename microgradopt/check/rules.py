"""The rule of one primitive checked where its row says that it can be."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from microgradopt.check.gradients import check_grads
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import Differentiable, Elementwise
from microgradopt.errors import GradientError, UsageError
from microgradopt.randomness import RandomSource, as_generator

KINK_MARGIN = 0.1  # how far to stay away from points without a derivative


def check_rule(primitive: Primitive, *, rng: RandomSource = None) -> None:
    """Check the rule of one primitive at its ``sample``, in both modes, at orders 1 and 2.

    An elementwise row's sample gives an interval per operand; the points keep away from its
    ``kinks``. Any other row's sample is called with a generator and gives ``(args, params)`` pairs.

    Raises:
        GradientError: naming the primitive, the operand and the entry.
        UsageError: for a primitive that has no derivative, or no sample.
    """
    if not isinstance(primitive, Differentiable):
        raise UsageError(f"check_rule: {primitive!r} has no derivative rule to check")
    if primitive.sample is None:
        raise UsageError(
            f"check_rule: {primitive.name} does not say where to check it; declare it with "
            "sample=, an interval per operand, or rng -> [(args, params), …] if not elementwise"
        )
    generator = as_generator(0 if rng is None else rng)
    for args, params in samples(primitive, generator):
        f, chosen = of_differentiable(primitive, args, params)
        try:
            if chosen:
                check_grads(f, *chosen, order=2, rng=generator)
        except GradientError as error:
            shapes = ", ".join(str(np.shape(x)) for x in args)
            raise GradientError(f"{primitive.name} on shapes {shapes}: {error}") from None


def samples(
    primitive: Differentiable, rng: np.random.Generator
) -> Iterator[tuple[Sequence[Any], dict[str, Any]]]:
    """The points (args, params) a primitive declares for its own check."""
    if not isinstance(primitive, Elementwise):
        yield from primitive.sample(rng)  # type: ignore[misc]  # the caller saw that it is there
        return
    operands = len(primitive.partials)
    yield tuple(float(x) for x in points(primitive, [()] * operands, rng)), {}
    yield points(primitive, [(2, 3), (3,), (2, 1)][:operands] + [()] * (operands - 3), rng), {}


def points(
    primitive: Elementwise, shapes: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> tuple[Any, ...]:
    """Operands of an elementwise primitive inside its sample, away from its kinks."""
    declared: Any = primitive.sample
    while True:
        args = tuple(
            rng.integers(0, 2, shape).astype(float)
            if rule is None
            else rng.uniform(interval[0], interval[1], shape)
            for interval, shape, rule in zip(declared, shapes, primitive.partials, strict=True)
        )
        if not primitive.kinks or np.all(np.abs(primitive.kinks(*args)) > KINK_MARGIN):
            return args


def of_differentiable(
    primitive: Differentiable, args: Sequence[Any], params: dict[str, Any]
) -> tuple[Callable[..., Any], list[Any]]:
    """The primitive as a function of those operands that have a derivative, and these operands."""
    partials = primitive.partials if isinstance(primitive, Elementwise) else [True] * len(args)
    places = [
        i for i, (x, rule) in enumerate(zip(args, partials, strict=True))
        if rule is not None and np.asarray(x).dtype.kind == "f"
    ]  # fmt: skip

    def of_chosen(*values: Any) -> Any:
        full = list(args)
        for i, value in zip(places, values, strict=True):
            full[i] = value
        return primitive(*full, **params)

    return of_chosen, [args[i] for i in places]
