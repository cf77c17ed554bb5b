"""How a work is measured: contenders side by side, round-robin, medians, ratios to ours."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

OURS = "microgradopt"

Sample: TypeAlias = Callable[[], float]
"""Measures once; seconds or bytes, whatever its work is about."""


@dataclass(frozen=True)
class Target:
    """What ours must reach beside one contender: ``met(its median, our median)``."""

    text: str
    met: Callable[[float, float], bool]


def times_faster(factor: float) -> Target:
    """Ours takes at most 1/factor of the contender's time."""
    return Target(f"≥ {factor:g}×", lambda theirs, ours: theirs / ours >= factor)


def costs_at_most(factor: float) -> Target:
    """Ours costs at most ``factor`` times what the contender costs."""
    return Target(f"ours ≤ {factor:g}×", lambda theirs, ours: ours / theirs <= factor)


def no_more_than(bound: float, unit: str) -> Target:
    """Ours, in itself, stays within a bound."""
    return Target(f"≤ {bound:g} {unit}", lambda _, ours: ours <= bound)


@dataclass(frozen=True)
class Contender:
    """One implementation of a work.

    ``prepare`` imports what it needs, builds its own state, asserts that it computes what the
    others compute, and returns the sample to take. An ImportError in it means: not installed.
    """

    name: str
    prepare: Callable[[], Sample]
    target: Target | None = None
    rounds: int | None = None  # at most so many, for a contender too slow for all of them


@dataclass(frozen=True)
class Work:
    """One thing to measure, by every contender, ``rounds`` times; ``show`` prints a median."""

    key: str
    title: str
    show: Callable[[float], str]
    contenders: Sequence[Contender]
    rounds: int


@dataclass(frozen=True)
class Row:
    """One line of the table. ``median`` is None for a contender that is not installed."""

    work: Work
    contender: Contender
    median: float | None
    ours: float | None

    def cells(self) -> tuple[str, ...]:
        """Return the printed columns, in the order of ``HEADINGS``."""
        name, target = self.contender.name, self.contender.target
        if self.median is None:
            return self.work.title, name, "not installed", "", target.text if target else "", ""
        ratio = f"{self.median / self.ours:.2f}×" if self.ours else ""
        verdict = ""
        if target and self.ours:
            verdict = "met" if target.met(self.median, self.ours) else "MISSED"
        shown = self.work.show(self.median)
        return self.work.title, name, shown, ratio, target.text if target else "", verdict


HEADINGS = ("work", "implementation", "median", "÷ ours", "target", "")


def timed(run: Callable[[], object], *, calls: int, collector: bool = True) -> Sample:
    """Sample the mean time of ``calls`` calls in a row, after one that is not counted.

    With ``collector``, Python's cyclic garbage collector is on and freeing a result counts, as for
    a user. Without, it is off, and results and garbage are freed between the calls, outside the
    timing: a graph with reference cycles is not freed at all then, so freeing none is what is fair.
    """

    def sample() -> float:
        gc.collect()
        if not collector:
            gc.disable()
        try:
            run()
            return statistics.fmean(_seconds(run, collector) for _ in range(calls))
        finally:
            gc.enable()

    return sample


def _seconds(run: Callable[[], object], collector: bool) -> float:
    if not collector:
        gc.collect()
    start = time.perf_counter()
    result = run()
    if collector:
        del result
    return time.perf_counter() - start


def measure(work: Work, rounds: int | None = None) -> Iterator[Row]:
    """Prepare every contender, sample them in turn for some rounds, and yield their rows.

    What exists by then (imported libraries, models, data) is moved out of the garbage collector's
    sight first: in the user's program the peers' modules would not be there to be scanned.
    """
    samples = {c.name: s for c in work.contenders if (s := _prepared(c)) is not None}
    taken: dict[str, list[float]] = {name: [] for name in samples}
    gc.collect()
    gc.freeze()
    try:
        for turn in range(rounds or work.rounds):
            for contender in work.contenders:
                if contender.name in samples and turn < (contender.rounds or turn + 1):
                    taken[contender.name].append(samples[contender.name]())
    finally:
        gc.unfreeze()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for contender in work.contenders:
        yield Row(work, contender, medians.get(contender.name), medians.get(OURS))


def _prepared(contender: Contender) -> Sample | None:
    try:
        return contender.prepare()
    except ImportError:
        if contender.name == OURS:
            raise
        return None


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out in columns, each work under a rule, its title once."""
    cells = [row.cells() for row in rows]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]

    def line(values: Sequence[str]) -> str:
        padded = (
            v.rjust(w) if i in (2, 3) else v.ljust(w)
            for i, (v, w) in enumerate(zip(values, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    lines, title = [line(HEADINGS)], None
    for row in cells:
        if row[0] != title:
            lines.append("-" * len(line(["-" * w for w in widths])))
        lines.append(line(("" if row[0] == title else row[0], *row[1:])))
        title = row[0]
    return "\n".join(lines)
