"""A function turned into a property test in one line: its derivatives, anywhere in a domain."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from microgradopt.check.expressions import literal
from microgradopt.check.gradients import check_grads
from microgradopt.check.strategies import arrays, numbers
from microgradopt.engine.rules import is_floating
from microgradopt.engine.structure import leaves
from microgradopt.errors import UsageError

# strategies, above, has said what to do where Hypothesis is missing
import hypothesis  # isort: skip
from hypothesis import strategies as st  # isort: skip

__all__ = ["property"]

Arguments = dict[str, Any]


def property(  # noqa: A001  # used as check.property
    f: Callable[..., Any] | None = None,
    domain: Any = None,
    *,
    shapes: Any = None,
    order: int = 2,
    modes: Sequence[str] = ("reverse", "forward"),
    method: str = "central",
    rtol: float | None = None,
    atol: float | None = None,
    max_examples: int = 50,
    derandomize: bool = False,
) -> Any:
    """A test that the derivatives of ``f`` are right wherever in the ``domain`` Hypothesis looks.

    It takes no arguments, and pytest runs it if its name in a module (in a class, wrapped in
    ``staticmethod``) begins with ``test``. When it fails, it
    shows the simplest arguments at which it does, and the :class:`GradientError` there.

    Args:
        f: as for :func:`check_grads`; left out, ``property`` is a decorator.
        domain: an interval (low, high) for every argument that has no default; or a tuple or list
            with one domain per argument, or a dict by name, where each is an interval or a
            Hypothesis strategy. Arguments from intervals are arrays whose shapes broadcast
            together, or all of them numbers. What a strategy gives is differentiated if it is made
            of floats, and handed over as it is if not.
        shapes: one shape, or a list of one per interval, instead of shapes drawn; () for numbers.
        order, modes, method, rtol, atol: as for :func:`check_grads`.
        max_examples: how many points to look at.
        derandomize: the same points at each run.

    Raises:
        UsageError: for a domain that is none, or does not fit the arguments.

    >>> import microgradopt as mg
    >>> test_softplus = property(mg.softplus, (-5.0, 5.0), max_examples=5)
    >>> test_softplus()
    """
    if f is None:
        return partial(
            property, domain=domain, shapes=shapes, order=order, modes=modes, method=method,
            rtol=rtol, atol=atol, max_examples=max_examples, derandomize=derandomize,
        )  # fmt: skip
    if not callable(f):
        raise UsageError(f"property: {f!r} is not a function; give a domain as domain={f!r}")
    name = str(getattr(f, "__name__", type(f).__name__)).replace("<lambda>", "function")
    function: Callable[..., Any] = f
    by_name = isinstance(domain, Mapping)

    def call(arguments: Arguments) -> Any:
        return function(**arguments) if by_name else function(*arguments.values())

    def test(arguments: Arguments) -> None:
        hypothesis.note(f"{name}({', '.join(f'{k}={literal(x)}' for k, x in arguments.items())})")
        chosen, of_chosen = _differentiated(call, arguments)
        check_grads(
            of_chosen, *chosen, order=order, modes=modes, method=method, rtol=rtol, atol=atol
        )

    test.__name__ = test.__qualname__ = name if name.startswith("test") else f"test_{name}"
    test.__doc__ = f"The derivatives of {name}, up to order {order}."
    test.__module__ = getattr(f, "__module__", __name__)
    configured = hypothesis.settings(
        max_examples=max_examples, derandomize=derandomize, deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        phases=[phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain],
    )  # fmt: skip
    return configured(hypothesis.given(_drawn(_by_name(f, domain, name), shapes))(test))


def _by_name(f: Callable[..., Any], domain: Any, name: str) -> dict[str, Any]:
    """A domain for each argument: an interval or a strategy."""
    if isinstance(domain, Mapping):
        found = dict(domain)
    else:
        needed = _needed(f, name)
        one = _is_interval(domain) or isinstance(domain, st.SearchStrategy)
        each = [domain] * len(needed) if one else domain
        if not isinstance(each, (tuple, list)) or len(each) != len(needed):
            raise UsageError(
                f"property: domain={domain!r} does not fit {name}({', '.join(needed)}); give an "
                "interval (low, high) for all, one domain per argument, or a dict by name"
            )
        found = dict(zip(needed, each))
    for key, value in found.items():
        if not (_is_interval(value) or isinstance(value, st.SearchStrategy)):
            raise UsageError(
                f"property: the domain of {key!r} must be an interval (low, high) or a Hypothesis "
                f"strategy, such as strategies.arrays() or st.just(…), got {value!r}"
            )
    if not found:
        raise UsageError(f"property: {name} has no argument to draw; name them in a dict")
    return found


def _is_interval(domain: Any) -> bool:
    return (
        isinstance(domain, (tuple, list))
        and len(domain) == 2
        and all(isinstance(x, (int, float)) for x in domain)
    )


def _needed(f: Callable[..., Any], name: str) -> list[str]:
    """The arguments that have no default; a primitive is asked how many operands it has."""
    operands = getattr(f, "operands", None)
    if isinstance(operands, int):
        return [f"x{i}" for i in range(operands)] if operands > 1 else ["x"]
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        raise UsageError(f"property: {name} does not say its arguments; give a dict") from None
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in named and p.default is p.empty]


def _drawn(domains: dict[str, Any], shapes: Any) -> st.SearchStrategy[Arguments]:
    """The arguments by name: those from intervals together, the rest each from its strategy."""
    intervals = {name: d for name, d in domains.items() if _is_interval(d)}
    kinds = list(intervals.values())
    together: st.SearchStrategy[Any] = st.tuples(*(numbers(*d) for d in kinds))
    if kinds and shapes != ():
        of_shape = arrays(len(kinds), elements=kinds, shapes=shapes, max_dims=2)
        together = together | of_shape if shapes is None else of_shape
    others = st.fixed_dictionaries({n: d for n, d in domains.items() if n not in intervals})

    def in_order(found: tuple[tuple[Any, ...], Arguments]) -> Arguments:
        drawn = {**dict(zip(intervals, found[0])), **found[1]}
        return {name: drawn[name] for name in domains}

    return st.tuples(together, others).map(in_order)


def _differentiated(
    call: Callable[[Arguments], Any], arguments: Arguments
) -> tuple[list[Any], Callable[..., Any]]:
    """The arguments made of floats, and the function of these alone."""
    names = [name for name, x in arguments.items() if any(map(is_floating, leaves(x)))]

    def of_chosen(*values: Any) -> Any:
        return call({**arguments, **dict(zip(names, values))})

    return [arguments[name] for name in names], of_chosen
