"""What the functions on shapes, products and reductions refuse, and what they say then."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.errors import DTypeError, ShapeError, UsageError

T = mg.Tensor(np.ones((2, 3)))
V = mg.Value(2.0)
EMPTY = mg.Tensor(np.zeros((0, 3)))

REFUSED = {
    "sum axis": (
        lambda: mg.sum(T, axis=2),
        ShapeError,
        r"sum: axis 2 is out of range for an array of 2.*-2 to 1",
    ),
    "mean axis": (lambda: mg.mean(T, axis=-3), ShapeError, "mean: axis -3 is out of range"),
    "axis twice": (
        lambda: mg.sum(T, axis=(0, -2)),
        ShapeError,
        r"an axis is repeated in \(0, -2\)",
    ),
    "axis 1.0": (
        lambda: mg.max(T, axis=1.0),
        ShapeError,
        "axis must be an int or a tuple of ints, got 1.0",
    ),
    "axis True": (lambda: mg.max(T, axis=True), ShapeError, "got True"),
    "axis of a number": (lambda: mg.sum(V, axis=0), ShapeError, "0-dimensional, leave axis out"),
    "softmax of a number": (lambda: mg.softmax(V), ShapeError, "0-dimensional"),
    "sort of a number": (lambda: mg.sort(V), ShapeError, "0-dimensional"),
    "mean of nothing": (
        lambda: mg.mean(EMPTY, axis=0),
        ShapeError,
        r"mean of no entries.*\(0, 3\)",
    ),
    "var of nothing": (lambda: mg.var(EMPTY), ShapeError, "var of no entries"),
    "max of nothing": (lambda: mg.max(EMPTY), ShapeError, "max of no entries"),
    "min of nothing": (lambda: mg.min(EMPTY, axis=0), ShapeError, "min of no entries"),
    "logsumexp of nothing": (lambda: mg.logsumexp(EMPTY), ShapeError, "logsumexp of no entries"),
    "softmax of nothing": (lambda: mg.softmax(EMPTY, axis=0), ShapeError, "softmax of no entries"),
    "ddof": (
        lambda: mg.var(T, axis=0, ddof=2),
        UsageError,
        "ddof=2 leaves nothing of 2 entries; it must be below 2",
    ),
    "norm ord": (lambda: mg.norm(T, "abc"), UsageError, "unknown ord 'abc'"),
    "norm nan": (lambda: mg.norm(T, np.nan), UsageError, "unknown ord nan"),
    "reshape": (
        lambda: mg.reshape(T, (4, 2)),
        ShapeError,
        r"6 entries of shape \(2, 3\) do not fill the shape \(4, 2\)",
    ),
    "reshape -1": (lambda: mg.reshape(T, (4, -1)), ShapeError, r"do not fill the shape \(4, -1\)"),
    "reshape -1 -1": (lambda: mg.reshape(T, (-1, -1)), ShapeError, "do not fill"),
    "reshape -2": (lambda: mg.reshape(T, (-2, -3)), ShapeError, "do not fill"),
    "broadcast_to": (
        lambda: mg.broadcast_to(T, (3, 2)),
        ShapeError,
        r"\(2, 3\) does not broadcast to \(3, 2\)",
    ),
    "broadcast smaller": (lambda: mg.broadcast_to(T, (3,)), ShapeError, "does not broadcast"),
    "transpose": (
        lambda: mg.transpose(T, (0,)),
        ShapeError,
        "must name each of the 2 dimensions once",
    ),
    "transpose twice": (lambda: mg.transpose(T, (0, 0)), ShapeError, "repeated"),
    "moveaxis": (lambda: mg.moveaxis(T, (0, 1), 0), ShapeError, "different numbers of axes"),
    "swapaxes": (lambda: mg.swapaxes(T, 0, 5), ShapeError, "swapaxes: axis 5"),
    "expand_dims": (lambda: mg.expand_dims(T, 4), ShapeError, "expand_dims: axis 4"),
    "squeeze": (
        lambda: mg.squeeze(T, 0),
        ShapeError,
        r"axis 0 of shape \(2, 3\) is not of length 1",
    ),
    "flip": (lambda: mg.flip(T, 3), ShapeError, "flip: axis 3"),
    "cumsum": (lambda: mg.cumsum(T, 3), ShapeError, "cumsum: axis 3"),
    "concatenate nothing": (
        lambda: mg.concatenate([]),
        ShapeError,
        "needs at least one array, got none",
    ),
    "concatenate numbers": (
        lambda: mg.concatenate([V, V]),
        ShapeError,
        r"0-dimensional.*mg\.stack",
    ),
    "concatenate": (
        lambda: mg.concatenate([T, mg.Tensor(np.ones((2, 2)))]),
        ShapeError,
        r"shapes \[\(2, 3\), \(2, 2\)\] differ elsewhere than along axis 0",
    ),
    "concatenate dims": (lambda: mg.concatenate([T, np.ones(3)]), ShapeError, "must agree"),
    "stack": (
        lambda: mg.stack([T, V]),
        ShapeError,
        r"all shapes must be equal, got \[\(\), \(2, 3\)\]",
    ),
    "stack nothing": (lambda: mg.stack([]), ShapeError, "got none"),
    "stack axis": (lambda: mg.stack([T, T], axis=3), ShapeError, "stack: axis 3"),
    "split": (
        lambda: mg.split(T, 2, axis=1),
        ShapeError,
        "an axis of length 3 has no 2 equal sections",
    ),
    "split 0": (lambda: mg.split(T, 0), ShapeError, "no 0 equal sections"),
    "pad mode": (
        lambda: mg.pad(T, 1, mode="linear"),
        UsageError,
        "unknown mode 'linear'; choose from constant",
    ),
    "pad width": (
        lambda: mg.pad(T, ((1, 2, 3),)),
        ShapeError,
        r"does not give \(before, after\) for 2 axes",
    ),
    "pad negative": (lambda: mg.pad(T, -1), ShapeError, "must not be negative"),
    "astype": (lambda: mg.astype(T, int), DTypeError, "int64 is not one of them"),
    "matmul": (
        lambda: mg.matmul(T, T),
        ShapeError,
        r"\(2, 3\) and \(2, 3\) do not fit.*\(3\).*\(2\); is an operand transposed",
    ),
    "matmul number": (lambda: T @ V, ShapeError, r"0-dimensional operand; use \* to scale"),
    "matmul batch": (
        lambda: mg.matmul(np.ones((2, 2, 3)), mg.Tensor(np.ones((5, 3, 2)))),
        ShapeError,
        "batch dimensions",
    ),
    "dot": (lambda: mg.dot(T, np.ones(2)), ShapeError, "do not fit"),
    "tensordot": (
        lambda: mg.tensordot(T, T, 1),
        ShapeError,
        r"axes \(1,\) of shape \(2, 3\) and \(0,\) of \(2, 3\) differ",
    ),
    "tensordot many": (lambda: mg.tensordot(T, T, 3), ShapeError, "axes=3 cannot be paired"),
    "diagonal": (
        lambda: mg.diagonal(mg.Tensor([1.0])),
        ShapeError,
        r"at least 2 dimensions, got shape \(1,\)",
    ),
    "trace axes": (lambda: mg.trace(T, axis1=1, axis2=1), ShapeError, "repeated"),
    "einsum count": (
        lambda: mg.einsum("ij,jk", T),
        UsageError,
        r"names 2 operand\(s\), 1 were given",
    ),
    "einsum string": (
        lambda: mg.einsum(T, "ij"),
        UsageError,
        "first argument is the subscripts string",
    ),
    "einsum labels": (
        lambda: mg.einsum("ijk->i", T),
        ShapeError,
        r"'ijk' does not label the axes of an operand \(2, 3\)",
    ),
    "einsum few labels": (lambda: mg.einsum("i->i", T), ShapeError, "does not label"),
    "einsum result": (lambda: mg.einsum("ij->k", T), UsageError, "'k'.* must .* an operand"),
    "einsum result twice": (lambda: mg.einsum("ij->ii", T), UsageError, "once"),
    "einsum sizes": (
        lambda: mg.einsum("ij,ij->", T, np.ones((3, 2))),
        ShapeError,
        r"einsum 'ij,ij->' on shapes",
    ),
    "einsum diagonal": (lambda: mg.einsum("ii->i", T), ShapeError, "'i' names axes of .* length"),
    "nodes in a list": (lambda: mg.add(T, [V, V]), DTypeError, r"mg\.stack"),
    "string": (lambda: mg.add(T, "a"), DTypeError, "cannot use str 'a' as an operand"),
    "complex": (lambda: mg.multiply(T, 1j), DTypeError, "cannot use complex 1j"),
    "complex array": (
        lambda: mg.multiply(T, np.array([1j])),
        DTypeError,
        "dtype complex128 cannot be used",
    ),
    "string array": (lambda: mg.add(T, np.array(["a"])), DTypeError, "dtype <U1 cannot be used"),
    "None": (lambda: mg.maximum(T, None), DTypeError, "cannot use NoneType None"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_explained(name):
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()


def test_errors_are_also_the_builtin_ones():
    with pytest.raises(ValueError, match="do not fit"):
        T @ T
    with pytest.raises(TypeError, match="operand"):
        T + "a"


def test_functions_of_single_numbers():
    for f in (
        mg.sum,
        mg.mean,
        mg.prod,
        mg.max,
        mg.min,
        mg.logsumexp,
        mg.norm,
        mg.ravel,
        mg.squeeze,
    ):
        v = mg.Value(1.5)
        y = f(v)
        assert y.item() == pytest.approx(1.5, rel=1e-15)
        y.backward(np.ones(y.shape))
        assert v.grad == pytest.approx(1.0, rel=1e-15)
        assert mg.jvp(f, (1.5,), (2.0,))[1] == pytest.approx(2.0, rel=1e-15)
        t = mg.Tensor(1.5)
        f(t).backward(np.ones(f(t).shape))
        assert t.grad.shape == ()
    for f in (mg.var, mg.std):
        v = mg.Value(1.5)
        f(v).backward()
        assert v.grad == 0.0


def test_functions_of_plain_numbers_stay_plain():
    assert mg.exp(0.0) == 1.0
    assert type(mg.exp(0.5)) is float
    assert mg.clip(3.0, 0.0, 1.0) == 1.0
    for f in (mg.relu, mg.sigmoid, mg.tanh, mg.square, mg.abs, mg.softplus):
        for number in (2, -3, np.int64(2), True):
            assert float(f(number)) == pytest.approx(f(float(number)), rel=1e-15)
    assert mg.power(2, -1) == 0.5
    np.testing.assert_array_equal(mg.relu([1.0, -2.0]), [1.0, 0.0])
    np.testing.assert_array_equal(mg.sum([[1, 2], [3, 4]], axis=0), [4, 6])
    for bad in ("a", None, [mg.Value(1.0)]):
        with pytest.raises(DTypeError, match="operand"):
            mg.exp(bad)
    assert mg.divide(1, 0) == np.inf


def test_the_largest_of_several_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_array_equal(mg.max(mg.Tensor(x), axis=[0, 2]).data, x.max(axis=(0, 2)))
    np.testing.assert_array_equal(mg.sum(mg.Tensor(x), axis=(-1, 0)).data, x.sum(axis=(0, 2)))


def test_the_empty_product_is_recorded():
    x = mg.Tensor(np.zeros((0, 2)))
    y = mg.prod(x, axis=0)
    assert isinstance(y, mg.Tensor)
    y.backward(np.ones(2))
    assert x.grad.shape == (0, 2)
    np.testing.assert_array_equal(y.data, [1.0, 1.0])


def test_sorting_keeps_the_order_of_equal_entries():
    x = mg.Tensor([2.0, 1.0, 2.0, 1.0])
    mg.sort(x).backward([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(x.grad, [3.0, 1.0, 4.0, 2.0])


def test_repeated_entries_accumulate():
    x = mg.Tensor([1.0, 2.0])
    mg.sum(x[[0, 0, 1, 0]] * np.array([1.0, 10.0, 100.0, 1000.0])).backward()
    np.testing.assert_array_equal(x.grad, [1011.0, 100.0])
    np.testing.assert_array_equal(
        mg.hessian(lambda t: mg.sum(t[[0, 0, 1]] ** 2))(x.data), [[4.0, 0.0], [0.0, 2.0]]
    )
