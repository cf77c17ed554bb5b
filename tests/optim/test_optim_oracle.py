"""Oracles: every form of x0 against dense derivatives, compiled or not; counts and errors."""

from __future__ import annotations

import importlib.util
from collections import namedtuple

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import leaves
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError
from microgradopt.optim import Objective, Residuals
from microgradopt.optim.solvers.oracle import WARM
from microgradopt.optim.solvers.result import Stop
from microgradopt.optim.solvers.variables import Variables

RNG = np.random.default_rng(0)
Sides = namedtuple("Sides", "left right")
X, Y = RNG.normal(size=(7, 2)), RNG.normal(size=(7, 1))
KINDS = [Objective, Residuals]
every_kind = pytest.mark.parametrize("kind", KINDS)


# Functions of the leaves of any structure


def weighed(parts):
    """A sum in which no two entries count alike."""
    return sum(mg.sum(p * weights(p, i)) for i, p in enumerate(parts))


def weights(p, i):
    """A number or array like a leaf."""
    data = data_of(p)
    if isinstance(data, float):
        return float(np.cos(1.0 + i))
    return np.cos(np.arange(1.0, data.size + 1.0) + i).reshape(data.shape).astype(data.dtype)


def number(x):
    """Every leaf has a part of its own, and all are coupled."""
    parts = leaves(x)
    own = sum(mg.sum(mg.sin((i + 1.0) * p) * p**2) for i, p in enumerate(parts))
    return own + mg.exp(-0.1 * sum(mg.sum(p) for p in parts)) + weighed(parts) ** 2


def several(x):
    """Residuals: arrays of the leaves' shapes, and a number."""
    parts = leaves(x)
    own = [mg.sin((i + 1.0) * p) + p for i, p in enumerate(parts)]
    return {"own": own, "all": (weighed(parts) ** 2 - 2.0, None)}


def network():
    return nn.MLP(2, [3, 1], activation=mg.tanh, rng=0)


def perceptron(flat):
    """The same written out, as a function of its parameters one after the other."""
    w1, b1, w2, b2 = network().parameters()
    w1, b1 = mg.reshape(flat[:6], w1.shape), flat[6:9]
    w2, b2 = mg.reshape(flat[9:12], w2.shape), flat[12:13]
    return mg.tanh(X @ w1.T + b1) @ w2.T + b2


def network_of_values():
    return nn.scalar.MLP(2, [2, 1], activation=mg.tanh, rng=0)


def perceptron_of_values(flat):
    """The same written out: w, w, b of each neuron, in order."""
    first = [mg.tanh(flat[i] * 0.3 - flat[i + 1] * 0.7 + flat[i + 2]) for i in (0, 3)]
    return flat[6] * first[0] + flat[7] * first[1] + flat[8]


def partly_frozen():
    net = network()
    net.freeze("layers.0.bias")
    return net


def with_the_frozen_ones(flat):
    return mg.concatenate([flat[:6], network().parameters()[1].data, flat[6:]])


FORMS = {
    "float": 0.7,
    "whole number": 2,
    "0-d": np.array(0.7),
    "one number": np.array([0.7]),
    "vector": RNG.normal(size=4),
    "matrix": RNG.normal(size=(2, 3)),
    "cube": RNG.normal(size=(2, 1, 3)),
    "not contiguous": RNG.normal(size=(4, 6)).T[::2, ::2],
    "numbers": [1, 0.5, np.float32(-0.25), Value(0.75)],
    "tuple of numbers": (1.0, 0.5),
    "dict": {"w": RNG.normal(size=(2, 2)), "b": 0.5},
    "nested": {"z": [RNG.normal(size=3), (0.1, RNG.normal(size=(1, 2)))], "a": Sides(-0.3, [0.2])},
    "with None": [None, 0.4, {"x": None, "y": RNG.normal(size=2)}],
    "nodes": [Value(0.3), Tensor(RNG.normal(size=2))],
    "float32": RNG.normal(size=3).astype(np.float32),
    "both floats": {"f": RNG.normal(size=3).astype(np.float32), "d": RNG.normal(size=2)},
}
MODULES = {  # how to make it, what it gives out, and that as a function of a vector
    "MLP": (network, lambda m: m(X), perceptron),
    "MLP of Values": (network_of_values, lambda m: m([0.3, -0.7]), perceptron_of_values),
    "partly frozen": (
        partly_frozen, lambda m: m(X), lambda x: perceptron(with_the_frozen_ones(x)),
    ),
}  # fmt: skip
every_form = pytest.mark.parametrize("name", [*FORMS, *MODULES])


