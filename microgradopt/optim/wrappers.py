"""Transforms of transforms: for some parameters only, for every k-th step, averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from microgradopt.arguments import check_count
from microgradopt.errors import UsageError
from microgradopt.optim.transforms import (
    Hyper,
    Named,
    State,
    Transform,
    transform_of,
    zeros_like,
)


def masked(inner: Transform, mask: Callable[[str, Any], bool]) -> Transform:
    """``inner`` for the parameters for which ``mask(name, x)`` is true; the others' pass as is."""

    def chosen(arrays: Named, params: Named) -> Named:
        return {k: v for k, v in arrays.items() if mask(k, params[k])}

    def init(params: Named) -> State:
        return inner.init(chosen(params, params))

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        done, after = inner.update(chosen(g, params), state, params, step)
        return {**g, **done}, after

    return Transform(init, update, "masked", {"mask": mask}, pieces=(inner,))


def partition(
    transforms: Mapping[str, Transform], labels: Mapping[str, str] | Callable[[str, Any], str]
) -> Transform:
    """To each parameter the transform of its label: settings of their own for groups.

    Args:
        transforms: by label.
        labels: by parameter name, or a function ``(name, x) -> label``.

    Raises:
        UsageError: at ``init``, for a parameter whose label has no transform.
    """

    def label_of(name: str, x: Any) -> str:
        found = labels(name, x) if callable(labels) else labels.get(name)
        if found is None or found not in transforms:
            raise UsageError(
                f"partition: the label of {name!r} is {found!r}, but there are transforms for "
                f"{', '.join(map(repr, transforms))} only"
            )
        return found

    def split(arrays: Named, params: Named) -> dict[str, Named]:
        parts: dict[str, Named] = {label: {} for label in transforms}
        for name, x in arrays.items():
            parts[label_of(name, params[name])][name] = x
        return parts

    def init(params: Named) -> State:
        parts = split(params, params)
        return {label: t.init(parts[label]) for label, t in transforms.items()}

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        parts, merged, after = split(g, params), {}, {}
        for label, t in transforms.items():
            done, after[label] = t.update(parts[label], state[label], params, step)
            merged.update(done)
        return {name: merged[name] for name in g}, after

    inner = tuple(transforms.values())
    return Transform(init, update, "partition", {"of": list(transforms)}, pieces=inner)


def accumulate(inner: Transform, every: int) -> Transform:
    """``inner`` on the mean of ``every`` gradients in turn; in between, no update.

    What a parameter without a gradient in the last of them has summed up waits for the next turn.
    Schedules inside ``inner`` count its own steps, one in ``every``.
    """
    every = check_count("accumulate", "every", every)

    def init(params: Named) -> State:
        total = {name: zeros_like(x) for name, x in params.items()}
        return {"inner": inner.init(params), "total": total, "count": 0, "steps": 0}

    def update(g: Named, state: State, params: Named, step: int) -> tuple[Named, State]:
        total = {**state["total"], **{name: state["total"][name] + g[name] for name in g}}
        if state["count"] + 1 < every:
            waiting = {**state, "total": total, "count": state["count"] + 1}
            return {name: zeros_like(x) for name, x in g.items()}, waiting
        mean = {name: total[name] / every for name in g}
        steps = state["steps"] + 1
        done, after = inner.update(mean, state["inner"], params, steps)
        rest = {**total, **{name: zeros_like(x) for name, x in g.items()}}
        return done, {"inner": after, "total": rest, "count": 0, "steps": steps}

    return Transform(init, update, "accumulate", {"every": every}, pieces=(inner,))


def ema(decay: Hyper, debias: bool = True) -> Transform:
    """The exponential moving average of the updates, m ← decay·m + (1 − decay)·g.

    With ``debias``, divided by 1 − the product of the decays so far, as in Adam.
    """

    def apply(g: Any, state: Any, x: Any, decay: float) -> tuple[Any, dict[str, Any]]:
        m = decay * state["average"]
        m += (1.0 - decay) * g
        weight = decay * state["weight"]
        return m / (1.0 - weight) if debias else +m, {"average": m, "weight": weight}

    return transform_of(
        "ema",
        apply,
        lambda x: {"average": zeros_like(x), "weight": 1.0},
        entrywise=True,
        flags={"debias": debias},
        decay=decay,
    )
