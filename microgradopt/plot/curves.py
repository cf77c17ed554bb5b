"""Curves: losses and schedules against the step, activations with their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from microgradopt.engine.derive import vjp
from microgradopt.errors import NonFiniteError, ShapeError, UsageError
from microgradopt.plot.axes import LINES, color_of, given_or_current, middle_lines
from microgradopt.plot.reading import Floats, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["activation", "loss_curve", "schedule"]


def loss_curve(
    losses: Any,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    log: bool = False,
    xlabel: str = "step",
    ylabel: str = "loss",
) -> Axes:
    """Draw losses against the step, one curve or several.

    A curve that becomes NaN or infinite is drawn as far as it is finite, and its last finite
    point before the first gap is marked with a cross: the run diverged there.

    Args:
        losses: numbers, one per step counted from 0, or scalar nodes; or a dict from name to such
            a sequence, drawn together. A torch-like or microgradopt vector works too.
        ax: the Axes to draw on; None takes the current one.
        label: name of a single curve in the legend.
        log: logarithmic loss axis.
        xlabel: name of the horizontal axis, for instance "epoch".
        ylabel: name of the vertical axis, for instance "accuracy".

    Returns:
        The Axes drawn on.

    Raises:
        ShapeError: when a curve is empty or not one-dimensional.
        DTypeError: when it does not hold real numbers.
        NonFiniteError: when it has no finite number at all.
        UsageError: for ``log=True`` with a number that is not positive.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    named = _named(losses, label, "losses")
    curves = {name: _curve(values, name, log, "losses") for name, values in named.items()}
    return _draw_curves(given_or_current(ax), curves, log, xlabel, ylabel)


def schedule(
    schedules: Any,
    steps: int | None = None,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    log: bool = False,
    xlabel: str = "step",
    ylabel: str = "learning rate",
) -> Axes:
    """Draw the value of a schedule in each step, counted from 1, or of several schedules.

    Args:
        schedules: a function of the step, such as those of ``optim.schedules``; or a dict from
            name to such a function, drawn together.
        steps: how many steps to draw; None takes the longest ``length`` and a step more.
        ax: the Axes to draw on; None takes the current one.
        label: name of a single schedule in the legend.
        log: logarithmic value axis.
        xlabel: name of the horizontal axis, for instance "epoch".
        ylabel: name of the vertical axis, for instance "momentum".

    Returns:
        The Axes drawn on.

    Raises:
        UsageError: when a schedule is no function, when no ``steps`` are given and one has no
            end, or for ``log=True`` with a value that is not positive.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    named = _named(schedules, label, "schedules")
    count = _step_count(steps, named)
    curves = {
        name: _curve([f(step) for step in range(1, count + 1)], name, log, "schedules", 1)
        for name, f in named.items()
    }
    return _draw_curves(given_or_current(ax), curves, log, xlabel, ylabel, first=1)


def activation(
    f: Callable[[Any], Any],
    *,
    ax: Axes | None = None,
    low: float = -4.0,
    high: float = 4.0,
    legend: bool = True,
) -> Axes:
    """Draw an activation and, dashed, its derivative.

    Args:
        f: a function of the library or a layer, applied entry by entry, such as ``mg.gelu`` or
            ``nn.ELU(0.5)``.
        ax: the Axes to draw on; None takes the current one.
        low, high: from where to where.
        legend: say in a legend which is which.

    Returns:
        The Axes drawn on.

    Raises:
        ShapeError: when ``f`` of n numbers is not n numbers.
        UsageError: when ``low`` is not below ``high``, both finite.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    if not -np.inf < low < high < np.inf:
        raise UsageError(f"low must be below high, both finite; got low={low!r}, high={high!r}")
    x = np.linspace(low, high, 1001)
    y, pull = vjp(f, x)
    if np.shape(y) != x.shape:
        raise ShapeError(
            f"f was given {len(x)} numbers and returned shape {np.shape(y)}; an activation returns "
            "as many numbers as it gets"
        )
    name = getattr(f, "__name__", None) or repr(f)
    axes = given_or_current(ax)
    middle_lines(axes)
    axes.plot(x, y, color=color_of(0), linewidth=1.8, label=name)
    axes.plot(
        x, pull(np.ones_like(y))[0], "--", color=color_of(2), linewidth=1.4, label="derivative"
    )
    axes.set(xlim=(low, high))
    if legend:
        axes.legend(fontsize="small")
    return axes


def _draw_curves(
    axes: Axes,
    curves: Mapping[str | None, Floats],
    log: bool,
    xlabel: str,
    ylabel: str,
    first: int = 0,
) -> Axes:
    drawn_before = sum(line.get_linestyle() in LINES for line in axes.lines)
    for index, (name, values) in enumerate(curves.items(), start=drawn_before):
        _draw_curve(axes, values, name, index, first)
    if log:
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    if any(name is not None for name in curves):
        axes.legend()
    return axes


def _draw_curve(axes: Axes, values: Floats, name: str | None, index: int, first: int) -> None:
    color, finite = color_of(index), np.isfinite(values)
    style = LINES[index % len(LINES)]
    marker = "o" if len(values) == 1 else None
    shown = np.where(finite, values, np.nan)
    steps = np.arange(first, first + len(shown))
    axes.plot(steps, shown, style, color=color, label=name, linewidth=1.6, marker=marker)
    if not finite.all():
        last = max(int(np.argmin(finite)) - 1, 0)
        axes.plot(
            [first + last], [shown[last]], "x", color=color, markersize=9, markeredgewidth=2.2
        )


def _named(curves: Any, label: str | None, what: str) -> dict[str | None, Any]:
    if not isinstance(curves, Mapping):
        return {label: curves}
    if label is not None:
        raise UsageError(
            f"label={label!r} names a single curve, but {what} is a dict, whose keys are the "
            "names; leave label out"
        )
    if not curves:
        raise UsageError(f"{what} is an empty dict; give at least one curve, name -> {what}")
    return {str(name): values for name, values in curves.items()}


def _step_count(steps: Any, schedules: Mapping[str | None, Any]) -> int:
    for name, f in schedules.items():
        if not callable(f) or isinstance(f, type):
            what = "schedules" if name is None else f"schedule {name!r}"
            raise UsageError(
                f"{what} must be a function of the step, got {f!r}; write a dict "
                "name -> schedule for several"
            )
        if steps is None and getattr(f, "length", None) is None:
            raise UsageError(f"{f!r} has no end; write steps=1000 to draw so many of its steps")
    if steps is None:
        return 1 + max(int(f.length) for f in schedules.values())
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise UsageError(f"steps must be an int of at least 1, got {steps!r}; write steps=1000")
    return int(steps)


def _curve(given: Any, name: str | None, log: bool, of: str, first: int = 0) -> Floats:
    what = of if name is None else f"{of} of {name!r}"
    values = numbers(given, what)
    if values.ndim != 1 or values.size == 0:
        raise ShapeError(
            f"{what} must be one number per step, shape (n,) with n at least 1, got shape "
            f"{values.shape}; write a dict name -> losses for several curves"
        )
    curve = values.astype(np.float64)
    finite = np.isfinite(curve)
    if not finite.any():
        raise NonFiniteError(
            f"{what} has no finite number, it starts with {curve[0]}; the run diverged at once: "
            "try a smaller learning rate"
        )
    if log and (curve[finite] <= 0).any():
        at = int(np.argmax(finite & (curve <= 0)))
        raise UsageError(
            f"{what} is {curve[at]} at step {first + at}, which a logarithmic axis cannot show; "
            "write log=False"
        )
    return curve