def case(name):
    """x0, f, residuals, and the same two as functions of a vector."""
    if name in MODULES:
        make, out, flat = MODULES[name]
        goal = 0.5 if "Values" in name else Y
        return (
            make(),
            lambda m: mg.mean((out(m) - goal) ** 2) ** 2,
            lambda m: out(m) - goal,
            lambda x: mg.mean((flat(x) - goal) ** 2) ** 2,
            lambda x: mg.reshape(flat(x) - goal, (-1,)),
        )
    x0 = FORMS[name]
    held = Variables(x0, "test")
    like = [np.shape(x) for x in leaves(held.structure(held.start))]
    ends = np.cumsum([np.prod(s, dtype=int) for s in like])

    def apart(x):
        """The leaves of a vector, by hand."""
        pieces = [x[end - np.prod(s, dtype=int) : end] for end, s in zip(ends, like)]
        return [mg.reshape(piece, s) for piece, s in zip(pieces, like)]

    def flat_residuals(x):
        return mg.concatenate([mg.reshape(r, (-1,)) for r in leaves(several(apart(x)))])

    return x0, number, several, lambda x: number(apart(x)), flat_residuals


def close(found, expected, name):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    bound = 1e-5 if name in ("float32", "both floats") else 1e-12
    atol = bound * (1.0 + np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=bound, atol=atol)


def points(oracle, count=1, seed=1):
    """Points about the start, as the leaves can hold them."""
    v, rng = oracle.variables, np.random.default_rng(seed)
    moved = [v.start + 0.1 * rng.normal(size=v.size) for _ in range(count)]
    return [v.join(v.split(x)) for x in moved]


# Against dense derivatives


@every_form
def test_objective_against_dense_derivatives(name):
    x0, f, _, flat, _ = case(name)
    oracle = Objective(f, x0, jit=False)
    (x,) = points(oracle)
    v = np.random.default_rng(2).normal(size=len(x))
    H = mg.hessian(flat)(x)
    value, gradient = oracle.value_and_gradient(x)
    assert type(value) is type(oracle.value(x)) is float
    close(value, flat(x), name)
    close(oracle.value(x), flat(x), name)
    close(gradient, mg.grad(flat)(x), name)
    close(oracle.hessian(x), H, name)
    close(oracle.hvp(x, v), H @ v, name)
    assert set(oracle.compiled.values()) == {"as written"}


@every_form
def test_residuals_against_dense_derivatives(name):
    x0, _, f, _, flat = case(name)
    oracle = Residuals(f, x0, jit=False)
    (x,) = points(oracle)
    rng = np.random.default_rng(2)
    r, J = flat(x), mg.jacobian(flat)(x)
    v, u = rng.normal(size=len(x)), rng.normal(size=len(r))
    bend = mg.jvp(lambda y: mg.jvp(flat, (y,), (v,))[1], (x,), (v,))[1]
    H = mg.hessian(lambda y: 0.5 * mg.sum(flat(y) ** 2))(x)
    value, gradient = oracle.value_and_gradient(x)
    assert type(value) is type(oracle.value(x)) is float
    close(value, 0.5 * r @ r, name)
    close(oracle.value(x), 0.5 * r @ r, name)
    close(gradient, J.T @ r, name)
    close(oracle.residuals(x), r, name)
    close(oracle.jacobian(x), J, name)
    close(oracle.jvp(x, v), J @ v, name)
    close(oracle.vjp(x, u), J.T @ u, name)
    close(oracle.gnvp(x, v), J.T @ (J @ v), name)
    close(oracle.second(x, v, r, J @ v), bend, name)
    close(oracle.hessian(x), H, name)
    close(oracle.hvp(x, v), H @ v, name)


@every_form
def test_f_has_nodes_in_the_form_of_x0(name):
    x0, f, *_ = case(name)
    seen = []
    oracle = Objective(lambda x: seen.append(x) or f(x), x0, jit=False)
    start = oracle.variables.start
    oracle.value(start)
    oracle.value_and_gradient(start)
    for given in seen:
        if name in MODULES:
            assert given is x0
            continue
        assert all(isinstance(x, (Value, Tensor)) for x in leaves(given))
        if name in ("numbers", "tuple of numbers"):
            assert given.shape == (len(x0),)
            continue
        assert written(given) == written(x0)
        for node, x in zip(leaves(given), leaves(x0), strict=True):
            data = data_of(x)
            assert np.array_equal(node.data, data)
            assert isinstance(node, Tensor if isinstance(data, np.ndarray) else Value)
            assert not isinstance(data, np.ndarray) or node.dtype == data.dtype


