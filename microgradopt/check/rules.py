"""The rule of one primitive checked where its row says that it can be."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from microgradopt.check.gradients import examine
from microgradopt.check.numeric import Leaves, Phi, scale
from microgradopt.engine.graph import Primitive, constant
from microgradopt.engine.rules import Differentiable, Elementwise, data_of
from microgradopt.engine.structure import of_places
from microgradopt.errors import GradientError, UsageError
from microgradopt.randomness import RandomSource, as_generator

DRAWS = 20  # of an operand that has no derivative
ATTEMPTS = 10_000  # at a point away from all kinks
AGREE = 1e-9  # relatively: two kernels of one operation
KINK_MARGIN = 0.1  # how far to stay away from points without a derivative


def check_rule(primitive: Primitive, *args: Any, rng: RandomSource = None, **params: Any) -> None:
    """Check the rule of one primitive at its ``sample``, in both modes, at orders 1 and 2.

    Also that its kernels give floating-point numbers, float32 for float32, and agree.
    An elementwise row's sample gives an interval per operand; the points keep away from its
    ``kinks``. Any other row's sample is called with a generator and gives ``(args, params)`` pairs.
    With ``args`` (and ``params``) given, the rule is checked there instead.

    Raises:
        GradientError: naming the primitive, the operand and the entry.
        UsageError: for a primitive that has no derivative, or no sample.

    >>> import numpy as np, microgradopt as mg
    >>> check_rule(mg.hypot)
    >>> check_rule(mg.hypot, 3.0, np.array([4.0, 5.0]))
    """
    if not isinstance(primitive, Differentiable):
        name = getattr(primitive, "__name__", repr(primitive))
        raise UsageError(
            f"check_rule: {name} has no derivative rule of its own; check_grads({name}, …) checks "
            "a function made of others"
        )
    if primitive.sample is None and not args:
        raise UsageError(
            f"check_rule: {primitive.name} does not say where to check it; give arguments, as in "
            f"check_rule({primitive.name}, x), or declare it with sample=, an interval per "
            "operand, or rng -> [(args, params), …] if not elementwise"
        )
    generator = as_generator(0 if rng is None else rng)
    places = [(args, params)] if args else samples(primitive, generator)
    for operands, options in places:
        try:
            _check_at(primitive, operands, options, generator)
        except GradientError as error:
            shapes = ", ".join(str(np.shape(x)) for x in operands)
            raise GradientError(f"{primitive.name} on shapes {shapes}: {error}") from None


def _check_at(
    primitive: Differentiable,
    args: Sequence[Any],
    params: dict[str, Any],
    rng: np.random.Generator,
) -> None:
    args = [constant(data_of(x), primitive) for x in args]
    _check_kernels(primitive, args, params)
    f, chosen = of_differentiable(primitive, args, params)
    if chosen:
        examine(f, chosen, order=2, rng=rng, named=False)
    if isinstance(primitive, Elementwise):
        for i, rule in enumerate(primitive.partials):
            if rule is None:
                _expect_constant(primitive, args, i, rng)


def _check_kernels(primitive: Differentiable, args: Sequence[Any], params: dict[str, Any]) -> None:
    """The result must be floating-point, and an elementwise row's two kernels must agree."""
    if not isinstance(primitive, Elementwise):
        _expect_dtype(primitive.compute(args, params), "f")
        return
    arrays = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in args))
    wide = np.asarray(primitive.compute(arrays, {}))
    _expect_dtype(wide, "f")
    _expect_dtype(primitive.compute([x.astype(np.float32) for x in arrays], {}), np.float32)
    for place in np.ndindex(arrays[0].shape):
        numbers = [float(x[place]) for x in arrays]
        a, b = primitive.compute(numbers, {}), float(wide[place])
        if not np.isclose(a, b, rtol=AGREE, atol=0.0, equal_nan=True):
            raise GradientError(
                f"the kernels differ at {', '.join(map(repr, numbers))}: scalar gives {a!r}, array "
                f"gives {b!r}"
            )


def _expect_dtype(out: Any, wanted: Any) -> None:
    found = np.asarray(out).dtype
    if wanted not in (found, found.kind):
        told = "floating-point numbers" if wanted == "f" else "float32 for float32"
        raise GradientError(f"the kernel returns {found}; it must give {told}")


def _expect_constant(
    primitive: Elementwise, args: Sequence[Any], i: int, rng: np.random.Generator
) -> None:
    """An operand that is said to have no derivative must not have one inside its interval."""

    def moved(values: Leaves) -> Leaves:
        return [primitive(*args[:i], values[0], *args[i + 1 :])]

    x = np.asarray(args[i], np.float64)
    declared: Any = primitive.sample
    low, high = declared[i] if declared is not None else (x, x)
    for x in (np.asarray(rng.uniform(low, high, x.shape)) for _ in range(DRAWS)):
        phi = Phi(moved, [x], [np.ones(np.shape(primitive(*args)))])
        slope = phi.slope("central", [np.ones(x.shape)], scale(x)).slope
        if abs(slope) > 1e-6:
            raise GradientError(
                f"operand {i} is declared to have no derivative (None), but the result changes "
                f"with it, at a rate of {slope:.6g}; declare its partial"
            )


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
    for attempt in range(ATTEMPTS):
        args = tuple(
            _conditions(shape, rng, mixed=attempt < DRAWS)
            if rule is None
            else rng.uniform(interval[0], interval[1], shape)
            for interval, shape, rule in zip(declared, shapes, primitive.partials, strict=True)
        )
        with np.errstate(all="ignore"):
            if not primitive.kinks or np.all(np.abs(primitive.kinks(*args)) > KINK_MARGIN):
                return args
    raise UsageError(
        f"{primitive.name}: {ATTEMPTS} points of its sample all lie within {KINK_MARGIN} of a "
        "kink; widen the sample, or check that kinks gives distances"
    )


def _conditions(shape: tuple[int, ...], rng: np.random.Generator, *, mixed: bool) -> Any:
    """Zeros and ones; ``mixed``, some of each."""
    n = math.prod(shape)
    either = (np.arange(n) + rng.integers(2)) % 2
    drawn = rng.permutation(either) if mixed else rng.integers(0, 2, n)
    return drawn.reshape(shape).astype(float)


def of_differentiable(
    primitive: Differentiable, args: Sequence[Any], params: dict[str, Any]
) -> tuple[Callable[..., Any], list[Any]]:
    """The primitive as a function of those operands that have a derivative, and these operands."""
    partials = primitive.partials if isinstance(primitive, Elementwise) else [True] * len(args)
    places = [
        i for i, (x, rule) in enumerate(zip(args, partials, strict=True))
        if rule is not None and np.asarray(x).dtype.kind == "f"
    ]  # fmt: skip

    return of_places(primitive, args, places, params), [args[i] for i in places]
