"""Every primitive of the library against numerical derivatives, and its own kernels and modes.

The tests come from the registry: a new row is tested at its ``sample`` without a line here.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import microgradopt as mg
from microgradopt.check import check_grads, check_rule
from microgradopt.check.rules import of_differentiable, points, samples
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import (
    Differentiable,
    Elementwise,
    Fused,
    General,
    Linear,
    Multilinear,
)
from microgradopt.errors import GradientError, UsageError


def _rows_of_the_library():
    """The rows some module of microgradopt names; tests and documentation declare others."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "microgradopt":
            for thing in list(vars(module).values()):
                if isinstance(thing, Primitive):
                    found[thing.name] = thing
    return [found[name] for name in sorted(found)]


ROWS = [row for row in _rows_of_the_library() if isinstance(row, Differentiable)]
ELEMENTWISE = [row for row in ROWS if isinstance(row, Elementwise)]
OTHERS = [row for row in ROWS if not isinstance(row, Elementwise)]
STRUCTURAL = {"as_value", "astype"}  # rows between kinds and dtypes

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
every_elementwise = pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
every_other = pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)

SHAPES = {
    1: [[()], [(0,)], [(1,)], [(3, 2)], [(2, 0, 3)]],
    2: [
        [(), ()],
        [(3,), ()],
        [(2, 1), (1, 3)],
        [(1, 3), (2, 3)],
        [(0, 3), (1, 3)],
        [(2, 1, 2), (3, 1)],
    ],
    3: [[(), (), ()], [(2, 3), (1,), (2, 1)], [(0,), (1,), ()], [(), (2, 2), (1, 2)]],
}
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda x: x[tuple(slice(None, None, -1) for _ in x.shape)] if x.ndim else x,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
}


def _shapes(row):
    return SHAPES[len(row.partials)]


def _rng(row):
    return np.random.default_rng(sum(map(ord, row.name)))


def _numbers(row, rng):
    return [float(x) for x in points(row, [()] * len(row.partials), rng)]


@every_row
def test_every_differentiable_row_declares_a_sample(row):
    assert row.sample is not None
    assert next(iter(samples(row, _rng(row))))


@every_row
def test_the_rule_is_right_in_both_modes_and_orders(row):
    check_rule(row, rng=_rng(row))


@every_elementwise
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_for_every_shape_and_layout(row, layout):
    rng = _rng(row)
    for i, shapes in enumerate(_shapes(row)):
        args = [np.asarray(x) for x in points(row, shapes, rng)]
        f, chosen = of_differentiable(row, [LAYOUTS[layout](x) for x in args], {})
        if chosen:
            order = 2 if (i + len(layout)) % 2 else 1  # each shape gets order 2 in two layouts
            check_grads(f, *chosen, order=order, rng=rng)


@every_elementwise
def test_gradients_of_scalars(row):
    rng = _rng(row)
    for _ in range(3):
        f, chosen = of_differentiable(row, _numbers(row, rng), {})
        if chosen:
            check_grads(f, *chosen, order=2, rng=rng)


NOT_ANALYTIC = {
    "absolute",
    "hypot",
    "sigmoid",
    "logistic_density",
    "sign",
    "arctan2",
    "logaddexp",
    "cbrt",
    "softplus",
    "arctanh",
    "slogdet",
    "cholesky",
    "eigh",
    "svd",
    "qr",
    "pinv",
    "copysign",
    "deg2rad",
    "fmod",
    "ldexp",
    "logaddexp2",
    "rad2deg",
    "remainder",
    "direction_cosine",
    "logaddexp2_slope",
    "logaddexp_slope",
    "power_slope",
    "erf",
    "erfc",
    "bell_curve",
    "gelu",
    "mish",
    "ndtr",
    "normal_density",
    "silu",
    "softsign",
    "tanhshrink",
}


@every_row
def test_gradients_to_the_last_digits_by_the_complex_step(row):
    rng = _rng(row)
    done = 0
    for args, params in samples(row, rng):
        f, chosen = of_differentiable(row, args, params)
        try:
            check_grads(f, *chosen, method="complex", rtol=2e-13, atol=2e-13, rng=rng)
            done += 1
        except UsageError:
            continue
    expected = row.name in NOT_ANALYTIC or row.name in STRUCTURAL
    assert done or expected, f"{row.name}: the array kernel no longer takes complex numbers"


