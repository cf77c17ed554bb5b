"""Curves: losses and schedules, activations, Taylor approximations and spectra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from microgradopt.arguments import is_integer
from microgradopt.engine.derive import vjp
from microgradopt.errors import NonFiniteError, ShapeError, UsageError
from microgradopt.plot.axes import LINES, color_of, given_or_current, middle_lines
from microgradopt.plot.reading import Floats, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["activation", "loss_curve", "schedule", "spectrum", "taylor"]

DECADES = 4  # of a density on a logarithmic axis
ROOM = 0.3  # of a function's range, above and below it for its approximations


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
    x = _between(low, high, 1001)
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


def taylor(
    f: Callable[[Any], Any],
    approximations: Any,
    *,
    ax: Axes | None = None,
    low: float | None = None,
    high: float | None = None,
    legend: bool = True,
) -> Axes:
    """Draw a function of one number with its Taylor approximations, as far as these stay near it.

    Args:
        f: called with one number at a time.
        approximations: what ``optim.taylor`` returns for a number, or a list of them, whose
            orders the legend names; or a dict from name to such a polynomial. Anything callable
            with a ``center`` and an ``order`` works.
        ax: the Axes to draw on; None takes the current one.
        low, high: from where to where; None is 4 from the center.
        legend: say in a legend which is which.

    Returns:
        The Axes drawn on.

    Raises:
        UsageError: for something else than approximations, or when ``low`` is not below ``high``,
            both finite.
        ShapeError: when ``f`` does not return single numbers.
        NonFiniteError: when ``f`` is nowhere finite from low to high.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    named = _approximations(approximations)
    center = float(next(iter(named.values())).center)
    x = _between(center - 4.0 if low is None else low, center + 4.0 if high is None else high, 401)
    y = _one_by_one(f, x)
    axes = given_or_current(ax)
    name = getattr(f, "__name__", "<lambda>")
    label = "f" if name == "<lambda>" else name
    axes.plot(x, y, color="black", linewidth=2.2, label=label)
    for i, (name, p) in enumerate(named.items()):
        style = LINES[1 + i % (len(LINES) - 1)]
        axes.plot(x, p(x), style, color=color_of(i), linewidth=1.6, label=name)
        axes.plot([p.center], [p(p.center)], "o", color="black", markersize=5)
    least, most = float(np.nanmin(y)), float(np.nanmax(y))
    room = ROOM * ((most - least) or 1.0)
    axes.set(xlim=(x[0], x[-1]), ylim=(least - room, most + room), xlabel="$x$", ylabel="$f(x)$")
    if legend:
        axes.legend(fontsize="small")
    return axes


def spectrum(
    densities: Any, *, ax: Axes | None = None, label: str | None = None, log: bool = True
) -> Axes:
    """Draw the density of a Hessian's eigenvalues, or of several over each other.

    Args:
        densities: what ``optim.spectral_density`` returns, or anything with a ``grid`` and a
            ``density`` of one length; or a dict from name to such densities, drawn together.
        ax: the Axes to draw on; None takes the current one.
        label: name of a single density in the legend.
        log: logarithmic density axis, of four decades: a few eigenvalues far out are seen beside
            many near zero.

    Returns:
        The Axes drawn on.

    Raises:
        UsageError: for something without a grid and a density, or one that is nowhere positive.
        ShapeError: when the two are not of one length.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    named = _named(densities, label, "densities")
    curves = {name: _density(given) for name, given in named.items()}
    top = max(float(height.max()) for _, height in curves.values())
    low = top / 10**DECADES if log else 0.0
    axes = given_or_current(ax)
    for i, (name, (grid, height)) in enumerate(curves.items()):
        color = color_of(2 * i)
        axes.fill_between(grid, low, np.maximum(height, low), color=color, alpha=0.25, linewidth=0)
        axes.plot(grid, height, LINES[i % len(LINES)], color=color, linewidth=1.5, label=name)
    axes.set(yscale="log" if log else "linear", xlabel="eigenvalue", ylabel="density")
    axes.set_ylim(low, 2.0 * top if log else 1.1 * top)
    if any(name is not None for name in curves):
        axes.legend()
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


def _between(low: float, high: float, count: int) -> Floats:
    if not -np.inf < low < high < np.inf:
        raise UsageError(f"low must be below high, both finite; got low={low!r}, high={high!r}")
    return np.linspace(low, high, count)


def _one_by_one(f: Callable[[Any], Any], x: Floats) -> Floats:
    y = numbers([f(float(at)) for at in x], "what f returned").astype(np.float64)
    if y.shape != x.shape:
        raise ShapeError(f"f must return one number for a number; it returned shape {y.shape[1:]}")
    if not np.isfinite(y).any():
        raise NonFiniteError(f"f is nowhere finite from {x[0]:g} to {x[-1]:g}; choose low and high")
    return np.where(np.isfinite(y), y, np.nan)


def _approximations(given: Any) -> dict[str | None, Any]:
    listed = given if isinstance(given, list | tuple) else [given]
    for p in given.values() if isinstance(given, Mapping) else listed:
        if not (callable(p) and hasattr(p, "center") and hasattr(p, "order")):
            raise UsageError(
                "approximations must be polynomials in one number, got "
                f"{type(p).__name__}; write optim.taylor(f, 0.0, order=2), or a list of them"
            )
    if not isinstance(given, Mapping):
        several = len({p.center for p in listed}) > 1
        given = {f"order {p.order}" + several * f" at {p.center:g}": p for p in listed}
    return _named(given, None, "approximations")


def _density(given: Any) -> tuple[Floats, Floats]:
    if not (hasattr(given, "grid") and hasattr(given, "density")):
        raise UsageError(
            f"densities must have a grid and a density, got {type(given).__name__}; write "
            "optim.spectral_density(f, x), or a dict name -> density for several"
        )
    grid, height = numbers(given.grid, "the grid"), numbers(given.density, "the density")
    if grid.ndim != 1 or grid.shape != height.shape:
        raise ShapeError(
            f"grid and density must be of one length, got shapes {grid.shape} and {height.shape}"
        )
    if not (height > 0.0).any():
        raise UsageError("densities: a density is nowhere positive, there is nothing to draw")
    return grid.astype(np.float64), height.astype(np.float64)


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
    if not is_integer(steps) or steps < 1:
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