def written(tree):
    """A structure without what is in it."""
    if isinstance(tree, dict):
        return {key: written(branch) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree), [written(branch) for branch in tree]
    return None if tree is None else "leaf"


@every_form
def test_vectors_and_structures(name):
    x0 = case(name)[0]
    v = Variables(x0, "test")
    again = v.structure(v.start)
    np.testing.assert_array_equal(v.join(leaves(again)), v.start)
    assert len(v.names) == len(leaves(again)) == len(set(v.names))
    if name in MODULES:
        assert list(again) == v.names == [n for n, _ in x0.named_parameters()]
    for array in leaves(again):
        if isinstance(array, np.ndarray):
            array[...] += 1.0
    np.testing.assert_array_equal(v.join(leaves(v.structure(v.start))), v.start)  # no views


def test_names_of_leaves():
    tree = {"z": [np.ones(3), (0.1, None, np.ones(2))], "a": Sides(0.0, [0.2])}
    assert Variables(tree, "test").names == ["z[0]", "z[1][0]", "z[1][2]", "a[0]", "a[1][0]"]
    assert Variables(2.0, "test").names == ["x"]


def test_names_of_numbers():
    v = Variables({"z": [np.ones((2, 2)), 0.1], "a": np.float64(2.0), "b": np.array(3.0)}, "test")
    names = ["z[0][0, 0]", "z[0][0, 1]", "z[0][1, 0]", "z[0][1, 1]", "z[1]", "a", "b"]
    assert [v.name_of(i) for i in range(v.size)] == names
    assert Variables([1.0, 2.0], "test").name_of(1) == "x[1]"
    assert Variables(2.0, "test").name_of(0) == "x"


# Compiled


def asked(oracle, x, v):
    """All that one may ask, at a point."""
    found = [oracle.value(x), *oracle.value_and_gradient(x), oracle.hessian(x), oracle.hvp(x, v)]
    if isinstance(oracle, Residuals):
        r = oracle.residuals(x)
        found += [r, oracle.jacobian(x), oracle.jvp(x, v), oracle.vjp(x, r), oracle.gnvp(x, v)]
        found += [oracle.second(x, v, r, oracle.jvp(x, v))]
    return found


@every_kind
@pytest.mark.parametrize("name", ["float", "matrix", "nested", "both floats", *MODULES])
def test_compiled_to_the_bit(name, kind):
    x0, f, residuals, *_ = case(name)
    f = f if kind is Objective else residuals
    plain, oracle = kind(f, x0, jit=False), kind(f, x0, jit="numpy")
    for i, x in enumerate(points(oracle, 4)):
        v = np.cos(x + i)
        for a, b in zip(asked(oracle, x, v), asked(plain, x, v), strict=True):
            np.testing.assert_array_equal(a, b)
    assert set(oracle.compiled.values()) == {"compiled, backend 'numpy'"}
    assert set(plain.compiled.values()) == {"as written"}


@every_kind
@pytest.mark.parametrize("name", ["dict", "MLP of Values"])
def test_compiled_once_it_pays(name, kind):
    x0, f, residuals, *_ = case(name)
    f = f if kind is Objective else residuals
    plain, oracle = kind(f, x0, jit=False), kind(f, x0)
    for i, x in enumerate(points(oracle, WARM + 3)):
        (a, g), (b, h) = oracle.value_and_gradient(x), plain.value_and_gradient(x)
        assert a == b
        np.testing.assert_array_equal(g, h)
        how = "as written" if i + 1 < WARM else "compiled, backend 'numpy'"
        assert oracle.compiled == {"value_and_gradient": how}


@pytest.mark.skipif(not importlib.util.find_spec("llvmlite"), reason="needs llvmlite")
@pytest.mark.parametrize("jit", [True, "llvm"])
@pytest.mark.parametrize("name", ["dict", "float32", "MLP"])
def test_machine_code(name, jit):
    x0, _, f, *_ = case(name)
    plain, oracle = Residuals(f, x0, jit=False), Residuals(f, x0, jit=jit)
    for x in points(oracle, 4):
        close(oracle.jacobian(x), plain.jacobian(x), name)
        close(oracle.value_and_gradient(x)[1], plain.value_and_gradient(x)[1], name)
    assert set(oracle.compiled.values()) == {"compiled, backend 'llvm'"}