@every_elementwise
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_broadcasting_is_undone_and_the_modes_agree(row, data):
    found = data.draw(
        mutually_broadcastable_shapes(
            num_shapes=len(row.partials), max_dims=3, min_side=0, max_side=3
        )
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    args = points(row, found.input_shapes, rng)
    f, chosen = of_differentiable(row, [np.asarray(x) for x in args], {})
    y, pull = mg.vjp(f, *chosen)
    assert np.shape(y) == found.result_shape
    u = rng.normal(size=np.shape(y))
    v = [rng.normal(size=x.shape) for x in chosen]
    pulled = pull(u)
    assert [g.shape for g in pulled] == [x.shape for x in chosen]
    if not chosen:
        return
    moved = mg.jvp(f, chosen, v)[1]
    assert np.shape(moved) == found.result_shape
    back = sum(float(np.sum(g * t)) for g, t in zip(pulled, v))
    np.testing.assert_allclose(np.sum(u * moved), back, rtol=1e-11, atol=1e-11)
    twice = mg.vjp(lambda *xs: mg.vjp(f, *xs)[1](u), *chosen)[1](tuple(v))
    assert [g.shape for g in twice] == [x.shape for x in chosen]


def _derivatives(f, args, rng):
    """Result, cotangents, tangent, and the cotangents and tangents of the cotangents."""
    y, pull = mg.vjp(f, *args)
    u = _like(y, rng)
    v = [_like(x, rng) for x in args]

    def pulled(*xs):
        return mg.vjp(f, *xs)[1](u)

    moved = mg.jvp(f, args, v)[1]
    return [y, *pull(u), moved, *mg.vjp(pulled, *args)[1](tuple(v)), *mg.jvp(pulled, args, v)[1]]


def _like(x, rng):
    drawn = rng.normal(size=np.shape(x))
    return drawn.astype(x.dtype) if isinstance(x, np.ndarray) else float(drawn)


@every_row
def test_float32_stays_float32_and_is_as_precise_as_it_can(row):
    if row.name in STRUCTURAL:
        pytest.skip("changes the dtype or the kind, which is its purpose")
    rng = _rng(row)
    given = [points(row, shapes, rng) for shapes in _shapes(row)] if row in ELEMENTWISE else []
    cases = [(args, {}) for args in given] or list(samples(row, rng))
    for args, params in cases:
        narrow = [np.asarray(x, np.float32) if np.asarray(x).dtype.kind == "f" else x for x in args]
        f, chosen = of_differentiable(row, narrow, params)
        found = _derivatives(f, chosen, np.random.default_rng(1))
        assert {np.asarray(x).dtype for x in found} == {np.dtype(np.float32)}
        wide, far = of_differentiable(
            row,
            [x.astype(float) if getattr(x, "dtype", None) == np.float32 else x for x in narrow],
            params,
        )
        for a, b in zip(found, _derivatives(wide, far, np.random.default_rng(1))):
            np.testing.assert_allclose(a, b, rtol=3e-4, atol=1e-5 * np.max(np.abs(b), initial=1.0))


@every_elementwise
def test_scalar_kernel_equals_array_kernel(row):
    rng = _rng(row)
    special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -8.0,
        1 / 3,
        np.inf,
        -np.inf,
        np.nan,
        1e-320,
        1e308,
        -1e308,
        40.0,
        -40.0,
        1000.0,
        -1000.0,
    ]
    grid = [np.array(special) for _ in row.partials]
    tables = np.meshgrid(*grid, indexing="ij")
    inside = [np.array([_numbers(row, rng) for _ in range(30)])]
    tests = np.concatenate([np.stack([t.ravel() for t in tables], 1), *inside])
    with np.errstate(all="ignore"):
        expected = row.array(*tests.T)
    got = [row(*map(float, args)) for args in tests]
    assert {type(y) for y in got} == {float}
    np.testing.assert_allclose(got, expected, rtol=4e-15, atol=0.0)


@every_elementwise
def test_value_and_tensor_have_the_same_derivatives(row):
    rng = _rng(row)
    for _ in range(3):
        numbers = _numbers(row, rng)
        f, chosen = of_differentiable(row, numbers, {})
        g, arrays = of_differentiable(row, [np.array([x]) for x in numbers], {})
        if not chosen:
            continue
        for a, b in zip(
            _derivatives(f, chosen, np.random.default_rng(1)),
            _derivatives(g, arrays, np.random.default_rng(1)),
        ):
            assert type(a) is float
            np.testing.assert_allclose([a], b, rtol=1e-12, atol=1e-14)


