"""Tensor: what it takes, its methods and indexing, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError

A = np.array([[1.0, -2.0, 0.5], [4.0, 0.25, -1.5]])


@pytest.mark.parametrize(
    "data",
    [3, [1, 2], (1, 2), [[True, False]], np.float64(3), np.int64(3), [np.ones(2), np.ones(2)], []],
)
def test_whole_numbers_and_lists_become_float64(data):
    t = Tensor(data)
    assert t.dtype == np.float64
    np.testing.assert_array_equal(t.data, np.asarray(data, float))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_keep_their_dtype(dtype):
    assert Tensor(np.ones(2, dtype)).dtype == dtype
    assert Tensor([1, 2], dtype=dtype).dtype == dtype
    assert Tensor(np.array([1, 2]), dtype=dtype).dtype == dtype
    assert Tensor(dtype(3)).dtype == dtype


def test_data_are_copied():
    for source in (A.copy(), A.copy()[::-1], A.copy().T, np.ones(3, np.float32)):
        t = Tensor(source)
        before = t.numpy()
        source[...] = 7.0
        np.testing.assert_array_equal(t.data, before)
    n = t.numpy()
    n[...] = 9.0
    np.testing.assert_array_equal(t.data, before)


@pytest.mark.parametrize(
    "bad", [np.array([1, 2]), np.array([True]), np.array(3), np.zeros((0,), int)]
)
def test_whole_number_arrays_are_refused_with_advice(bad):
    with pytest.raises(
        DTypeError, match=r"dtype (int64|bool) cannot be differentiated; use array\.astype\(float\)"
    ):
        Tensor(bad)


@pytest.mark.parametrize(
    "bad", ["abc", None, 1j, [1j], {}, object(), ["a", "b"], np.array([1j]), b"x"]
)
def test_what_is_not_real_is_refused(bad):
    with pytest.raises(DTypeError, match="a Tensor holds real numbers, got"):
        Tensor(bad)


def test_nodes_and_lists_of_nodes_are_refused():
    v = Value(1.0)
    for bad in (v, Tensor([1.0])):
        with pytest.raises(DTypeError, match=r"graph node already.*\.detach\(\)"):
            Tensor(bad)
    for bad in ([v, v], (1.0, v), [Tensor([1.0])]):
        with pytest.raises(DTypeError, match=r"mg\.stack"):
            Tensor(bad)
    with pytest.raises(GraphError, match=r"mg\.stack"):
        Tensor([[v, v], [v, v]])


def test_ragged_rows_and_odd_dtypes_are_refused():
    with pytest.raises(ShapeError, match="same length"):
        Tensor([[1.0], [1.0, 2.0]])
    for dtype in (int, complex, bool, "int8"):
        with pytest.raises(DTypeError, match="a Tensor holds floats"):
            Tensor([1.0], dtype=dtype)


def test_assigning_data():
    t = Tensor(A.astype(np.float32), name="W")
    t.data = np.ones((2, 3), int)
    assert t.dtype == np.float32
    t.data -= 0.5
    np.testing.assert_array_equal(t.data, np.full((2, 3), 0.5))
    with pytest.raises(ShapeError, match=r"'W' of shape \(2, 3\) cannot take data of shape \(3,\)"):
        t.data = np.ones(3)
    with pytest.raises(DTypeError):
        t.data = np.ones((2, 3), complex)
    np.testing.assert_array_equal(t.data, np.full((2, 3), 0.5))


def test_writing_entries_is_refused():
    t = Tensor(A)
    with pytest.raises(GraphError, match=r"mg\.where or mg\.concatenate.*assign \.data"):
        t[0] = 1.0
    with pytest.raises(GraphError, match="result of"):
        (t * 2).data = A


def test_what_it_shows():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert (
        repr(Tensor([1.0], dtype=np.float32, name="b")) == "Tensor([1.], dtype=float32, name='b')"
    )
    assert f"{Tensor([2.5]):.2f}" == "2.50"
    t = Tensor(A)
    assert (t.shape, t.ndim, t.size, len(t)) == ((2, 3), 2, 6, 2)


def test_items_and_truth():
    assert Tensor([[2.5]]).item() == 2.5
    assert float(Tensor(2.5)) == 2.5
    with pytest.raises(UsageError, match="holds 6; index it first"):
        Tensor(A).item()
    assert bool(Tensor([1.0]))
    assert not Tensor(0.0)
    for t in (Tensor(A), Tensor(np.zeros(0))):
        with pytest.raises(ShapeError, match=r"ambiguous.*\.data\.any\(\)"):
            bool(t)
    with pytest.raises(ShapeError, match="0-dimensional"):
        len(Tensor(1.0))


def test_iteration_and_unpacking():
    t = Tensor(A)
    first, second = t
    (first[0] * second[1]).backward()
    expected = np.zeros((2, 3))
    expected[0, 0], expected[1, 1] = A[1, 1], A[0, 0]
    np.testing.assert_array_equal(t.grad, expected)


def test_comparisons_are_plain_arrays():
    t = Tensor(A)
    for result, expected in (
        (t > 0, A > 0),
        (t >= 0.25, A >= 0.25),
        (t < t * 2, A < A * 2),
        (t >= 0, A >= 0),
        (t < A, A < A),
    ):
        assert type(result) is np.ndarray
        assert result.dtype == bool
        np.testing.assert_array_equal(result, expected)


METHODS = [
    ("sum", {}),
    ("sum", {"axis": 1}),
    ("mean", {"axis": 0, "keepdims": True}),
    ("var", {"ddof": 1}),
    ("std", {"axis": 1}),
    ("max", {"axis": 0}),
    ("min", {}),
    ("prod", {"axis": 1}),
    ("cumsum", {"axis": 1}),
    ("clip", {"min": -1.0, "max": 1.0}),
    ("trace", {}),
    ("diagonal", {}),
    ("ravel", {}),
    ("squeeze", {}),
    ("argmax", {}),
    ("argmin", {"axis": 1}),
    ("flatten", {}),
]


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_methods_are_those_of_arrays(name, options):
    got = getattr(Tensor(A), name)(**options)
    np.testing.assert_allclose(getattr(got, "data", got), getattr(A, name)(**options), rtol=1e-15)


def test_methods_of_shape():
    t = Tensor(A)
    for r in (t.reshape(3, 2), t.reshape((3, 2)), t.reshape([-1, 2])):
        np.testing.assert_array_equal(r.data, A.reshape(3, 2))
    for r in (t.T, t.transpose(), t.transpose(1, 0), t.transpose((1, 0)), t.transpose(-1, 0)):
        np.testing.assert_array_equal(r.data, A.T)
    assert t.astype(np.float32).dtype == np.float32
    np.testing.assert_array_equal((t @ t.T).data, A @ A.T)
    np.testing.assert_array_equal((A @ t.T).data, A @ A.T)
    np.testing.assert_array_equal(t.dot(A.T).data, A @ A.T)


def test_functions_as_methods():
    for name in ("exp", "log", "sqrt", "sin", "cos", "tanh"):
        np.testing.assert_array_equal(getattr(Tensor(A * A), name)().data, getattr(np, name)(A * A))
    np.testing.assert_array_equal(Tensor(A).relu().data, np.maximum(A, 0))
    np.testing.assert_allclose(Tensor(A).sigmoid().data, 1 / (1 + np.exp(-A)), rtol=1e-15)
    np.testing.assert_array_equal(abs(-Tensor(A)).data, np.abs(A))


CUBE = np.arange(24.0).reshape(2, 3, 4)
KEYS = [
    0,
    -1,
    (0, 1),
    (0, 1, 2),
    slice(None),
    slice(None, None, -1),
    (slice(None), slice(2, None, -2)),
    Ellipsis,
    (Ellipsis, 0),
    (0, Ellipsis),
    None,
    (None, 0, None),
    (slice(None), None),
    [0, 0, 1],
    np.array([1, 0, 1]),
    ([0, 1], [1, 2]),
    (slice(None), [2, 2]),
    ([0, 1], slice(None), [3, 3]),
    np.array([[0, 1], [1, 1]]),
    CUBE > 11,
    CUBE[:, :, 0] > 5,
    np.array([True, False]),
    (0, np.array([True, False, True])),
    (Ellipsis, [0, 0], None),
    [],
    np.zeros(0, int),
    slice(2, 2),
    (),
    np.array(1),
    np.int64(1),
    (np.array([0, 1]), None, [1, 1]),
    [True, False],
]


@pytest.mark.parametrize("key", KEYS, ids=lambda k: str(k).replace("\n", "")[:40])
def test_indexing_is_numpys(key):
    t = Tensor(CUBE)
    y = t[key]
    np.testing.assert_array_equal(y.data, CUBE[key])
    seed = np.random.default_rng(0).normal(size=y.shape)
    expected = np.zeros_like(CUBE)
    np.add.at(
        expected, key if not isinstance(key, list) else np.asarray(key, None if key else int), seed
    )
    y.backward(seed)
    np.testing.assert_array_equal(t.grad, expected)
    v = np.random.default_rng(1).normal(size=CUBE.shape)
    np.testing.assert_array_equal(mg.jvp(lambda x: x[key], (CUBE,), (v,))[1], v[key])
    if y.size:
        mg.check.check_grads(lambda x: x[key] ** 2, CUBE[:, :, :4], order=1)


def test_bad_indices_are_explained():
    t = Tensor(A)
    for key in (5, (0, 0, 0), [0, 9], 1.5, "a", np.array([True]), [0.5]):
        with pytest.raises(ShapeError, match=r"indexing an array of shape \(2, 3\) with"):
            t[key]
    for key in (Value(1.0), (0, Tensor(1.0))):
        with pytest.raises(DTypeError, match=r"cannot be an index.*astype\(int\)"):
            t[key]


def test_an_index_changed_later_does_not_change_the_gradient():
    t, key = Tensor([1.0, 2.0, 3.0]), np.array([0, 1])
    y = mg.sum(t[key])
    key[...] = 2
    y.backward()
    np.testing.assert_array_equal(t.grad, [1.0, 1.0, 0.0])


class Parameter(Tensor):
    """A subclass with nothing of its own."""


def test_subclasses_are_leaves_whose_results_are_tensors():
    w = Parameter(A, name="w")
    y = mg.sum(w * w)
    assert type(w * w) is Tensor
    y.backward()
    np.testing.assert_array_equal(w.grad, 2 * A)
    assert type(w.detach()) is Parameter
    assert repr(w).startswith("Tensor(") or repr(w).startswith("Parameter(")


@pytest.mark.parametrize("op", [mg.add, mg.multiply, mg.maximum, mg.power, mg.arctan2])
def test_shapes_that_do_not_broadcast_are_explained(op):
    with pytest.raises(ShapeError, match=rf"{op.name}.*\(2, 3\).*\(2,\).*cannot be broadcast"):
        op(Tensor(A), np.ones(2))
    with pytest.raises(ShapeError, match=r"where.*\(2, 3\)"):
        mg.where(A > 0, Tensor(A), np.ones(2))


def test_methods_with_plain_results():
    t = mg.Tensor([[3.0, 0.0, 1.5], [2.5, -1.0, 0.0]])
    data = t.data
    for name, options in [
        ("argmax", {}), ("argmin", {"axis": 1}), ("any", {"axis": 0}), ("all", {}),
        ("all", {"axis": 1, "keepdims": True}), ("argsort", {}), ("argsort", {"axis": 0}),
        ("round", {}), ("round", {"decimals": 1}), ("nonzero", {}),
    ]:  # fmt: skip
        got, expected = getattr(t, name)(**options), getattr(data, name)(**options)
        assert type(got) is type(expected)
        np.testing.assert_array_equal(got, expected)