@pytest.mark.parametrize("jit", [None, "numpy", True])
def test_what_cannot_be_compiled_runs_as_it_is_written(jit, capsys):
    kept = []

    def collects(x):
        kept.append(mg.sum(x))
        return mg.sum(x**4)

    def prints(x):
        print(x)
        return mg.sum(x**4)

    for f, why in [(collects, "kept outside"), (prints, "prints")]:
        found = optim.minimize(f, np.ones(3), jit=jit, gtol=1e-12)
        assert found.success
        assert found.nit > WARM
        assert np.abs(found.x).max() < 1e-3
        how = found.compiled["value_and_gradient"]
        assert how.startswith("as written: mg.jit: ")
        assert why in how
    assert len(kept) >= found.nfev
    assert capsys.readouterr().out.count("Tensor") >= found.nfev


def test_a_branch_is_taken_anew_in_compiled_functions():
    def bent(x):
        return mg.sum(x**2) if x[0] > 0.5 else mg.sum(3.0 * x**2 - 0.5 * x)

    plain, oracle = Objective(bent, np.zeros(1), jit=False), Objective(bent, np.zeros(1))
    for x in np.linspace(-1.0, 2.0, 40)[:, None]:
        assert oracle.value(x) == plain.value(x)
    assert oracle.compiled == {"value": "compiled, backend 'numpy'"}


def test_an_array_written_into_is_seen_by_compiled_functions():
    goal = np.zeros(2)
    oracle = Objective(lambda x: mg.sum((x - goal) ** 2), np.zeros(2))
    for i in range(2 * WARM):
        goal[...] = i
        assert oracle.value(np.zeros(2)) == 2.0 * i * i


weight = 1.0


def test_a_number_from_around_f_is_seen_by_compiled_functions():
    global weight
    oracle = Objective(lambda x: mg.sum((x - weight) ** 2), np.zeros(2))
    for weight in (1.0, 2.0):
        for _ in range(WARM + 5):
            assert oracle.value(np.zeros(2)) == 2.0 * weight**2


# Counts, other starts, budgets


def test_counts():
    oracle = Objective(lambda x: mg.sum(x**3), np.ones(2))
    x = oracle.variables.start
    oracle.value(x)
    oracle.value_and_gradient(x)
    oracle.hessian(x)
    oracle.hvp(x, x)
    assert (oracle.nfev, oracle.njev, oracle.nhev) == (2, 1, 2)
    residuals = Residuals(lambda x: x**3, np.ones(2))
    r = residuals.residuals(x)
    residuals.value(x)
    residuals.jacobian(x)
    residuals.value_and_gradient(x)
    residuals.jvp(x, x)
    residuals.vjp(x, r)
    residuals.gnvp(x, x)
    residuals.second(x, x, r, x)
    residuals.hessian(x)
    residuals.hvp(x, x)
    assert (residuals.nfev, residuals.njev, residuals.nhev) == (3, 6, 3)


@every_kind
def test_another_start_shares_what_is_compiled(kind):
    oracle = kind(lambda x: mg.sum(x["a"] ** 2), {"a": np.ones(2)}, jit="numpy")
    oracle.value_and_gradient(oracle.variables.start)
    oracle.last = 1
    other = oracle.starting({"a": np.array([3.0, 4.0])})
    assert (other.nfev, other.njev, other.nhev, other.last) == (0, 0, 0, None)
    np.testing.assert_array_equal(other.variables.start, [3.0, 4.0])
    np.testing.assert_array_equal(oracle.variables.start, [1.0, 1.0])
    assert other.compiled == oracle.compiled
    other.value_and_gradient(other.variables.start)
    assert (other.nfev, oracle.nfev) == (1, 1)


def test_many_starts_of_one_oracle():
    oracle = Objective(lambda x: mg.sum((x**2 - 1.0) ** 2), np.zeros(2))
    for start in RNG.normal(size=(5, 2)):
        found = optim.minimize(oracle, start)
        again = optim.minimize(oracle.f, start)
        np.testing.assert_array_equal(found.x, again.x)
        assert (found.nfev, found.njev, found.reason) == (again.nfev, again.njev, again.reason)
    assert "compiled" in oracle.compiled["value_and_gradient"]
    fit = Residuals(lambda x: x**2 - 1.0, np.ones(2))
    assert optim.least_squares(fit, np.full(2, 3.0)).cost < 1e-20