@every_other
def test_the_modes_agree_without_any_step(row):
    rng = _rng(row)
    for args, params in samples(row, rng):
        f, chosen = of_differentiable(row, args, params)
        y, pull = mg.vjp(f, *chosen)
        u, v = _like(y, rng), [_like(x, rng) for x in chosen]
        moved = mg.jvp(f, chosen, v)[1]
        back = sum(np.sum(g * t) for g, t in zip(pull(u), v))
        np.testing.assert_allclose(np.sum(u * moved), back, rtol=1e-12)


@pytest.mark.parametrize("row", [r for r in ROWS if isinstance(r, Fused)], ids=lambda r: r.name)
def test_a_fused_kernel_has_the_value_of_its_composite(row):
    for args, params in samples(row, _rng(row)):
        np.testing.assert_allclose(row(*args, **params), row.composite(*args, **params), rtol=1e-13)


@pytest.mark.parametrize("row", [r for r in ROWS if r.adds], ids=lambda r: r.name)
def test_adding_in_place_is_adding_the_transpose(row):
    rng = _rng(row)
    for (x,), params in samples(row, rng):
        g = rng.normal(size=np.shape(row(x, **params)))
        total = rng.normal(size=x.shape)
        expected = total + row.transpose(g, x, **params)
        row.adds(total, g, **params)
        np.testing.assert_allclose(total, expected, rtol=1e-14)


# Wrong rules must be caught


CHANGES = {"× 1.001": 1.001, "× -1": -1.0, "× 0": 0.0, "dropped": None}


def _times(factor, x):
    return None if factor is None else factor * x


def _scaled(rule, factor):
    if isinstance(rule, float):
        return _times(factor, rule) if rule or factor is None else factor - 1.0
    return lambda *args, **params: _times(factor, rule(*args, **params))


def _scaled_part(rule, i, factor):
    """A rule that returns one cotangent or a tuple of them, with the i-th scaled."""

    def wrong(*args, **params):
        parts = rule(*args, **params)
        if not isinstance(parts, tuple):
            return _times(factor, parts)
        return tuple(_times(factor, p) if k == i else p for k, p in enumerate(parts))

    return wrong


def _mutants(row):
    """(what, the attribute to patch, its wrong value) for each part of a row's rule."""
    for change, factor in CHANGES.items():
        if isinstance(row, Elementwise):
            for i, rule in enumerate(row.partials):
                if rule is not None and not (rule == 0.0 and factor is None):
                    other = None if factor is None else _scaled(rule, factor)
                    wrong = (*row.partials[:i], other, *row.partials[i + 1 :])
                    yield f"partial {i} {change}", "partials", wrong
        elif isinstance(row, Linear):
            for i in range(_operands(row)):
                yield (
                    f"transpose {i} {change}",
                    "transpose",
                    _scaled_part(row.transpose, i, factor),
                )
        elif isinstance(row, Multilinear):
            for i in range(_operands(row)):
                rules = [row._transpose(k) for k in range(_operands(row))]
                rules[i] = _scaled(rules[i], factor)
                yield f"transpose {i} {change}", "transposes", rules
        elif isinstance(row, General):
            for i in range(_operands(row)):
                wrong = _scaled_part(row.pullback, i, factor)
                yield f"pullback {i} {change}", "pullback", wrong
        elif isinstance(row, Fused):
            for i in range(_operands(row)):
                if callable(row.pullback):
                    wrong = _scaled_part(row.pullback, i, factor)
                else:
                    wrong = tuple(
                        _scaled(p, factor) if k == i else p for k, p in enumerate(row.pullback)
                    )
                yield f"pullback {i} {change}", "pullback", wrong
            if factor is not None:
                yield f"composite {change}", "composite", _scaled(row.composite, factor)


def _operands(row):
    return len(next(iter(samples(row, np.random.default_rng(0))))[0])


MUTANTS = [
    pytest.param(row, attribute, wrong, id=f"{row.name}: {what}")
    for row in ROWS
    for what, attribute, wrong in _mutants(row)
]


@pytest.mark.parametrize(("row", "attribute", "wrong"), MUTANTS)
def test_a_wrong_rule_is_caught(row, attribute, wrong, monkeypatch):
    if attribute == "transposes":
        few, right = wrong, row.transposes

        def wrong(i, *args, **params):
            return (few[i] if i < len(few) else partial(right, i))(*args, **params)

    monkeypatch.setattr(row, attribute, wrong)
    if attribute == "partials":
        first, second = (0.0 if p is None else p for p in (*wrong, None)[:2])
        monkeypatch.setattr(row, "first", first)
        monkeypatch.setattr(row, "second", second)
    with pytest.raises(GradientError, match=row.name):
        check_rule(row)
