"""Rows declared by a user: what a declaration needs, and what it then does by itself."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.check import check_grads, check_rule
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import check_axis, unbroadcast
from microgradopt.engine.structure import leaves, map_structure, rebuild
from microgradopt.errors import ShapeError, UsageError


@pytest.fixture(autouse=True)
def _forget_declared_rows():
    before = dict(Primitive.table)
    yield
    Primitive.table.clear()
    Primitive.table.update(before)


def test_an_elementwise_row_needs_only_its_kernel_and_partials():
    swish = mg.elementwise(
        "swish",
        array=lambda x: x / (1 + np.exp(-x)),
        partials=(lambda out, x: mg.sigmoid(x) * (1 + x - out),),
        sample=((-3.0, 4.0),),
    )
    check_rule(swish)
    assert type(swish(0.5)) is float
    assert type(swish(mg.Value(0.5))) is mg.Value
    assert swish(np.ones((2, 2))).shape == (2, 2)
    check_grads(lambda x: swish(x) * x, np.array([0.5, -2.0]), order=2)


def test_partials_may_be_one_function_numbers_or_none():
    row = mg.elementwise("row_a", array=lambda x, y: x * y, partials=lambda out, x, y: (y, x))
    check_grads(row, 2.0, np.array([3.0, 4.0]), order=2)
    row = mg.elementwise("row_b", array=lambda x, y: 3 * x + y, partials=(3, 1.0))
    check_grads(row, 2.0, 5.0, order=2)
    row = mg.elementwise(
        "row_c", array=lambda c, x: np.sign(c) * x, partials=(None, lambda out, c, x: mg.sign(c))
    )
    for leaf in (mg.Value, mg.Tensor):
        c, x = leaf(-2.0), leaf(3.0)
        row(c, x).backward()
        assert x.grad == -1.0
        assert not c.grad
    row = mg.elementwise(
        "row_d", array=lambda x, c: np.sign(c) * x, partials=(lambda out, x, c: mg.sign(c), None)
    )
    assert mg.grad(row, (0, 1))(3.0, -2.0) == (-1.0, 0.0)
    row = mg.elementwise(
        "row_e", array=lambda *x: sum(x), partials=lambda out, *x: (1.0,) * 3, operands=3
    )
    assert mg.grad(row, (0, 1, 2))(1.0, 2.0, 3.0) == (1.0, 1.0, 1.0)
    with pytest.raises(UsageError, match="cannot tell how many operands"):
        mg.elementwise("row_f", array=np.add, partials=lambda out, *x: x)


def test_names_are_new_identifiers():
    with pytest.raises(UsageError, match="'exp' exists already"):
        mg.elementwise("exp", array=np.exp, partials=(lambda out, x: out,))
    with pytest.raises(UsageError, match="must be an identifier, got 'my row'"):
        mg.elementwise("my row", array=np.exp, partials=(lambda out, x: out,))


def test_linear_and_multilinear_rows():
    rolled = mg.linear(
        "rolled",
        array=lambda x, by: np.roll(x, by),
        transpose=lambda g, x, by: rolled(g, by=-by),
        sample=lambda rng: [((rng.normal(size=4),), {"by": 1})],
    )
    check_rule(rolled)
    bilinear = mg.multilinear(
        "form",
        array=lambda x, A, y: x @ A @ y,
        transposes=(
            lambda g, x, A, y: g * (A @ y),
            lambda g, x, A, y: g * mg.outer(x, y),
            lambda g, x, A, y: g * (x @ A),
        ),
        sample=lambda rng: [
            ((rng.normal(size=2), rng.normal(size=(2, 3)), rng.normal(size=3)), {})
        ],
    )
    check_rule(bilinear)


def test_a_linear_row_of_several_operands():
    row = mg.linear(
        "add_scaled",
        array=lambda x, y: 2 * x + 3 * y,
        transpose=lambda g, x, y: (2 * g, 3 * g),
        sample=lambda rng: [((rng.normal(size=3), rng.normal(size=3)), {})],
    )
    check_rule(row)
    x = mg.Tensor([1.0, 2.0])
    row(x, np.ones(2)).backward([1.0, 1.0])
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])
    assert mg.jvp(lambda t: row(t, np.ones(2)), (x.data,), (np.ones(2),))[1].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("saves", [False, True])
def test_a_fused_row_uses_its_composite_beyond_first_order_reverse(saves):
    calls = []

    def pullback(g, out, x, y, saved=None):
        calls.append(saved)
        return g * 2 * x * y, g * x * x

    def kernel(x, y):
        return (x * x * y, "saved") if saves else x * x * y

    row = mg.fused(
        "square_times",
        array=kernel,
        pullback=pullback,
        composite=lambda x, y: x * x * y,
        saves=saves,
        sample=lambda rng: [((rng.normal(size=3), rng.normal(size=3)), {})],
    )
    check_rule(row)
    calls.clear()
    x, y = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    np.testing.assert_array_equal(mg.grad(lambda a: mg.sum(row(a, y)))(x), 2 * x * y)
    assert calls == ["saved" if saves else None]
    check_grads(row, 2.0, 3.0, order=2)
    check_grads(row, mg.Tensor(2.0).data, 3.0, order=2)
    mg.sum(row(mg.Value(2.0), mg.Tensor(y))).backward()


def test_fused_rows_take_constants_of_any_kind():
    row = mg.fused(
        "masked_square",
        array=lambda x, m: np.where(m, x * x, 0.0),
        pullback=lambda g, out, x, m: (np.where(m, 2 * x * g, 0.0), None),
        composite=lambda x, m: mg.where(m, x * x, 0.0),
    )
    mask = np.array([True, False, True])
    check_grads(lambda x: row(x, mask), np.array([1.0, 2.0, 3.0]), order=2)


def test_a_primitive_shows_its_name():
    assert repr(mg.exp) == "<primitive exp>"
    assert mg.exp.__name__ == "exp"
    assert mg.exp.__doc__


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ((2, 3), (3,)),
        ((2, 3), (2, 1)),
        ((2, 3), ()),
        ((4, 2, 3), (1, 3)),
        ((0, 3), (1, 3)),
        ((0,), ()),
        ((2, 0), (1, 1)),
        ((3,), (3,)),
        ((), (2, 3)),
        ((1,), (3,)),
        ((3, 1), (1, 4)),
        ((1, 1), (2, 0)),
        ((5, 1, 3), (2, 1)),
    ],
)
def test_undoing_a_broadcast_is_the_transpose_of_broadcasting(have, want):
    g = np.random.default_rng(0).normal(size=have)
    full = np.broadcast_shapes(have, want)
    got = unbroadcast(g, want)
    assert np.shape(got) == want
    x = np.random.default_rng(1).normal(size=want)
    # where g has length 1 and x has not, g stands for a constant along that axis
    shared = unbroadcast(np.broadcast_to(x, full), have)
    np.testing.assert_allclose(np.sum(got * x), np.sum(shared * g), atol=1e-12)


def test_axes_are_checked_and_made_positive():
    assert check_axis(None, 3, "f") is None
    assert check_axis(-1, 3, "f") == 2
    assert check_axis((0, -1), 3, "f") == (0, 2)
    assert check_axis(np.int64(1), 3, "f") == 1
    assert check_axis((), 0, "f") == ()
    with pytest.raises(ShapeError, match="f: axis 3 is out of range for an array of 3"):
        check_axis(3, 3, "f")


def test_a_transpose_gives_one_cotangent_per_operand():
    joined = mg.linear("joined_sum", array=np.add, transpose=lambda g, x, y: g)
    x = mg.Tensor([1.0, 2.0])
    with pytest.raises(UsageError, match=r"'joined_sum' gave 1 cotangent\(s\).*one per operand"):
        mg.sum(joined(x, x)).backward()


def test_structures_are_taken_apart_and_put_together():
    tree = {"b": [1.0, (2.0, None)], "a": {"z": 3.0}, "e": [], "n": None}
    assert leaves(tree) == [1.0, 2.0, 3.0]
    assert rebuild(tree, [10.0, 20.0, 30.0]) == {
        "b": [10.0, (20.0, None)],
        "a": {"z": 30.0},
        "e": [],
        "n": None,
    }
    assert map_structure(lambda x: -x, tree)["b"][1] == (-2.0, None)
    assert leaves(None) == []
    assert leaves(5.0) == [5.0]