@pytest.mark.parametrize(
    "other",
    [
        {"w": np.ones((2, 2))},
        {"w": np.ones(4), "b": 0.5},
        {"w": np.ones((2, 2), np.float32), "b": 0.5},
        {"w": np.ones((2, 2)), "b": np.ones(1)},
        np.ones(5),
        0.5,
    ],
)
def test_another_start_must_be_of_the_same_form(other):
    oracle = Objective(number, {"w": np.ones((2, 2)), "b": 0.5})
    with pytest.raises(UsageError, match="form"):
        oracle.starting(other)


@pytest.mark.parametrize("other", [{"b": 1.0, "a": 2.0}, {"c": 1.0, "d": 2.0}, [1.0, [2.0]]])
def test_another_start_goes_by_name(other):
    """The order of a dict means nothing; other names are another form."""
    oracle = Objective(lambda p: p["a"] ** 2 + 10.0 * p["b"], {"a": 0.0, "b": 0.0})
    if isinstance(other, dict) and "a" in other:
        again = oracle.starting(other)
        assert again.value(again.variables.start) == other["a"] ** 2 + 10.0 * other["b"]
        assert again.variables.structure(again.variables.start) == other
        return
    with pytest.raises(UsageError, match="form"):
        oracle.starting(other)


def test_another_module_is_no_start():
    net = network()
    oracle = Objective(lambda m: mg.sum(m(X) ** 2), net)
    with pytest.raises(UsageError, match="form"):
        oracle.starting(network())
    net.parameters()[0].data = np.zeros_like(net.parameters()[0].data)
    assert not oracle.starting(net).variables.start[:6].any()


@every_kind
def test_a_budget(kind):
    oracle = kind(lambda x: mg.sum(x**2), np.ones(2))
    oracle.last = 2
    x = oracle.variables.start
    oracle.value(x)
    oracle.value_and_gradient(x)
    oracle.hessian(x)
    for ask in (oracle.value, oracle.value_and_gradient):
        with pytest.raises(Stop) as stop:
            ask(x)
        assert (stop.value.reason, oracle.nfev) == ("budget", 2)


# Derivatives of one's own


def own(x):
    """A function of plain numbers."""
    assert type(x["a"]) is float
    assert type(x["b"]) is np.ndarray
    return x["a"] ** 4 + float(x["b"] @ x["b"]) * x["a"]


def own_gradient(x):
    return {"a": 4.0 * x["a"] ** 3 + float(x["b"] @ x["b"]), "b": 2.0 * x["a"] * x["b"]}


def own_hessian(x):
    b = x["b"]
    return np.block([[np.array([[12.0 * x["a"] ** 2]]), 2.0 * b[None]],
                     [2.0 * b[:, None], 2.0 * x["a"] * np.eye(2)]])  # fmt: skip


def own_product(x, v):
    flat = own_hessian(x) @ np.array([v["a"], *v["b"]])
    return {"a": flat[0], "b": flat[1:]}


START = {"a": 0.7, "b": np.array([1.0, -2.0])}


@pytest.mark.parametrize(
    "given",
    [
        {"jac": own_gradient},
        {"jac": True},
        {"jac": own_gradient, "hess": own_hessian},
        {"jac": own_gradient, "hessp": own_product},
        {"jac": own_gradient, "hess": own_hessian, "hessp": own_product},
    ],
    ids=lambda given: "-".join(given),
)
def test_own_derivatives(given):
    f = own if given["jac"] is not True else lambda x: (own(x), own_gradient(x))
    oracle = Objective(f, START, **given)
    ours = Objective(lambda p: p["a"] ** 4 + mg.sum(p["b"] ** 2) * p["a"], START)
    x, v = ours.variables.start, np.array([0.3, -0.2, 0.5])
    assert oracle.value(x) == pytest.approx(ours.value(x))
    value, gradient = oracle.value_and_gradient(x)
    assert value == pytest.approx(ours.value(x))
    np.testing.assert_allclose(gradient, ours.value_and_gradient(x)[1])
    assert (oracle.nfev, oracle.njev) == (2, 1)
    if "hess" in given or "hessp" in given:
        np.testing.assert_allclose(oracle.hessian(x), ours.hessian(x))
        np.testing.assert_allclose(oracle.hvp(x, v), ours.hvp(x, v))
    else:
        for ask in (lambda: oracle.hessian(x), lambda: oracle.hvp(x, v)):
            with pytest.raises(UsageError, match="second derivatives; give hess= or hessp="):
                ask()
    assert oracle.compiled == {}


