"""Every Python operator with every kind of number on either side of a node; the builtins."""

from __future__ import annotations

import fractions
import math
import operator
from decimal import Decimal

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError

OTHERS = {
    "float": 2.5,
    "int": 3,
    "bool": True,
    "np.float64": np.float64(2.5),
    "np.float32": np.float32(2.5),
    "np.float16": np.float16(2.5),
    "np.int64": np.int64(3),
    "np.uint8": np.uint8(3),
    "np.bool": np.bool_(True),
    "0-d": np.array(2.5),
    "0-d int": np.array(3),
    "1-d": np.array([2.5, 0.75]),
    "1-d int": np.array([3, 2]),
    "2-d": np.array([[2.5, 0.75], [1.5, 4.0]]),
    "Fortran": np.asfortranarray([[2.5, 0.75], [1.5, 4.0]]),
    "reversed": np.array([2.5, 0.75])[::-1],
    "empty": np.zeros((0, 1, 2)),
    "list": [2.5, 0.75],
    "tuple": (2.5, 0.75),
}
NODES = {
    "Value": lambda: Value(1.7),
    "0-d Tensor": lambda: Tensor(1.7),
    "Tensor": lambda: Tensor([1.7, 0.7]),
    "column": lambda: Tensor([[1.7], [0.7]]),
}
ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "%": operator.mod,
}
COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge)
STEP = 1e-6


def _array(x):
    return np.asarray(x, np.float64)


every_pair = [
    pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS),
    pytest.mark.parametrize("node", NODES.values(), ids=NODES),
    pytest.mark.parametrize("left", [True, False], ids=["left", "right"]),
]


def pairs(test):
    for mark in every_pair:
        test = mark(test)
    return test


def _apply(op, x, other, left):
    return op(other, x) if left else op(x, other)


@pairs
def test_arithmetic_is_numpys_and_differentiates(other, node, left):
    scalar = not isinstance(other, (np.ndarray, list, tuple))
    for op in ARITHMETIC.values():
        x = node()
        y = _apply(op, x, other, left)
        expected = _apply(op, _array(x.data), _array(other), left)
        assert type(y) is (Value if scalar and isinstance(x, Value) else Tensor)
        assert y.shape == expected.shape
        np.testing.assert_allclose(y.data, expected, rtol=1e-15)
        y.backward(np.ones(y.shape))
        above, below = (_apply(op, _array(x.data) + h, _array(other), left) for h in (STEP, -STEP))
        slope = np.sum(above - below) / (2 * STEP)
        np.testing.assert_allclose(np.sum(x.grad), slope, rtol=1e-8, atol=1e-8)


@pairs
def test_comparisons_are_plain_and_of_numbers(other, node, left):
    for op in COMPARISONS:
        x = node()
        found = _apply(op, x, other, left)
        np.testing.assert_array_equal(found, _apply(op, _array(x.data), _array(other), left))
        assert not isinstance(found, (Value, Tensor))


@pairs
def test_whole_quotients_are_plain_and_divmod_is_both(other, node, left):
    x = node()
    quotient = _apply(operator.floordiv, x, other, left)
    assert not isinstance(quotient, (Value, Tensor))
    np.testing.assert_array_equal(
        quotient, _apply(operator.floordiv, _array(x.data), _array(other), left)
    )
    whole, rest = _apply(divmod, x, other, left)
    np.testing.assert_array_equal(whole, quotient)
    np.testing.assert_array_equal(rest.data, _apply(operator.mod, x, other, left).data)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("other", [np.ones((2, 2)), [[1.0, 2.0], [3.0, 4.0]], np.eye(2, dtype=int)])
def test_products_of_matrices(other, left):
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    y = _apply(operator.matmul, x, other, left)
    np.testing.assert_array_equal(y.data, _apply(operator.matmul, x.data, _array(other), left))
    for scalar in (2.0, np.float64(2.0), np.array(2.0), Value(2.0)):
        with pytest.raises((TypeError, ShapeError)):
            _apply(operator.matmul, x, scalar, left)


@pytest.mark.parametrize("symbol", ARITHMETIC)
@pytest.mark.parametrize("left", [True, False])
def test_numpy_scalars_do_not_widen_float32(symbol, left):
    t = Tensor(np.array([1.5, 2.0], np.float32))
    for scalar in (2, 2.0, np.float64(2), np.int64(2), np.float16(2), np.bool_(True)):
        assert _apply(ARITHMETIC[symbol], t, scalar, left).dtype == np.float32


