"""The interval in which a line search looks for its step, and where in it to look next."""

from __future__ import annotations

import math
from typing import NamedTuple

GROWS, GROWS_LEAST = 4.0, 1.1  # by how much of the last stretch a trial may go on, and must
SLOW = 0.66  # what two trials may leave of the interval, else it is halved


class Trial(NamedTuple):
    """A multiple t of the direction, with f and its slope there."""

    t: float
    f: float
    slope: float

    def tilted(self, rise: float) -> Trial:
        """The same of f − rise·t."""
        return Trial(self.t, self.f - rise * self.t, self.slope - rise)


class Bracket:
    """The best trial ``low``, and once there is one, a ``high`` on the other side of a minimum.

    Moré and Thuente 1994, "Line search algorithms with guaranteed sufficient decrease", section 4.
    """

    def __init__(self, start: Trial) -> None:
        self.low = start
        self.high: Trial | None = None
        self._widths = math.inf, math.inf

    def next(self, trial: Trial, longest: float, tilt: float) -> float | None:
        """Take a trial in, and say where the next one is; None if the interval has closed.

        With a ``tilt`` the minimum that is looked for is that of f − tilt·t.
        """
        low, high, new = self.low, self.high, trial.tilted(tilt)
        least, most = self._room(trial.t, longest)
        t = proposal(low.tilted(tilt), high and high.tilted(tilt), new, least, most)
        self._shrink(trial, tilt)
        if self.high is not None:
            return self._inside(t)
        t = min(max(t, least), most)
        return None if t == trial.t else t

    def _room(self, t: float, longest: float) -> tuple[float, float]:
        """Between which trials the next one may be."""
        if self.high is not None:
            return min(self.low.t, self.high.t), max(self.low.t, self.high.t)
        stretch = t - self.low.t
        least = t + GROWS_LEAST * stretch if self.low.t else t  # at first anything will do
        return min(least, longest), min(t + GROWS * stretch, longest)

    def _shrink(self, trial: Trial, tilt: float) -> None:
        """Let the trial be one of the ends."""
        low, new = self.low.tilted(tilt), trial.tilted(tilt)
        if new.f > low.f:
            self.high = trial
            return
        if new.slope * (low.t - new.t) < 0.0:  # the minimum is between the two
            self.high = self.low
        self.low = trial

    def _inside(self, t: float) -> float | None:
        """A trial inside the interval: its middle, where it shrinks too slowly."""
        assert self.high is not None
        a, b = self.low.t, self.high.t
        before, last = self._widths
        self._widths = last, abs(b - a)
        if abs(b - a) >= SLOW * before:
            t = a + 0.5 * (b - a)
        if not min(a, b) < t < max(a, b):
            t = a + 0.5 * (b - a)
        return t if min(a, b) < t < max(a, b) else None


def proposal(low: Trial, high: Trial | None, new: Trial, least: float, most: float) -> float:
    """The next trial by interpolation; the four cases of the paper."""
    cubic = cubic_minimum(low, new)
    if new.f > low.f:  # a minimum is between the two
        parabola = low.t + 0.5 * low.slope * (new.t - low.t) / _drop(low, new)
        near = abs(cubic - low.t) < abs(parabola - low.t)
        return cubic if near else 0.5 * (cubic + parabola)
    secant = new.t + new.slope / _nonzero(new.slope - low.slope) * (low.t - new.t)
    if new.slope * low.slope < 0.0:  # and also here
        return cubic if abs(cubic - new.t) > abs(secant - new.t) else secant
    onward = most if new.t > low.t else least
    if abs(new.slope) <= abs(low.slope):  # it grows flatter
        if not (cubic - new.t) * (new.t - low.t) > 0.0:
            cubic = onward
        if high is None:
            return cubic if abs(cubic - new.t) > abs(secant - new.t) else secant
        t = cubic if abs(cubic - new.t) < abs(secant - new.t) else secant
        edge = new.t + SLOW * (high.t - new.t)
        return min(t, edge) if new.t > low.t else max(t, edge)
    return onward if high is None else cubic_minimum(high, new)


def cubic_minimum(a: Trial, b: Trial) -> float:
    """Where the cubic with the values and slopes of two trials has its minimum.

    Where it has none, b's place.
    """
    width = b.t - a.t
    d1 = a.slope + b.slope - 3.0 * (b.f - a.f) / width
    scale = max(abs(d1), abs(a.slope), abs(b.slope))
    inside = (d1 / scale) ** 2 - (a.slope / scale) * (b.slope / scale) if scale else 0.0
    if not inside > 0.0:
        return b.t
    d2 = math.copysign(scale * math.sqrt(inside), width)
    bottom = b.slope - a.slope + 2.0 * d2
    t = b.t - width * (b.slope + d2 - d1) / _nonzero(bottom)
    return t if math.isfinite(t) else b.t


def _drop(low: Trial, new: Trial) -> float:
    """By how much a straight line from low would be below new, per unit of t."""
    return low.slope - (new.f - low.f) / (new.t - low.t)


def _nonzero(x: float) -> float:
    return x if x else 5e-324
