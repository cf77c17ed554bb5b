"""What a jitted function finds around it, set between its calls."""

import functools
import types

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.errors import TraceError

X = np.array([1.0, 2.0])


def settled(jitted, *args):
    for _ in range(4):
        result = jitted(*args)
    return result


def test_a_variable_of_the_enclosing_function():
    scale, other = 2.0, 10.0

    def f(x):
        return x * scale + (lambda y: y * other)(x)

    jitted = mg.jit(f)
    assert settled(jitted, 1.0) == 12.0
    scale = 3.0
    assert [jitted(1.0) for _ in range(4)] == [13.0] * 4
    other = 20.0
    assert [jitted(1.0) for _ in range(4)] == [23.0] * 4
    scale, other = 2.0, 10.0
    assert [jitted(1.0) for _ in range(4)] == [12.0] * 4


def test_globals_of_the_function_and_of_those_it_calls():
    space = {"mg": mg, "scale": 2.0, "shift": 1.0}
    exec("def helper(x):\n    return x + shift\ndef f(x):\n    return helper(x) * scale", space)
    jitted = mg.jit(space["f"])
    assert settled(jitted, 1.0) == 4.0
    space["shift"] = 2.0
    assert [jitted(1.0) for _ in range(4)] == [6.0] * 4
    space["scale"] = 3.0
    assert [jitted(1.0) for _ in range(4)] == [9.0] * 4
    del space["scale"]
    with pytest.raises(NameError):
        jitted(1.0)


def test_another_model_under_the_same_name():
    space = {"mg": mg, "w": mg.Tensor(X)}
    exec("def f(x):\n    return mg.sum(w * x)", space)
    jitted = mg.jit(space["f"])
    assert settled(jitted, X).data == 5.0
    space["w"] = mg.Tensor(10.0 * X)
    assert [jitted(X).data for _ in range(4)] == [50.0] * 4


class Model:
    def __init__(self):
        self.k = 2.0
        self.names = ("a",)

    @mg.jit
    def decorated(self, x):
        return x * self.k

    def plain(self, x):
        return x * self.k


def test_numbers_of_the_object_whose_method_it_is():
    for bound in (lambda m: m.decorated, lambda m: mg.jit(m.plain)):
        model = Model()
        jitted = bound(model)
        assert settled(jitted, 1.0) == 2.0
        model.k = 3.0
        assert [jitted(1.0) for _ in range(4)] == [3.0] * 4
        model.names = ("a", "b")
        assert [jitted(1.0) for _ in range(4)] == [3.0] * 4


def test_through_partial_and_wrappers():
    scale = 2.0

    def f(a, x):
        return mg.sum(x * x) * scale * a

    @functools.wraps(f)
    def wrapped(*args):
        return f(*args)

    for function in (functools.partial(f, 1.0), functools.partial(wrapped, 1.0)):
        scale = 2.0
        jitted = mg.jit(mg.grad(function))
        np.testing.assert_array_equal(settled(jitted, X), 4.0 * X)
        scale = 3.0
        for _ in range(4):
            np.testing.assert_array_equal(jitted(X), 6.0 * X)


def test_what_is_not_bound_yet_is_left_alone():
    def f(x):
        return x * 2.0 if x > 0.0 else later

    jitted = mg.jit(f)
    assert settled(jitted, 1.0) == 2.0
    later = 7.0
    assert jitted(-1.0) == later


def test_a_counter_of_its_own_is_refused():
    count = 0

    def f(x):
        nonlocal count
        count += 1
        return x * float(count)

    jitted = mg.jit(f)
    with pytest.raises(TraceError, match="sets a variable or attribute that it also reads"):
        jitted(1.0)


def test_builtins_are_no_trouble():
    assert (
        settled(mg.jit(types.MethodType(lambda self, x: max(x, 2.0) + len(self), [1])), 1.0) == 3.0
    )
