"""Derivatives of every elementwise row against mpmath: exact to a few units of the last place.

Over the whole domain of floats: subnormals, ends of domains, where exponentials overflow, and
numbers drawn from the whole range of exponents.
"""

from __future__ import annotations

import sys
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from true_derivatives import TRUTHS

import microgradopt as mg
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import Elementwise

CHOOSES = {"where"}  # its partials are truth values: nothing to round
MAX, TINY = np.finfo(float).max, np.finfo(float).tiny
SUBNORMAL = 5e-324

# fmt: off
MAGNITUDES = [
    5e-324, 1e-323, 1e-310, TINY, 1e-300, 1e-160, 1e-100, 1e-20, 1e-9, 1e-8, 1e-4, 0.01,
    0.25, 0.5, 1 - 1e-9, 1 - 2**-53, 1.0, 1 + 2**-52, 1 + 1e-9, 1.5, 2.0, np.pi / 2, np.pi, 10.0,
    20.0, 40.0, 300.0, 700.0, 709.5, 710.0, 744.0, 1000.0, 1e6, 1e9, 1e20, 1e100, 1e160, 1e300, MAX,
]
PAIRED = [
    5e-324, 1e-310, 1e-300, 1e-160, 1e-20, 1e-9, 0.3, 1 - 2**-53, 1.0, 1 + 2**-52, 2.0, 40.0,
    710.0, 1000.0, 1e20, 1e160, 1e300,
]
# fmt: on


def _both_signs(magnitudes, rng, whole, moderate):
    drawn = [10.0 ** rng.uniform(-323, 308, whole), 10.0 ** rng.uniform(-4, 3, moderate)]
    x = np.concatenate([magnitudes, *drawn])
    return np.concatenate([x, -x, [0.0]])


@cache
def _points(name):
    """The points of a row's domain, one array per operand."""
    truth = TRUTHS[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    if len(truth.first) == 1:
        points = [_both_signs(MAGNITUDES, rng, 40, 40)]
    else:
        grid = np.meshgrid(_both_signs(PAIRED, rng, 2, 2), _both_signs(PAIRED, rng, 2, 2))
        points = [x.ravel() for x in grid]
    kept = [bool(truth.domain(*map(mp.mpf, xs))) for xs in zip(*points)]
    return [x[kept] for x in points]


@cache
def _true(f, name):
    """True values at a row's points as pairs of floats that add up to them, head and tail."""
    pairs = [_pair(f(*map(mp.mpf, xs))) for xs in zip(*_points(name))]
    return np.array(pairs).T


def _pair(t):
    head = float(t)
    return head, (float(t - mp.mpf(head)) if np.isfinite(head) else 0.0)


def _errors(got, head, tail):
    """How far off, absolutely; what overflows must be infinite, or as good as."""
    near_the_end = (np.abs(head) > MAX * (1 - 1e-15)) & (np.abs(got) > MAX * (1 - 1e-15))
    with np.errstate(all="ignore"):
        error = np.abs((got - head) - tail)
    error = np.where(near_the_end & (np.sign(got) == np.sign(head)), 0.0, error)
    return np.where(np.isnan(error), np.inf, error)


def _size(name, head, order):
    """The size of the true value, or of the terms that cancel in it."""
    terms = TRUTHS[name].terms[order]
    size = np.abs(head) if terms is None else np.maximum(np.abs(head), _true(terms, name)[0])
    return np.minimum(size, MAX)


def _allowed(name, head, order):
    truth = TRUTHS[name]
    with np.errstate(all="ignore"):
        allowed = truth.ulps * np.spacing(_size(name, head, order))
    if truth.flushed:
        allowed = allowed + TINY
    if truth.by_way_of is None:
        return allowed
    way, _ = _true(truth.by_way_of, name)
    with np.errstate(all="ignore"):
        lost = SUBNORMAL * np.abs(head / way)
    return allowed + np.where((np.abs(way) < TINY) & (lost > 0.0), lost, 0.0)


def _show(name, points, got, head, wrong):
    lines = [
        f"  {name}{tuple(float(x[i]) for x in points)}: {got[i]!r}, truly {head[i]!r}"
        for i in np.flatnonzero(wrong)[:8]
    ]
    return "\n".join([f"{np.sum(wrong)} of {len(head)} points", *lines])


def _row(name):
    return Primitive.table[name]


def _at_floats(f, points):
    return np.array([f(*map(float, xs)) for xs in zip(*points)])


def _by_floats(name, i, points):
    return _at_floats(mg.grad(_row(name), i), points)


def _by_arrays(name, i, points):
    return mg.grad(lambda *xs: mg.sum(_row(name)(*xs)), i)(*points)


every_row = pytest.mark.parametrize("name", TRUTHS)


def test_every_elementwise_row_has_its_truth():
    library = {
        thing.name
        for module in list(sys.modules.values())
        if module.__name__.split(".")[0] == "microgradopt"
        for thing in list(vars(module).values())
        if isinstance(thing, Elementwise)
    }
    assert library - CHOOSES == set(TRUTHS), "each row needs its derivatives in true_derivatives.py"


def test_a_bound_above_4_ulps_has_a_reason():
    for name, truth in TRUTHS.items():
        assert (truth.ulps > 4.0) == bool(truth.why), name


@every_row
@pytest.mark.parametrize("way", [_by_floats, _by_arrays])
def test_first_derivatives_to_a_few_ulps(name, way):
    truth, points = TRUTHS[name], _points(name)
    for i, f in enumerate(truth.first):
        head, tail = _true(f, name)
        got = way(name, i, points)
        wrong = _errors(got, head, tail) > _allowed(name, head, 1)
        assert not wrong.any(), _show(f"∂{i} {name}", points, got, head, wrong)


@every_row
def test_values_to_a_few_ulps(name):
    row, points = _row(name), _points(name)
    head, tail = _true(TRUTHS[name].value, name)
    for got in (row(*points), _at_floats(row, points)):
        wrong = _errors(got, head, tail) > _allowed(name, head, 0)
        assert not wrong.any(), _show(name, points, got, head, wrong)


@every_row
def test_second_derivatives_to_14_digits(name):
    truth, points = TRUTHS[name], _points(name)
    pairs = [(0, 0), (0, 1), (1, 1)] if len(points) == 2 else [(0, 0)]
    for (i, j), f in zip(pairs, truth.second):
        head, tail = _true(f, name)
        got = mg.grad(lambda *xs, i=i: mg.sum(_by_arrays(name, i, xs)), j)(*points)
        wrong = _errors(got, head, tail) > 1e-14 * np.maximum(_size(name, head, 2), TINY)
        if len(points) == 2:  # their rules go by way of 1/x² and the like, which must not overflow
            sizes = np.abs(points)
            wrong &= np.all((sizes > 1e-75) & (sizes < 1e75), axis=0)
        assert not wrong.any(), _show(f"∂{i}{j} {name}", points, got, head, wrong)
