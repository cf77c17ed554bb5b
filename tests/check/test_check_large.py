"""Many entries: random directions, and the search for a wrong one."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.check import check_grads
from microgradopt.check.gradients import examine
from microgradopt.check.projections import part, place_of, worst_position
from microgradopt.errors import GradientError

RNG = np.random.default_rng(0)
BIG = RNG.normal(size=(40, 50))


def message(f, *args, **options):
    with pytest.raises(GradientError) as caught:
        check_grads(f, *args, **options)
    return str(caught.value)


@pytest.mark.parametrize("method", ["central", "complex", "taylor"])
def test_large_inputs_pass(method):
    check_grads(lambda x, b: mg.sum(mg.sin(x) * b, axis=0), BIG, 2.0, method=method)


def test_every_order_and_mode():
    for modes in (("reverse",), ("forward",), ("reverse", "forward")):
        check_grads(lambda x: mg.logsumexp(x, axis=1), BIG, order=2, modes=modes)


@pytest.mark.parametrize("index", [(0, 0), (17, 23), (39, 49)])
@pytest.mark.parametrize("options", [{}, {"method": "taylor"}, {"method": "complex"}])
def test_one_wrong_entry_among_thousands_is_found(index, options):
    weights = RNG.normal(size=BIG.shape)

    one = np.zeros(BIG.shape)
    one[index] = 1.0

    def f(scale, x):
        kept = x * (1.0 - one)
        return mg.sum(weights * (kept * kept)) * scale + mg.sum(3.0 * one * mg.stop_gradient(x))

    found = message(f, 1.5, BIG, **options)
    assert "argument 1: 1 of 5 entries looked at, of 2000 in all, disagree" in found
    assert str(index) in found


def test_a_small_error_in_one_typical_entry_is_seen_among_ten_thousand():
    weights = np.where(RNG.normal(size=10_000) > 0, 1.0, -1.0)
    wrong = 1e-3 * (np.arange(10_000) == 4321)

    def f(x):
        return mg.sum(weights * mg.sin(x)) + mg.sum(wrong * mg.stop_gradient(x))

    assert "(4321,)" in message(f, RNG.normal(size=10_000) * 0.1)


def test_a_wrong_forward_mode_is_searched_too():
    row = mg.fused(
        "two_minds_large",
        array=np.sin,
        pullback=lambda g, out, x: g * mg.cos(x),
        composite=lambda x: mg.sin(x) + 0.1 * x * (np.arange(x.shape[-1]) == 7),
    )
    try:
        for modes in (("forward",), ("reverse", "forward")):
            found = message(row, BIG, modes=modes)
            assert "forward mode" in found
            assert ", 7)" in found
    finally:
        del mg.engine.graph.Primitive.table["two_minds_large"]


def test_many_leaves_are_looked_at_in_part():
    report = examine(lambda xs: sum(mg.exp(x) for x in xs), ([0.01 * i for i in range(300)],))
    assert len({f.place for f in report.findings if "along" not in f.place}) == 12


def test_empty_leaves_among_large_ones():
    check_grads(lambda x, none: mg.sum(mg.sin(x)) + mg.sum(none), BIG, np.zeros((0, 3)))


def test_a_difference_no_single_entry_has():
    def corner(x):  # along each axis 0, along other lines through 0 straight: no derivative
        a, b = x[0::2], x[1::2]
        n = a * a + b * b
        return mg.sum(a * b * b / mg.where(mg.equal(n, 0.0), 1.0, n))

    found = message(corner, np.zeros(300))
    assert "along a random direction: they disagree" in found


def test_ten_thousand_parameters_take_little_time():
    model = mg.nn.MLP(64, [100, 32, 10], rng=0)
    images, digits = RNG.normal(size=(16, 64)), RNG.integers(0, 10, 16)
    calls = []

    def loss(model):
        calls.append(0)
        return mg.nn.cross_entropy(model(images), digits)

    check_grads(loss, model)
    assert len(calls) < 1500  # a fifth of a millisecond each


def test_parts_and_places():
    xs = [1.0, np.zeros((2, 3)), np.zeros(0), np.zeros((2,))]
    direction = [5.0, np.arange(1.0, 7.0).reshape(2, 3), np.zeros(0), np.array([8.0, 9.0])]
    assert part(direction, 0, 1) == [5.0, None, None, None]
    middle = part(direction, 3, 8)
    assert middle[0] is None
    assert middle[2] is None
    np.testing.assert_array_equal(middle[1], [[0, 0, 3], [4, 5, 6]])
    np.testing.assert_array_equal(middle[3], [8, 0])
    assert [place_of(xs, i) for i in (0, 1, 6, 8)] == [(0, ()), (1, (0, 0)), (1, (1, 2)), (3, (1,))]
    for wanted in range(9):
        assert worst_position(partial(_has, wanted), direction) == wanted


def _has(position, direction):
    flat = []
    for d, n in zip(direction, (1, 6, 0, 2)):
        flat += [0.0] * n if d is None else list(np.ravel(d))
    return abs(flat[position])
