"""Uses that look harmless and once gave a wrong answer without a word."""

import threading

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.engine.graph import Primitive
from microgradopt.errors import DTypeError, ShapeError, UsageError


class Indices:
    """Something with ``__array__``, as other libraries' arrays are."""

    def __array__(self, dtype=None, copy=None):
        return np.array([0, 0])


@pytest.fixture
def rows():
    """Rows declared by a test, forgotten after it."""
    before = set(Primitive.table)
    yield
    for name in set(Primitive.table) - before:
        del Primitive.table[name]


@pytest.mark.parametrize("key", [((0, 0), (1, 1)), ((0, 0),), Indices(), ([0, 0], (1, 1))])
def test_repeated_indices_of_any_kind_accumulate(key):
    x = np.ones((2, 2))
    expected = np.zeros_like(x)
    np.add.at(expected, tuple(map(np.asarray, key)) if isinstance(key, tuple) else np.zeros(2, int),
              1.0)  # fmt: skip
    np.testing.assert_array_equal(mg.grad(lambda t: mg.sum(t[key]))(x), expected)


def test_partials_must_be_one_per_operand(rows):
    bare = mg.elementwise("bare", array=lambda x: x**3, partials=lambda out, x: 3 * x * x)
    with pytest.raises(UsageError, match="must return a tuple of 1"):
        mg.grad(lambda x: mg.sum(bare(x)))(np.array([1.0, 2.0, 3.0]))
    few = mg.elementwise("few", array=lambda x, y: x * y, partials=[lambda out, x, y: y])
    with pytest.raises(UsageError, match="takes 1 operand"):
        few(Value(1.0), Value(2.0))
    cube = mg.elementwise("power_k", array=lambda x, k=2: x**k, partials=[lambda out, x, k=2: k])
    with pytest.raises(UsageError, match="no keywords"):
        cube(Value(1.0), k=3)
    thin = mg.multilinear("thin", array=lambda x, y: x * y, transposes=[lambda g, x, y: g * y])
    with pytest.raises(UsageError, match="one transpose per operand"):
        thin(Tensor([1.0]), Tensor([2.0])).backward()


def test_a_transpose_of_the_wrong_shape_is_refused(rows):
    wrong = mg.linear("wrong", array=lambda x: x.sum(-1), transpose=lambda g, x: g)
    with pytest.raises(ShapeError, match=r"rule of 'wrong' gave a cotangent of shape \(3,\)"):
        mg.grad(lambda x: mg.sum(wrong(x)))(np.ones((3, 3)))


def test_a_row_with_parameters_works_on_values(rows):
    times = mg.linear("times", array=lambda x, k: k * x, transpose=lambda g, x, k: times(g, k=k))
    assert mg.grad(lambda x: times(x, k=3.0))(2.0) == 3.0


def test_dicts_are_matched_by_key():
    def f(p):
        return p["a"] ** 2 + 5 * p["b"] ** 2

    assert mg.hvp(f, {"a": 1.0, "b": 1.0}, {"b": 1.0, "a": 0.0}) == {"a": 0.0, "b": 10.0}
    with pytest.raises(UsageError, match="another structure"):
        mg.hvp(f, {"a": 1.0, "b": 1.0}, {"b": 1.0, "c": 0.0})


def test_leaf_and_intermediate_gradients_share_nothing():
    a, b = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    y = a + b
    mg.sum(y * y).backward()
    assert len({id(a.grad), id(b.grad), id(y.grad)}) == 3
    b.grad *= 0.0
    assert y.grad.all()
    assert a.grad.all()


def test_copies_do_not_follow_their_original():
    w, v = Tensor([1.0]), Tensor([1.0])
    y = mg.sum(mg.stop_gradient(w) * v)
    with mg.no_grad():
        u = w.reshape(1, 1)
    other = Tensor([0.0])
    other.data = w.data
    w.data -= 1.0
    y.backward()
    assert v.grad == 1.0
    assert u.data == 1.0
    assert other.data == 1.0


def test_the_input_of_vjp_may_change_before_the_pull():
    x = np.array([1.0, 2.0])
    _, pull = mg.vjp(lambda t: t * t, x)
    x += 10.0
    np.testing.assert_array_equal(pull(np.ones(2))[0], [2.0, 4.0])