def test_own_derivatives_may_be_nodes():
    oracle = Objective(
        lambda x: mg.sum(Tensor(x) ** 2), np.ones(2), jac=lambda x: 2.0 * Tensor(x),
        hess=lambda x: Tensor(2.0 * np.eye(2)),
    )  # fmt: skip
    x = np.array([3.0, 4.0])
    assert oracle.value(x) == 25.0
    np.testing.assert_array_equal(oracle.value_and_gradient(x)[1], [6.0, 8.0])
    np.testing.assert_array_equal(oracle.hessian(x), 2.0 * np.eye(2))


def test_own_derivatives_by_name():
    """A dict is not in order: only its keys say which entry belongs to which."""
    backwards = lambda x: dict(reversed(own_gradient(x).items()))  # noqa: E731
    oracle = Objective(own, START, jac=backwards)
    x = oracle.variables.start
    np.testing.assert_array_equal(oracle.value_and_gradient(x)[1], [4.0 * 0.7**3 + 5.0, 1.4, -2.8])


@pytest.mark.parametrize("matrix", [lambda x: np.diag(2.0 * x), lambda x: np.diag(2.0 * x)[:, :]])
def test_own_jacobian(matrix):
    oracle = Residuals(lambda x: [x**2, np.float64(3.0)], np.ones(2), jac=lambda x: np.vstack([
        matrix(x), np.zeros((1, 2))]))  # fmt: skip
    ours = Residuals(lambda x: [x**2, 3.0], np.ones(2))
    x, v = np.array([1.5, -2.0]), np.array([0.3, 0.4])
    r, J = ours.residuals(x), ours.jacobian(x)
    np.testing.assert_array_equal(oracle.residuals(x), r)
    np.testing.assert_array_equal(oracle.jacobian(x), J)
    assert oracle.value(x) == ours.value(x)
    value, gradient = oracle.value_and_gradient(x)
    assert value == ours.value(x)
    np.testing.assert_array_equal(gradient, J.T @ r)
    np.testing.assert_array_equal(oracle.jvp(x, v), J @ v)
    np.testing.assert_array_equal(oracle.vjp(x, r), J.T @ r)
    np.testing.assert_array_equal(oracle.gnvp(x, v), J.T @ (J @ v))
    bend = oracle.second(x, v, r, J @ v)  # by differences: exact for parabolas
    np.testing.assert_allclose(bend, ours.second(x, v, r, J @ v), atol=1e-12)
    for ask in (lambda: oracle.hvp(x, v), lambda: oracle.hessian(x)):
        with pytest.raises(UsageError, match="second derivatives; leave jac= out"):
            ask()


def test_own_jacobian_in_the_form_of_x0():
    x0 = RNG.normal(size=(2, 3))
    oracle = Residuals(lambda x: x.ravel() ** 2, x0, jac=lambda x: np.diag(2.0 * x.ravel())
                       .reshape(6, 2, 3))  # fmt: skip
    np.testing.assert_array_equal(oracle.jacobian(x0.ravel()), np.diag(2.0 * x0.ravel()))


# What is refused


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (
            {"jac": lambda x: np.ones(3)},
            ShapeError,
            r"jac returned .* has shape \(3,\) for one of \(2,\)",
        ),
        ({"jac": lambda x: 1.0}, ShapeError, r"jac returned .* has shape \(\) for one"),
        ({"hess": lambda x: np.eye(3)}, ShapeError, r"hess returned shape \(3, 3\)"),
        ({"hess": lambda x: np.ones(2)}, ShapeError, r"it must be \(2, 2\)"),
        ({"hessp": lambda x, v: np.ones(1)}, ShapeError, r"hessp returned .* has shape \(1,\)"),
    ],
)
def test_own_derivatives_of_other_shapes(given, error, match):
    given = {"jac": lambda x: 2.0 * x, **given}
    oracle = Objective(lambda x: float(x @ x), np.ones(2), **given)
    x = oracle.variables.start
    with pytest.raises(error, match=match):
        _ = oracle.value_and_gradient(x), oracle.hessian(x)


@pytest.mark.parametrize("J", [np.eye(3), np.ones((2, 1)), 1.0, np.ones((2, 1, 1))])
def test_own_jacobians_of_other_shapes(J):
    oracle = Residuals(lambda x: x, np.ones(2), jac=lambda x: J)
    with pytest.raises(ShapeError, match=r"jac returned shape .*; it must be \(m, 2\)"):
        oracle.jacobian(np.ones(2))


