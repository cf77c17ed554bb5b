"""The pieces optimizers are made of.

A :class:`Transform` is a pair of pure functions over named arrays::

    init(params) -> state
    update(gradients, state, params, step) -> (updates, state)

Chained, each works on what the one before it returns; what the last returns is added to the
parameters. Steps count from 1. Updates are written with operators and the library's functions only;
``+=`` is used on what the update itself has just made.

Most transforms treat every array by itself. Such a one is written as a :class:`Rule` for a single
array; where it even treats every *entry* by itself, an optimizer may lay many parameters end to end
and cut them into blocks, and the result is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine import modes

Named: TypeAlias = dict[str, Any]  # by parameter name: an array each
State: TypeAlias = Any  # nested dicts of arrays and plain numbers
Schedule: TypeAlias = Callable[[int], float]
Hyper: TypeAlias = float | Schedule
Apply: TypeAlias = Callable[..., tuple[Any, dict[str, Any]]]

FRACTION, ANY = (0.0, 1.0), (-math.inf, math.inf)
LIMITS = {  # [low, high) of a hyper-parameter, by its name; at least 0 where none is given
    "alpha": FRACTION,
    "beta1": FRACTION,
    "beta2": FRACTION,
    "beta3": FRACTION,
    "decay": FRACTION,
    "rho": FRACTION,
    "eta_minus": FRACTION,
    "eta_plus": (1.0, math.inf),
    "d": (1.0, math.inf),
    "growth_rate": (1.0, math.inf),
    "beta2_decay": ANY,
    "ns_b": ANY,
    "ns_c": ANY,
    "dampening": ANY,
    "factor": ANY,
}


@dataclass(frozen=True, eq=False)
class Rule:
    """An update of one array.

    ``start(x)`` gives the state for an array x: a dict of arrays like x and of plain numbers, whose
    structure never changes. ``at(step)`` gives ``apply(g, state, x) -> (update, state)`` with that
    step's hyper-parameters in it. ``entrywise`` says that no entry knows of the others.
    ``lookahead(step)``, where there is one, gives ``f(state, x)``: where to evaluate the gradient.

    A rule that only multiplies says its ``factor(step)``. One that ``scales`` has an apply that
    takes ``scale=``, a factor of its update, so that a chain need not go over the array again.
    """

    start: Callable[[Any], dict[str, Any]]
    at: Callable[[int], Apply]
    entrywise: bool = False
    lookahead: Callable[[int], Callable[[Any, Any], Any]] | None = None
    factor: Callable[[int], float] | None = None
    scales: bool = False


@dataclass(frozen=True, eq=False)
class Transform:
    """A step of an update rule: how its state starts, and what it makes of the gradients.

    ``rule`` is set where arrays are treated one by one, ``pieces`` where it is made of others;
    ``name`` and ``options`` are for reading.
    """

    init: Callable[[Named], State]
    update: Callable[[Named, State, Named, int], tuple[Named, State]]
    name: str = "transform"
    options: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule | None = None
    pieces: tuple[Transform, ...] = ()

    def __repr__(self) -> str:
        inner = [repr(piece) for piece in self.pieces]
        inner += [f"{k}={_spoken(v)}" for k, v in self.options.items()]
        return f"{self.name}({', '.join(inner)})"


def _spoken(option: Any) -> str:
    """How an option reads; a plain function by its name, not by its address."""
    text = repr(option)
    return str(getattr(option, "__name__", text)) if text.startswith("<") else text


def each_array(
    name: str, rule: Rule, options: Mapping[str, Any], pieces: tuple[Transform, ...] = ()
) -> Transform:
    """The transform that applies a rule to every array by itself; its state is one per name."""

    def init(params: Named) -> State:
        return {k: rule.start(x) for k, x in params.items()}

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        apply = rule.at(step)
        done = {k: apply(g[k], state[k], params[k]) for k in g}
        after = {k: s for k, (_, s) in done.items()}
        return {k: u for k, (u, _) in done.items()}, {**state, **after}

    return Transform(init, update, name, options, rule, pieces)


def transform_of(
    name: str,
    apply: Apply,
    start: Callable[[Any], dict[str, Any]] = lambda x: {},
    *,
    entrywise: bool = False,
    scales: bool = False,
    lookahead: Callable[..., Any] | None = None,
    flags: Mapping[str, Any] | None = None,
    **hypers: Hyper,
) -> Transform:
    """A transform from ``apply(g, state, x, **hypers) -> (update, state)`` for one array.

    Args:
        name: what it is called in pictures, messages and saved files.
        apply: the update; it is given plain numbers, schedules are asked before.
        start: the state for an array.
        entrywise: whether no entry knows of the others.
        scales: whether ``apply`` also takes ``scale=``, a factor of its update.
        lookahead: ``lookahead(state, x, **hypers)``, the point whose gradient is wanted.
        flags: choices that are no numbers; for reading only, ``apply`` knows them already.
        hypers: numbers, or schedules of the step.

    Raises:
        UsageError: for a hyper-parameter outside the range its name has in ``LIMITS``.
    """
    for key, value in hypers.items():
        check_hyper(name, key, value)

    def bind(f: Callable[..., Any]) -> Callable[[int], Callable[..., Any]]:
        return lambda step: partial(f, **{k: at(v, step, k) for k, v in hypers.items()})

    ahead = bind(lookahead) if lookahead else None
    rule = Rule(start, bind(apply), entrywise, ahead, scales=scales)
    return each_array(name, rule, {**hypers, **(flags or {})})


def stateless(f: Callable[[Named, Named, int], Named], name: str = "stateless") -> Transform:
    """A transform without memory, from ``f(gradients, params, step)`` over all arrays."""

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        return f(g, params, step), state

    return Transform(lambda params: {}, update, name)


def chain(*transforms: Transform) -> Transform:
    """One transform that applies several in order; its state has theirs by their names.

    >>> chain(add_decayed_weights(0.01), scale_by_learning_rate(0.1))
    chain(add_decayed_weights(weight_decay=0.01), scale_by_learning_rate(lr=0.1))
    """
    keys = _keys(transforms)
    rules = [t.rule for t in transforms if t.rule is not None]
    if len(rules) == len(transforms):
        return each_array("chain", _rule_chain(keys, rules), {}, transforms)

    def init(params: Named) -> State:
        return {key: t.init(params) for key, t in zip(keys, transforms)}

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        after = {}
        for key, t in zip(keys, transforms):
            g, after[key] = t.update(g, state[key], params, step)
        return g, after

    return Transform(init, update, "chain", {}, None, transforms)


def _rule_chain(keys: list[str], rules: list[Rule]) -> Rule:
    def start(x: Any) -> dict[str, Any]:
        return {key: s for key, rule in zip(keys, rules) if (s := rule.start(x))}

    def at_step(step: int) -> Apply:
        pieces = _without_factors(keys, rules, step)

        def apply(g: Any, state: Any, x: Any) -> tuple[Any, dict[str, Any]]:
            after = {}
            for key, piece in pieces:
                g, s = piece(g, state.get(key, _NOTHING), x)
                if s:
                    after[key] = s
            return g, after

        return apply

    ahead = [(key, rule.lookahead) for key, rule in zip(keys, rules) if rule.lookahead]

    def lookahead(step: int) -> Callable[[Any, Any], Any]:
        (key, f), *_ = ahead
        at_point = f(step)
        return lambda state, x: at_point(state[key], x)

    return Rule(start, at_step, all(r.entrywise for r in rules), lookahead if ahead else None)


def _without_factors(keys: list[str], rules: list[Rule], step: int) -> list[tuple[str, Apply]]:
    """The rules at a step, with mere factors multiplied out, and into what they follow."""
    pieces: list[tuple[str, Apply]] = []
    factor = 1.0
    for key, rule in zip(reversed(keys), reversed(rules)):
        if rule.factor:
            factor *= rule.factor(step)
        elif rule.scales:
            pieces.append((key, partial(rule.at(step), scale=factor)))
            factor = 1.0
        else:
            if factor != 1.0:
                pieces.append(("", partial(_multiply, factor=factor)))
                factor = 1.0
            pieces.append((key, rule.at(step)))
    if factor != 1.0:
        pieces.append(("", partial(_multiply, factor=factor)))
    return pieces[::-1]


def _multiply(g: Any, state: Any, x: Any, factor: float) -> tuple[Any, dict[str, Any]]:
    return factor * g, _NOTHING


_NOTHING: dict[str, Any] = {}  # the state of a rule without memory


def _keys(transforms: tuple[Transform, ...]) -> list[str]:
    """A name for each, unique among them."""
    keys: list[str] = []
    for t in transforms:
        used = sum(key.split(".")[0] == t.name for key in keys)
        keys.append(f"{t.name}.{used + 1}" if used else t.name)
    return keys


@dataclass(frozen=True)
class Known:
    """A schedule that is the same at every step, and has been checked: a traced number."""

    value: Any

    def __call__(self, step: int) -> Any:
        return self.value


def at(hyper: Hyper, step: int, name: str = "lr") -> float:
    """A hyper-parameter at a step, which counts from 1: a number, or a schedule of the step.

    A plain float, since NumPy's own would turn float32 parameters into float64.

    Raises:
        UsageError: if a schedule gives no number, or one outside the range of its ``name``.
    """
    if not callable(hyper):
        return float(hyper)
    if isinstance(hyper, Known):
        return hyper(step)  # type: ignore[no-any-return]
    if (tracer := modes.tracer()) is not None:  # asked again in every replay
        return tracer.host(name, partial(_asked, hyper, name), (step,))  # type: ignore[no-any-return]
    value = hyper(step)
    low, high = LIMITS.get(name, (0.0, math.inf))
    check_number("schedule", f"its value at step {step}", value, low, high)
    return float(value)


def _asked(hyper: Hyper, name: str, step: int) -> float:
    return at(hyper, step, name)


def check_hyper(user: str, name: str, value: Any, limits_of: str | None = None) -> None:
    """Refuse a hyper-parameter that is neither a schedule nor a number in its name's range."""
    if not callable(value):
        low, high = LIMITS.get(limits_of or name, (0.0, math.inf))
        check_number(user, name, value, low, high, "a number or a schedule")


def zeros_like(x: Any) -> Any:
    """Zeros of the shape and dtype of an array, where a state starts."""
    return np.zeros_like(x)


def add_decayed_weights(weight_decay: Hyper) -> Transform:
    """g + weight_decay·x, the gradient of an L2 penalty ½·weight_decay·Σx²."""
    return transform_of(
        "add_decayed_weights",
        lambda g, state, x, weight_decay: (g + weight_decay * x, state),
        entrywise=True,
        weight_decay=weight_decay,
    )


def scale(factor: Hyper) -> Transform:
    """factor·g."""
    check_hyper("scale", "factor", factor)
    return _factor("scale", lambda step: at(factor, step, "factor"), {"factor": factor})


def scale_by_learning_rate(lr: Hyper) -> Transform:
    """−lr·g, the step down the slope."""
    check_hyper("scale_by_learning_rate", "lr", lr)
    return _factor("scale_by_learning_rate", lambda step: -at(lr, step), {"lr": lr})


def _factor(name: str, factor: Callable[[int], float], options: dict[str, Any]) -> Transform:
    """A transform that multiplies by a number."""
    rule = Rule(
        lambda x: {}, lambda step: partial(_multiply, factor=factor(step)), True, factor=factor
    )
    return each_array(name, rule, options)
