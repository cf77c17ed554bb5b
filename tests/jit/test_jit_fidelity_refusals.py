"""What a replay could not do again is refused, with the user's line, and changes nothing."""

from __future__ import annotations

import copy
import math
import pickle
import time

import numpy as np
import pytest
from fidelity import difference, jit, seen

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.errors import TraceError

VECTOR = np.array([0.5, -1.5, 2.0])


class Things:
    """State that a function may reach, and that is as before where the call is refused."""

    def __init__(self):
        self.w, self.v = Tensor(VECTOR, name="w"), Value(0.5, name="v")
        self.w.grad = np.ones(3)
        self.layer = nn.Dropout(0.5, rng=3)
        self.optimizer = optim.Adam([self.w, self.v], lr=0.1)
        self.list, self.dict, self.array = [1.0], {"a": 1.0}, np.zeros(3)
        self.attribute = 0.0
        self.outside = self.w * 2.0
        self.rng = np.random.default_rng(7)
        self.count = 0

    def state(self):
        return self.w, self.v, self.layer.rng, self.optimizer, self.array


def counted(t):
    t.count += 1
    return t.count


# Each first does what changes all kinds of state, then what is refused.

AT_ONCE = {
    "float of a node": lambda t, x: float(t.v),
    "float of a number": lambda t, x: float(x[0]),
    "float of data": lambda t, x: float(t.w.data[0]),
    "int of a node": lambda t, x: int(t.v),
    "int of a number": lambda t, x: int(x[0]),
    "math": lambda t, x: math.sin(x[0]),
    "complex": lambda t, x: complex(t.v.data),
    "range": lambda t, x: list(range(x.astype(int)[0])),
    "index of a list": lambda t, x: [1, 2, 3][x.astype(int)[0]],
    "print of a node": lambda t, x: print(t.v),
    "print of an array": lambda t, x: print(x),
    "f-string of a node": lambda t, x: f"{t.v}",
    "f-string with a form": lambda t, x: f"{t.v:.3f}",
    "f-string of a number": lambda t, x: f"{x[0]:.3f}",
    "repr": lambda t, x: repr(t.w),
    "str of a number": lambda t, x: str(x[0]),
    "percent": lambda t, x: "%.3f" % x[0],  # noqa: UP031
    "tolist": lambda t, x: x.tolist(),
    "tolist of data": lambda t, x: t.w.data.tolist(),
    "list.append of a node": lambda t, x: t.list.append(mg.sum(x * t.w)),
    "list.append of an array": lambda t, x: t.list.append(x * 2.0),
    "list.append of a number": lambda t, x: t.list.append(x[0] * 2.0),
    "list.append of an argument": lambda t, x: t.list.append(x),
    "list.append of an item": lambda t, x: t.list.append(mg.sum(x * t.w).item()),
    "dict": lambda t, x: t.dict.update(loss=mg.sum(x)),
    "attribute": lambda t, x: setattr(t, "attribute", x.sum()),
    "global": lambda t, x: globals().update(kept=x * 1.0),
    "graph kept": lambda t, x: t.list.append(mg.tanh(t.w) * x),
    "argument written": lambda t, x: x.__setitem__(0, 1.0),
    "argument added to": lambda t, x: x.__iadd__(1.0),
    "argument as out": lambda t, x: np.multiply(x, 2.0, out=x),
    "argument filled": lambda t, x: x.fill(0.0),
    "argument sorted": lambda t, x: x.sort(),
    "argument copied to": lambda t, x: np.copyto(x, 0.0),
    "view of an argument written": lambda t, x: x[1:].__setitem__(0, 1.0),
    "outside array written": lambda t, x: t.array.__setitem__(0, x[0]),
    "outside array filled": lambda t, x: t.array.__setitem__(slice(None), x),
    "outside array as out": lambda t, x: np.add(x, 1.0, out=t.array),
    "outside array added to": lambda t, x: t.array.__iadd__(x),
    "outside array copied to": lambda t, x: np.copyto(t.array, x),
    "new array filled": lambda t, x: np.zeros(3).__setitem__(0, x[0]),
    "ufunc.at": lambda t, x: np.add.at(x, [0, 0], 1.0),
    "outside node": lambda t, x: mg.sum(t.outside * x),
    "outside node's data": lambda t, x: t.outside.data * x,
    "outside node's backward": lambda t, x: t.outside[0].backward(),
    "copy": lambda t, x: copy.copy(x),
    "deepcopy": lambda t, x: copy.deepcopy([x[0]]),
    "pickle": lambda t, x: pickle.dumps(t.v),
    "bytes": lambda t, x: x.tobytes(),
    "memory": lambda t, x: memoryview(x),
    "outside index": lambda t, x: t.array[x.astype(int)],
    "vectorize": lambda t, x: np.vectorize(lambda y: y + 1.0)(x),
    "raw seed": lambda t, x: np.random.default_rng(x.astype(int)),
}