@pytest.mark.parametrize("jac", [True, "2-point", 3.0])
def test_what_is_no_jacobian(jac):
    with pytest.raises(UsageError, match="Residuals: jac must be a function"):
        Residuals(lambda x: x, np.ones(2), jac=jac)


@pytest.mark.parametrize("given", [{"hess": np.eye}, {"hessp": np.dot}])
def test_second_derivatives_without_first_ones(given):
    with pytest.raises(UsageError, match="hess and hessp go with jac"):
        Objective(lambda x: 0.0, np.ones(2), **given)


@pytest.mark.parametrize(
    ("returned", "match"),
    [
        (lambda x: x, r"an array of shape \(2,\); reduce it with mg.sum"),
        (lambda x: x[:0], r"an array of shape \(0,\)"),
        (lambda x: None, "returned None"),
        (lambda x: "low", "returned 'low'"),
        (lambda x: [1.0, 2.0], r"returned an array of shape|returned \["),
        (lambda x: {"loss": mg.sum(x)}, "returned {"),
        (lambda x: 1j, "returned 1j"),
    ],
)
def test_functions_of_more_than_a_number(returned, match):
    oracle = Objective(returned, np.ones(2))
    for ask in (oracle.value, oracle.value_and_gradient, oracle.hessian):
        with pytest.raises(ShapeError, match=match):
            ask(oracle.variables.start)


def test_a_number_in_a_list():
    oracle = Objective(lambda x: [mg.sum(x)], np.ones(2))
    with pytest.raises(ShapeError, match="must return one number"):
        oracle.value_and_gradient(oracle.variables.start)


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_one_number_in_an_array(shape):
    oracle = Objective(lambda x: mg.reshape(mg.sum(x**2), shape), np.ones(2))
    x = oracle.variables.start
    assert oracle.value_and_gradient(x)[0] == oracle.value(x) == 2.0
    given = Objective(lambda x: np.full(shape, x @ x), np.ones(2), jac=lambda x: 2.0 * x)
    assert given.value(x) == 2.0


@pytest.mark.parametrize("returned", [None, "low", [], {}, [None]])
def test_no_residuals(returned):
    oracle = Residuals(lambda x: returned, np.ones(2))
    for ask in (oracle.residuals, oracle.jacobian, oracle.value_and_gradient):
        with pytest.raises(UsageError, match="must return residuals"):
            ask(oracle.variables.start)


def test_residuals_in_all_their_forms():
    x = np.array([3.0, 4.0])
    for form in (
        lambda x: x,
        lambda x: [x[0], x[1]],
        lambda x: (mg.reshape(x, (2, 1)),),
        lambda x: {"a": x[:1], "b": [x[1], None]},
        lambda x: [x[0], [mg.reshape(x[1:], (1, 1, 1))]],
    ):
        oracle = Residuals(form, np.ones(2))
        np.testing.assert_array_equal(oracle.residuals(x), x)
        np.testing.assert_array_equal(oracle.jacobian(x), np.eye(2))
    both = Residuals(lambda x: [x, np.ones((1, 2)), 5], np.ones(2))  # also such as hold no x
    np.testing.assert_array_equal(both.residuals(x), [3.0, 4.0, 1.0, 1.0, 5.0])
    np.testing.assert_array_equal(both.jacobian(x), np.eye(5)[:, :2])
    none = Residuals(lambda x: Tensor(np.ones(3)), np.ones(2))
    np.testing.assert_array_equal(none.jacobian(x), np.zeros((3, 2)))
    np.testing.assert_array_equal(none.vjp(x, np.ones(3)), np.zeros(2))
    np.testing.assert_array_equal(none.jvp(x, np.ones(2)), np.zeros(3))
    lost = Residuals(lambda x: x.data, np.ones(2))  # their derivative is not 0, as it would seem
    for ask in (lost.jacobian, lost.value_and_gradient):
        with pytest.raises(GraphError, match="returned plain numbers"):
            ask(x)


@pytest.mark.parametrize(
    ("x0", "error"),
    [
        ([], UsageError),
        ({}, UsageError),
        (None, UsageError),
        ([None], UsageError),
        (np.zeros((0, 3)), UsageError),
        ({"a": [], "b": None}, UsageError),
        (nn.Sequential(), UsageError),
        ("start", DTypeError),
        (1j, DTypeError),
        (nn.Linear, DTypeError),
        (np.array([1, 2]), DTypeError),
        ([1.0, "a"], DTypeError),
        (np.ma.array([1.0]), DTypeError),
    ],
    ids=str,
)
def test_starts_without_numbers(x0, error):
    for kind in KINDS:
        with pytest.raises(error):
            kind(number, x0)


