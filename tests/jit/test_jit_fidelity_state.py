"""What a jitted function is given and returns, and the state that it leaves behind."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from fidelity import CALLS, World, agree, jit

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.errors import TraceError

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(4, 3))
VECTOR = RNG.normal(size=3)


def calls(*args, count=CALLS):
    return [tuple(args) for _ in range(count)]


class Pair(NamedTuple):
    first: object
    second: object


# Arguments and results


LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "reversed": lambda x: x[::-1, ::-1],
    "float32": lambda x: x.astype(np.float32),
    "float32 reversed": lambda x: x.astype(np.float32)[::-1],
    "whole numbers": lambda x: (10.0 * x).astype(np.int64),
    "int8": lambda x: (10.0 * x).astype(np.int8),
    "truth values": lambda x: x > 0.0,
    "0-d": lambda x: np.array(x[0, 0]),
    "empty": lambda x: x[:0],
    "one": lambda x: x[:1, :1],
    "repeated": lambda x: np.broadcast_to(x[0], x.shape),
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
}
FUNCTIONS = {
    "rows": lambda x: mg.sum(mg.tanh(Tensor(x, requires_grad=False, dtype=float)) * 2.0),
    "operators": lambda x: (-(x * 2 + 1), x - x, x / 4, x > 0, x**2, abs(x)),
    "numpy": lambda x: (np.sum(x, 0), np.concatenate([x, x]) if x.ndim else x, np.where(x, x, 1)),
    "methods": lambda x: (x.sum(), x.reshape(-1), x.astype(np.float32), x.copy(), x.prod()),
    "reductions": lambda x: (np.maximum(x, 0).sum(-1) if x.ndim else x, x.T, x.max(initial=0)),
    "views": lambda x: (x[..., ::-1], x[...], x.ravel()) if x.ndim else x[()],
    "itself": lambda x: x,
    "twice": lambda x: [x, x],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_kind_of_array(layout, function):
    if layout == "truth values" and function == "operators":
        pytest.skip("NumPy does not negate or subtract these")
    x = LAYOUTS[layout](MATRIX)
    agree(lambda: World(FUNCTIONS[function], calls(x)))


NUMBERS = {
    "float": 1.5, "int": 3, "bool": True, "minus zero": -0.0, "nan": float("nan"),
    "float64": np.float64(1.5), "float32": np.float32(1.5), "int64": np.int64(3),
    "bool_": np.bool_(True),
}  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_number_promotes_as_it_does_eagerly(kind, dtype):
    a = MATRIX.astype(dtype)

    def f(x):
        n = 2
        return (
            x * a, x + 1, 1 - x, x * 2.0, n * x, x / 2, x**2, 2.0**x, x < 2, -(+x) if x != 1 else x,
            mg.exp(x), mg.Tensor(a) * x, mg.Value(1.0) * x, np.add(x, a), np.sqrt(x * x), abs(x),
            x == 3,
        )  # fmt: skip

    agree(lambda: World(f, calls(NUMBERS[kind])))


def test_python_numbers_stay_pythons():
    def f(x, n):
        k = n + 1 if x > 0.0 else n
        return x * k, x / k, x**k, k // 2, x // 2.0, x % 1.0, x <= k, k * 2.5, x.is_integer(), k

    agree(lambda: World(f, [(0.5 * i, 3) for i in range(1, 6)]))


STRUCTURES = {
    "list": [1.5, [VECTOR, 2.0]],
    "tuple": (VECTOR, (1.0,), ()),
    "dict": {"b": VECTOR, "a": {"x": 1.5, "none": None}},
    "named tuple": Pair(VECTOR, 2.0),
    "mixed": [{"a": (VECTOR, [1.0])}, None, "word", 3, True],
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_of_arguments_and_results(structure):
    def f(given, *, scale):
        def doubled(x):
            if isinstance(x, dict):
                return {key: doubled(v) for key, v in x.items()}
            if isinstance(x, tuple) and hasattr(x, "_fields"):
                return type(x)(*map(doubled, x))
            if isinstance(x, (list, tuple)):
                return type(x)(map(doubled, x))
            return x if x is None or isinstance(x, (str, int)) else mg.tanh(x * scale)

        return doubled(given), given

    def with_keyword(given):
        return f(given, scale=0.5)

    jitted = agree(lambda: World(with_keyword, calls(STRUCTURES[structure])))
    if isinstance(STRUCTURES[structure], dict):
        assert list(jitted(STRUCTURES[structure])[0]) == list(STRUCTURES[structure])


def test_keywords_and_defaults():
    jitted = jit(lambda x, /, y=2.0, *rest, z=3.0, **more: x + y * z + sum(rest) + more["w"])
    for i in range(4):
        x = float(i)
        assert jitted(x, w=1.0) == x + 7.0
        assert jitted(x, 5.0, 1.0, z=x, w=x) == x + 5.0 * x + 1.0 + x
        assert jitted(x, w=x, z=2.0) == jitted(x, z=2.0, w=x) == x + 4.0 + x


def test_nodes_as_arguments_and_results():
    def f(v, t, nodes):
        return v * 2.0, {"t": t, "tanh": mg.tanh(t) + nodes["a"], "plain": t.data * 2.0}

    def make():
        a = Tensor(MATRIX, requires_grad=False, name="a")
        v, t = Value(2.0, requires_grad=False), Tensor(VECTOR, requires_grad=False, name="t")
        return World(f, calls(v, t, {"a": a}))

    agree(make)


def test_a_node_that_requires_a_gradient_runs_eagerly_and_keeps_its_graph():
    w = Tensor(VECTOR)
    jitted = jit(lambda w: mg.sum(w * w))
    for _ in range(4):
        w.grad = None
        y = jitted(w)
        y.backward()
        np.testing.assert_array_equal(w.grad, 2.0 * VECTOR)


def test_gradients_of_arguments_can_be_read():
    def f(t):
        return t.grad * 2.0, t

    def make():
        t = Tensor(VECTOR, requires_grad=False)
        t.grad = VECTOR + 1.0
        return World(f, calls(t))

    agree(make)


def test_shapes_dtypes_and_fixed_arguments_get_programs_of_their_own():
    def f(x, n, word):
        return mg.sum(x * n), word

    made = [
        (x, n, word)
        for x in (VECTOR, MATRIX, VECTOR.astype(np.float32), 2.0, MATRIX[:, 0])
        for n in (1, 2, True, 1.0)
        for word in ("a", "b")
    ]
    agree(lambda: World(f, made * 3))


def test_results_are_nobody_elses():
    def f(x):
        y = x * 2.0
        return y, y[::2], x, np.zeros(3)

    jitted = jit(f)
    for _ in range(4):
        x = VECTOR.copy()
        results = jitted(x)
        before = [r.copy() for r in results]
        for r in results:
            r[...] = 7.0
        again = jitted(VECTOR)
        for a, b in zip(before, again):
            np.testing.assert_array_equal(a, b)


def test_a_result_is_not_written_by_later_calls():
    w = Tensor(VECTOR)
    opt = optim.SGD([w], lr=0.1)

    def step(x):
        opt.zero_grad()
        loss = mg.sum((w * x) ** 2)
        loss.backward()
        opt.step()
        return w.grad, w.data, loss

    jitted = jit(step)
    kept = [jitted(VECTOR) for _ in range(6)]
    copies = [(g.copy(), x.copy(), loss.data.copy()) for g, x, loss in kept]
    for _ in range(5):
        jitted(VECTOR)
    for (g, x, loss), (h, y, data) in zip(kept, copies):
        np.testing.assert_array_equal(g, h)
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(loss.data, data)


def test_returning_a_parameter_returns_the_parameter():
    w = Tensor(VECTOR, name="w")
    jitted = jit(lambda x: (w, w * x))
    for _ in range(4):
        assert jitted(2.0)[0] is w


# Leaves and their gradients


def test_gradients_accumulate_over_calls():
    def make():
        w, v = Tensor(MATRIX), Value(0.5)

        def f(x):
            mg.sum(mg.tanh(w @ x) * v).backward()

        return World(f, calls(VECTOR, count=6), [w, v])

    agree(make)


def test_gradients_can_be_set_and_taken_away_between_calls():
    def make():
        w, v = Tensor(VECTOR), Value(0.5)

        def f(x):
            mg.sum(w * x * v).backward()
            return w.grad * 1.0

        def between(i):
            if i == 3:
                w.grad, v.grad = np.full(3, 7.0), 7.0
            if i == 5:
                w.grad = v.grad = None
            if i == 8:
                w.grad = np.ones(3, np.float32)
            if i == 9:
                v.grad = np.float64(1.0)

        return World(f, calls(VECTOR, count=12), [w, v], between)

    agree(make)


def test_gradients_set_inside():
    def make():
        w, v = Tensor(VECTOR), Value(0.5)

        def f(x):
            w.grad = x * 2.0
            v.grad = 1.5
            (v * 2.0).backward()
            w.grad += 1.0
            return v.grad

        return World(f, calls(VECTOR), [w, v])

    agree(make)


def test_gradients_in_the_middle_of_a_graph():
    def f(x):
        w = Tensor(x)
        y = mg.tanh(w)
        mg.sum(y * y).backward()
        return y.grad, w.grad, y

    agree(lambda: World(f, calls(VECTOR)))


def test_data_assigned_between_calls_and_inside():
    def make():
        w, v = Tensor(VECTOR), Value(0.5)

        def f(x):
            y = mg.sum(w * x) * v
            w.data = w.data * 0.9 + x
            v.data = v.data + 1.0
            return y, w.data

        def between(i):
            if i == 4:
                w.data = [1, 2, 3]
                v.data = 7

        return World(f, calls(VECTOR, count=7), [w, v], between)

    agree(make)


def test_data_written_in_place_between_calls():
    def make():
        w = Tensor(VECTOR)

        def between(i):
            if i == 3:
                w.data[1] = 5.0

        return World(lambda: mg.sum(w * w), calls(count=5), w, between)

    agree(make)


def test_data_written_in_place_inside():
    def make():
        w = Tensor(MATRIX)

        def f(x):
            w.data[0] = x
            w.data += 1.0
            w.data[:, 1:] *= 2.0
            w.data.T[0] -= 1.0
            return w.data

        return World(f, calls(VECTOR), w)

    agree(make)


def test_requires_grad_changed_between_calls():
    def make():
        w, v = Tensor(VECTOR), Tensor(VECTOR + 1.0)

        def f(x):
            w.grad = v.grad = None
            mg.sum(w * v * x).backward()

        def between(i):
            v.requires_grad = i not in (4, 5, 6)

        return World(f, calls(VECTOR, count=9), [w, v], between)

    agree(make)


def test_other_leaves_in_the_same_function_are_other_leaves():
    def make():
        weights = [Tensor(VECTOR + i) for i in range(2)]
        turn = [0]

        def f(x):
            w = weights[turn[0]]
            w.grad = None
            mg.sum(w * w * x).backward()
            return w

        def between(i):
            turn[0] = i % 2

        return World(f, calls(VECTOR, count=8), weights, between)

    with pytest.raises(TraceError, match="does now this and now that"):
        agree(make)


def test_a_leaf_made_inside_is_an_inner_one():
    def f(x):
        w = Tensor(x, name="w")
        mg.sum(w * w).backward()
        w.data = w.data * 2.0
        return w, w.grad

    agree(lambda: World(f, calls(VECTOR)))


def test_detached_copies_and_no_grad():
    def make():
        w = Tensor(VECTOR)

        def f(x):
            w.grad = None
            with mg.no_grad():
                fixed = mg.tanh(w)
            mg.sum(w * x * fixed * w.detach()).backward()
            return fixed, w.detach(), w.item() if w.size == 1 else w.numpy()

        return World(f, calls(VECTOR), w)

    agree(make)


# Modules


def network(rng=0):
    return nn.Sequential(nn.Linear(3, 4, rng=rng), nn.BatchNorm(4), mg.tanh, nn.Dropout(0.5, rng=5),
                         nn.Linear(4, 2, rng=1))  # fmt: skip


def training(model, optimizer):
    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_a_network_with_buffers_and_dropout():
    labels = np.array([0, 1, 1, 0])

    def make():
        model = network()
        opt = optim.AdamW(model.named_parameters(), lr=0.05)
        generator = model.layers[3].rng
        return World(training(model, opt), calls(MATRIX, labels, count=8), [model, opt, generator])

    agree(make)


def test_training_mode_changed_between_calls():
    def make():
        model = network()

        def between(i):
            (model.eval if i in (3, 4, 5, 9) else model.train)()

        state = [model, model.layers[3].rng]
        return World(lambda x: model(x), calls(MATRIX, count=11), state, between)

    agree(make)


def test_settings_of_layers_changed_between_calls():
    def make():
        model = network()

        def between(i):
            if i == 4:
                model.layers[3].p = 0.2
                model.layers[1].momentum = 0.3

        return World(lambda x: model(x), calls(MATRIX, count=7), model, between)

    agree(make)


def test_a_generator_drawn_from_between_calls():
    def make():
        layer = nn.Dropout(0.5, rng=3)

        def between(i):
            if i % 2:
                layer.rng.random(i)

        return World(lambda x: layer(x), calls(MATRIX, count=6), layer.rng, between)

    agree(make)


def test_a_generator_put_in_another_ones_place():
    def make():
        layer = nn.Dropout(0.5, rng=3)

        def between(i):
            if i == 3:
                layer.rng = np.random.default_rng(11)

        return World(lambda x: layer(x), calls(MATRIX, count=7), [layer.rng], between)

    agree(make)


def test_states_loaded_between_calls():
    labels = np.array([0, 1, 1, 0])

    def make():
        model = network()
        opt = optim.AdamW(model.named_parameters(), lr=0.05)
        saved = {}

        def between(i):
            if i == 2:
                saved["model"], saved["opt"] = model.state_dict(), opt.state_dict()
            if i in (4, 7):
                model.load_state_dict(saved["model"])
                opt.load_state_dict(saved["opt"])

        return World(training(model, opt), calls(MATRIX, labels, count=9), [model, opt], between)

    agree(make)


def test_layers_frozen_between_calls():
    labels = np.array([0, 1, 1, 0])

    def make():
        model = network()
        opt = optim.SGD(model.named_parameters(), lr=0.05)

        def between(i):
            if i == 3:
                model.layers[0].freeze()
            if i == 6:
                model.layers[0].unfreeze()

        return World(training(model, opt), calls(MATRIX, labels, count=9), [model, opt], between)

    agree(make)


def test_minibatches_by_traced_numbers():
    data, classes = Tensor(MATRIX, requires_grad=False), np.array([0, 1, 1, 0])

    def make():
        model = nn.Linear(3, 2, rng=0)
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        step = training(model, opt)

        def on_batch(x, labels, i):
            return step(x[i], labels[i]), mg.take(data, i, axis=0), data[i], x[i, 1]

        order = np.random.default_rng(1)
        batches = [(MATRIX, classes, order.permutation(4)[:2]) for _ in range(6)]
        return World(on_batch, batches, [model, opt])

    agree(make)


def test_scalar_networks():
    def make():
        model = nn.scalar.MLP(3, [4, 1], rng=0)
        opt = optim.SGD(model.parameters(), lr=0.05)

        def step(rows, signs):
            opt.zero_grad()
            loss = sum((1 + -sign * model(row)).relu() for row, sign in zip(rows, signs)) * 0.25
            loss.backward()
            opt.step()
            return loss

        rows = [[float(x) for x in row] for row in MATRIX]
        return World(step, calls(rows, [1, -1, 1, -1], count=6), [model, opt])

    agree(make)


def test_rows_of_an_array_into_a_scalar_network():
    def make():
        model = nn.scalar.MLP(3, [2, 1], rng=0)
        return World(lambda x: [model(row) for row in x], calls(MATRIX), model)

    agree(make)