def changed_first(function, things):
    """The function, after changes to all kinds of state."""

    def f(x):
        things.optimizer.zero_grad()
        mg.sum(things.layer(things.w * x) * things.v).backward()
        things.optimizer.step()
        things.w.data = things.w.data * 0.5
        return function(things, x)

    return f


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("name", AT_ONCE)
def test_refused_at_once_and_nothing_is_changed(name):
    things = Things()
    before = copy.deepcopy(seen(things.state()))
    jitted = jit(changed_first(AT_ONCE[name], things))
    given = VECTOR.copy()
    with pytest.raises(TraceError, match=r"mg\.jit"):
        jitted(given)
    assert not difference(before, seen(things.state()))
    np.testing.assert_array_equal(given, VECTOR)
    globals().pop("kept", None)


LINES = {
    "float of a node": "float(t.v)",
    "f-string of a node": 'f"{t.v}"',
    "tolist": "x.tolist()",
    "argument written": "x.__setitem__(0, 1.0)",
    "outside node": "mg.sum(t.outside * x)",
    "list.append of a node": "t.list.append(mg.sum(x * t.w))",
}


@pytest.mark.parametrize("name", LINES)
def test_the_message_shows_the_users_line(name):
    with pytest.raises(TraceError) as caught:
        jit(changed_first(AT_ONCE[name], Things()))(VECTOR.copy())
    text = str(caught.value)
    assert LINES[name] in text
    assert "test_jit_fidelity_refusals.py" in text
    assert text.count("\n") <= 2


BY_THE_SECOND_CALL = {
    "a generator": lambda t, x: x * t.rng.random(3),
    "a number drawn": lambda t, x: x * t.rng.random(),
    "numpy's own generator": lambda t, x: x + np.random.random(3),  # noqa: NPY002
    "the time": lambda t, x: x * time.perf_counter(),
    "a counter": lambda t, x: x * counted(t),
    "a counter in a node": lambda t, x: mg.sum(t.w * counted(t)),
    "a counter as an exponent": lambda t, x: x ** (counted(t) + 2),
    "a counter as an index": lambda t, x: x[counted(t)],
    "a counter returned": lambda t, x: (x * 2.0, counted(t)),
    "a counter in a dict": lambda t, x: {"n": float(counted(t)), "x": x},
    "a counter set as data": lambda t, x: setattr(t.v, "data", counted(t)),
    "a counter set as a gradient": lambda t, x: setattr(t.w, "grad", np.full(3, counted(t))),
    "an array made of a counter": lambda t, x: (x, np.full(2, counted(t))),
    "an array written between": lambda t, x: x * t.array,
}


@pytest.mark.parametrize("name", BY_THE_SECOND_CALL)
def test_refused_at_the_second_call(name):
    things = Things()
    jitted = jit(lambda x: BY_THE_SECOND_CALL[name](things, x))
    jitted(VECTOR)
    things.array += 1.0
    with pytest.raises(TraceError, match=r"mg\.jit.*(next call|written|sets a variable)"):
        jitted(VECTOR)


def test_a_choice_that_nothing_traced_makes_is_refused():
    t = Things()
    jitted = jit(lambda x: x * 2.0 if counted(t) % 2 else mg.exp(x))
    jitted(VECTOR)
    jitted(VECTOR)
    with pytest.raises(TraceError, match="now this and now that"):
        jitted(VECTOR)


def test_what_a_first_call_keeps_for_later_ones_is_fine():
    kept = {}

    def f(x):
        if "node" not in kept:
            kept["node"] = Tensor(np.arange(3.0), requires_grad=False)
            kept["array"] = np.arange(3.0)
        return x * kept["node"] + kept["array"]

    jitted = jit(f)
    for i in range(5):
        x = VECTOR + i
        np.testing.assert_array_equal(jitted(x).data, x * np.arange(3.0) + np.arange(3.0))


def test_a_jitted_function_goes_on_after_a_refusal():
    things = Things()
    jitted = jit(lambda x, bad: float(x[0]) if bad else mg.sum(things.w * x))
    for _ in range(4):
        with pytest.raises(TraceError):
            jitted(VECTOR, True)
        assert jitted(VECTOR, False).data == mg.sum(things.w * VECTOR).data


def test_an_argument_node_cannot_be_changed():
    def data(t):
        t.data = t.data * 2.0

    def grad(t):
        t.grad = t.data * 2.0

    def flag(t):
        t.requires_grad = True

    for change in (data, grad, flag):
        t = Tensor(VECTOR, requires_grad=False, name="t")
        with pytest.raises(TraceError, match="changes the Tensor 't'"):
            jit(change)(t)
        assert (t.grad, t.requires_grad) == (None, False)
        np.testing.assert_array_equal(t.data, VECTOR)


def test_what_is_no_function_is_refused():
    with pytest.raises(mg.errors.UsageError, match="jit takes a function, got int"):
        jit(3)