def test_all_frozen():
    net = network()
    for p in net.parameters():
        p.requires_grad = False
    with pytest.raises(UsageError, match="no number to search over"):
        Objective(number, net)


@every_kind
def test_what_is_no_function(kind):
    with pytest.raises(UsageError, match=f"{kind.__name__}: give a function, got ndarray"):
        kind(np.ones(2), np.ones(2))


def test_one_kind_is_not_the_other():
    with pytest.raises(UsageError, match="least_squares: f is an Objective"):
        optim.least_squares(Objective(number, 1.0), 1.0)
    with pytest.raises(UsageError, match="minimize: f is of Residuals"):
        optim.minimize(Residuals(several, 1.0), 1.0)


@every_kind
def test_plain_numbers_have_no_derivative(kind):
    """Better an error than the gradient 0, which says that all is done."""
    oracle = kind(lambda x: float(mg.sum(x * x).data), np.ones(2))
    x = oracle.variables.start
    assert oracle.value(x) == 2.0  # ½·2² of residuals
    for ask in (oracle.value_and_gradient, oracle.hessian, lambda x: oracle.hvp(x, x)):
        with pytest.raises(GraphError, match="plain numbers"):
            ask(x)
    if kind is Residuals:
        for ask in (oracle.jacobian, lambda x: oracle.jvp(x, x), lambda x: oracle.vjp(x, x[:1])):
            with pytest.raises(GraphError, match="plain numbers"):
                ask(x)


@pytest.mark.parametrize("nothing", [np.inf, np.nan, -np.inf])
@every_kind
def test_plain_infinity_is_a_way_to_say_no(kind, nothing):
    oracle = kind(lambda x: nothing, np.ones(2))
    value, _ = oracle.value_and_gradient(oracle.variables.start)
    assert not np.isfinite(value)


# Parameters of modules


@every_kind
@pytest.mark.parametrize(
    ("name", "jit"),
    [*((name, False) for name in FORMS), *((name, "numpy") for name in ("nodes", *MODULES))],
)
def test_asking_changes_nothing(name, kind, jit):
    x0, f, residuals, *_ = case(name)
    nodes = x0.parameters() if name in MODULES else [x for x in leaves(x0) if hasattr(x, "grad")]
    for node in nodes:
        node.grad = 7.0 * node.data
    before = [(node.data, node.grad, node.index) for node in nodes]
    oracle = kind(f if kind is Objective else residuals, x0, jit=jit)
    start = oracle.variables.start.copy()
    for x in points(oracle, 3):
        held = x.copy()
        asked(oracle, x, np.ones(len(x)))
        np.testing.assert_array_equal(x, held)
    np.testing.assert_array_equal(oracle.variables.start, start)
    for node, (data, grad, index) in zip(nodes, before):
        assert node.data is data
        assert node.grad is grad
        assert node.index == index
        assert node.op is None


@every_kind
def test_a_function_that_raises_changes_nothing(kind):
    net = network()
    before = [(p.data, p.index) for p in net.parameters()]

    def fails(m):
        mg.sum(m(X)).backward()
        raise ZeroDivisionError

    oracle = kind(fails, net)
    for ask in (oracle.hessian, oracle.value_and_gradient):
        with pytest.raises(ZeroDivisionError):
            ask(oracle.variables.start)
    assert [(p.data, p.index) for p in net.parameters()] == before
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("make", [network, network_of_values])
@every_kind
def test_a_module_has_its_parameters_inside_of_f(kind, make):
    """As where weights are penalised: without them the penalty is 0, and no one is told."""
    net, count = make(), []

    def penalised(m):
        count.append(len(m.parameters()))
        return sum(mg.sum(p * p) for p in m.parameters()) + 0.0 * mg.sum(m([0.1, 0.2]))

    oracle = kind(penalised, net, jit=False)
    x = oracle.variables.start
    s = float(x @ x)
    expected = s if kind is Objective else 0.5 * s * s
    slope = 2.0 * x if kind is Objective else 2.0 * s * x
    assert oracle.value(x) == pytest.approx(expected)
    value, gradient = oracle.value_and_gradient(x)
    assert value == pytest.approx(expected)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)
    assert oracle.hessian(x).any()
    assert set(count) == {len(net.parameters())}