REFUSED = {
    "complex": 2j,
    "np.complex128": np.complex128(2j),
    "complex array": np.array([2j, 1.0]),
    "str": "a",
    "None": None,
    "object array": np.array([1.0, None], object),
    "nodes in a list": [Value(1.0), 2.0],
    "Decimal": Decimal(2),
    "datetime": np.datetime64(1, "D"),
    "dict": {},
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
@pytest.mark.parametrize("other", REFUSED.values(), ids=REFUSED)
def test_what_is_not_a_real_number_is_refused(other, node):
    for symbol, op in ARITHMETIC.items():
        for left in (True, False):
            if symbol == "%" and left and isinstance(other, str):
                continue  # formats the string
            with pytest.raises(DTypeError):
                _apply(op, node(), other, left)


def test_masked_arrays_are_refused_on_the_right():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for op in ARITHMETIC.values():
        with pytest.raises(DTypeError, match="masked"):
            op(Tensor([1.0, 2.0]), masked)


def test_fractions_are_not_numbers_of_the_graph():
    with pytest.raises(DTypeError, match="Fraction"):
        Value(1.0) * fractions.Fraction(1, 2)


def test_writing_a_node_into_an_array_is_refused():
    array = np.ones(2)
    with pytest.raises(UsageError, match=r"x \+ node, not x \+= node"):
        array += Tensor([1.0, 2.0])
    np.testing.assert_array_equal(array, 1.0)
    y = x = Tensor([1.0, 2.0])
    y += 1.0
    assert y is not x
    assert y.parents == (x,)


# Equality


def test_equality_is_identity_unless_numpy_is_asked():
    """``==`` on a node is identity. On NumPy's scalars and arrays, it is NumPy's: of numbers."""
    v, t = Value(2.0), Tensor([2.0, 3.0])
    for number in (2.0, 2, np.float64(2.0), np.array(2.0)):
        assert (v == number) is False
        assert (v != number) is True
    assert operator.eq(2.0, v) is False
    assert operator.eq(2, v) is False
    assert (t == np.array([2.0, 3.0])) is False
    assert np.float64(2.0) == v
    assert np.array(2.0) == v
    np.testing.assert_array_equal(np.array([2.0, 0.0]) == t, [True, False])
    np.testing.assert_array_equal(np.array([2.0, 0.0]) != t, [False, True])
    assert (v in [2.0, Value(2.0)]) is False
    assert v in [Value(2.0), v]
    assert [1.0, v].index(v) == 1


# Builtins


@pytest.mark.parametrize(
    "node", [lambda: Value(-2.6), lambda: Tensor(-2.6), lambda: Tensor([-2.6])]
)
def test_a_single_number_turns_into_pythons(node):
    x = node()
    assert float(x) == -2.6
    assert int(x) == -2
    assert math.trunc(x) == -2
    assert math.floor(x) == -3
    assert math.ceil(x) == -2
    assert complex(x) == -2.6
    assert math.exp(x) == math.exp(-2.6)
    assert f"{x:.1f}" == f"{x.item():.1f}" == "-2.6"
    assert bool(x) is True
    assert round(x) == -3
    assert round(x, 1) == -2.6
    assert abs(x).item() == 2.6
    assert (-x).item() == 2.6
    assert +x is x


def test_what_would_cut_a_derivative_is_refused_and_what_is_flat_is_not():
    for cut in (float, int, math.exp, math.trunc, "{:.1f}".format):
        assert cut(Value(1.5)) is not None
    for cut in (float, int, math.exp, math.trunc, complex):
        with pytest.raises(GraphError, match=r"cut it out of the derivative"):
            mg.grad(lambda x, cut=cut: x * float(cut(x).real))(1.5)
    assert mg.grad(lambda x: x * round(x))(2.6) == 3.0
    assert mg.grad(lambda x: x * (x // 1))(2.6) == 2.0
    assert mg.grad(lambda x: x % 1 * 3)(2.6) == 3.0


def test_arrays_do_not_turn_into_a_number():
    t = Tensor([1.25, 2.5])
    for one in (float, int, math.sqrt, math.trunc):
        with pytest.raises(UsageError, match="needs a single number"):
            one(t)
    with pytest.raises(ShapeError, match="ambiguous"):
        bool(t)
    np.testing.assert_array_equal(round(t), [1.0, 2.0])
    np.testing.assert_array_equal(round(t, 1), [1.2, 2.5])
    assert len(t) == 2
    assert [x.item() for x in t] == [1.25, 2.5]


def test_lists_of_values_work_as_lists_of_numbers():
    a, b, c = values = [Value(2.0), Value(-1.0), Value(0.5)]
    assert max(values) is a
    assert min(values) is b
    assert min(b, 0.0) is b
    assert max(c, 3.0) == 3.0
    assert sorted(values) == [b, c, a]
    assert sorted(values, key=abs) == [c, b, a]
    total = sum(values)
    product = math.prod(values)
    assert (total.data, product.data) == (1.5, -1.0)
    assert sum(values, np.float64(1.0)).data == 2.5
    (total * product).backward()
    assert [x.grad for x in values] == [-1.0 + 1.5 * -0.5, -1.0 + 1.5 * 1.0, -1.0 + 1.5 * -2.0]
    assert any(x > 1 for x in values)
    assert sum([Tensor([1.0, 2.0])] * 2).data.tolist() == [2.0, 4.0]


def test_a_list_of_values_is_not_taken_for_an_array():
    values = [Value(1.0), Value(2.0)]
    for wrong in (np.array, np.sum, np.mean, Tensor):
        with pytest.raises((GraphError, DTypeError), match=r"mg\.stack"):
            wrong(values)
    with pytest.raises(DTypeError, match=r"mg\.stack"):
        values[0] * values
    assert np.sum(mg.stack(values)).data == 3.0


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.truediv, operator.lt])
def test_masked_arrays_on_either_side_are_refused(op):
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for node in (mg.Value(2.0), mg.Tensor([1.0, 2.0])):
        with pytest.raises(DTypeError, match="masked arrays are not supported"):
            op(node, masked)
        with pytest.raises(GraphError, match="turning it into a plain array would lose"):
            op(masked, node)


def test_comparisons_and_quotients_are_those_of_floats():
    assert mg.Value(0.1) < np.float32(0.1)  # which is a little more
    assert not mg.Value(0.1) < np.float64(0.1)
    assert type(mg.Value(7.0) // 2) is float
    assert mg.Value(7.0) // np.float32(2.0) == 3.0
    for wrong in (2j, "a"):
        with pytest.raises(DTypeError, match="greater: cannot use"):
            assert mg.Value(3.0) > wrong
    with pytest.raises(DTypeError, match="greater: cannot use complex"):
        assert 2j < mg.Value(3.0)  # noqa: SIM300  # the left operand is the point