def test_results_of_a_transform_are_ordinary_nodes():
    x = Tensor([1.0])
    y, _ = mg.vjp(lambda t: t * t, x)
    assert mg.grad(lambda z: z * float(y[0]))(3.0) == 1.0
    constant = Tensor([1.0], requires_grad=False)
    assert not mg.grad(lambda t: mg.sum(t * t))(constant).requires_grad


class Named(np.ndarray):
    """A subclass of arrays, as matrices and labelled arrays are."""


def test_masked_arrays_and_other_subclasses():
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    with pytest.raises(DTypeError, match="mask"):
        Tensor(masked)
    t = Tensor([1.0, 2.0])
    with pytest.raises(DTypeError, match="masked"):
        mg.multiply(t, masked)
    mg.sum(t * np.array([[1.0, 2.0]]).view(Named)).backward()
    assert type(t.grad) is np.ndarray
    np.testing.assert_array_equal(t.grad, [1.0, 2.0])


def test_no_grad_never_outlives_its_thread():
    def paused_forever():
        guard = mg.no_grad()
        guard.__enter__()

    def recorded(found):
        found.append((Value(1.0) * 2.0).requires_grad)

    for target, expected in ((paused_forever, None), (recorded, [True])):
        for _ in range(3):
            found = []
            thread = threading.Thread(target=target, args=() if expected is None else (found,))
            thread.start()
            thread.join()
            assert found == (expected or [])
    assert (Value(1.0) * 2.0).requires_grad


def test_a_generator_closed_by_another_thread_ends_the_pause():
    def inside():
        with mg.no_grad():
            yield 1

    generator = inside()
    next(generator)
    assert not (Value(1.0) * 2.0).requires_grad
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    assert (Value(1.0) * 2.0).requires_grad


def test_a_decorated_generator_is_paused_only_while_it_runs():
    @mg.no_grad()
    def values():
        sent = yield (Value(1.0) * 2.0).requires_grad
        return sent

    running = values()
    assert next(running) is False
    assert (Value(1.0) * 2.0).requires_grad
    with pytest.raises(StopIteration) as end:
        running.send("last")
    assert end.value.value == "last"


def test_lists_take_the_dtype_of_the_tensor_they_meet():
    t = Tensor(np.ones(2, np.float32))
    assert (t * [1.0, 2.0]).dtype == np.float32
    assert mg.concatenate([t, [1.0, 2.0]]).dtype == np.float32


def test_formulas_on_plain_arrays_neither_warn_nor_raise():
    huge = np.full(3, 1e308)
    with np.errstate(all="raise"):
        for f in (mg.var, mg.std, mg.prod, mg.mean, mg.leaky_relu, mg.norm):
            f(huge)
        mg.dot(huge, huge)
        mg.outer(huge, huge)
        mg.nn.mse(huge, -huge)
        mg.nn.half_squared_error(huge, -huge)
    assert mg.norm([3, 4]) == 5.0
    assert mg.norm(np.array([3, 4])) == 5.0
    np.testing.assert_array_equal(mg.sort([3.0, 1.0]), [1.0, 3.0])


def test_requires_grad_can_be_switched_on_leaves():
    w = Tensor([1.0])
    w.requires_grad = False
    assert not (w * 2.0).requires_grad
    w.requires_grad = True
    y = w * 2.0
    with pytest.raises(mg.errors.GraphError, match="set requires_grad on the leaves"):
        y.requires_grad = False


def test_the_partial_of_an_array_by_the_number_0():
    x = mg.Tensor(np.array([1.0, -1.0, 0.0]))
    mg.sum(x / 0.0).backward()
    np.testing.assert_array_equal(x.grad, [np.inf, np.inf, np.inf])
    assert mg.grad(mg.grad(lambda t: mg.sum(x / 0.0 * t)))(1.0) == 0.0
    narrow = mg.Tensor(np.ones(2, np.float32))
    mg.sum(narrow / 0.0).backward()
    assert narrow.grad.dtype == np.float32
    np.testing.assert_array_equal(
        mg.jvp(lambda t: t / 0.0, (np.ones(2),), (np.ones(2),))[1], [np.inf, np.inf]
    )
    assert mg.grad(lambda y: mg.sum(mg.Tensor([1.0]) / y))(0.0) == -np.inf
