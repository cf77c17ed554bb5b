"""K-FAC: steps against exact solutions, closures, options, states, and all that may go wrong."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from kfac_cases import LABELS, RNG, TARGETS, X, data, entropy, flat, kfac, squares, with_ones

import microgradopt as mg
from microgradopt import datasets, nn, optim
from microgradopt.errors import LinAlgError, NonFiniteError, StateError, TraceError, UsageError
from microgradopt.optim.kronecker.factors import damped_inverses
from microgradopt.optim.kronecker.step import LEAST_DAMPING, SHRINKING, adapted, lowest

# Steps that are known


@pytest.mark.parametrize("bias", [True, False])
def test_it_solves_a_linear_regression_in_one_step(bias):
    model = nn.Linear(3, 2, bias, rng=0)
    kfac(model, damping=0.0, likelihood="gaussian", samples=None).step(squares(model))
    solution = np.linalg.lstsq(with_ones(X) if bias else X, TARGETS)[0].T
    np.testing.assert_allclose(model.weight.data, solution[:, :3], rtol=1e-12)
    if bias:
        np.testing.assert_allclose(model.bias.data, solution[:, 3], rtol=1e-12)


def test_an_exact_step_makes_up_for_what_was_drawn():
    """With a single output G is a number, and the exact model finds the right length for any."""
    model = nn.Linear(3, 1, rng=0)
    optimizer = kfac(model, damping=0.0, likelihood="gaussian", exact=True)
    optimizer.step(lambda: 7.0 * nn.mse(model(X), TARGETS[:, :1]))
    solution = np.linalg.lstsq(with_ones(X), TARGETS[:, :1])[0].T
    np.testing.assert_allclose(model.weight.data, solution[:, :3], rtol=1e-12)


def test_many_draws_come_close_to_the_expectation():
    model = nn.Linear(3, 2, rng=0)
    kfac(model, damping=0.0, likelihood="gaussian", samples=4000).step(squares(model))
    solution = np.linalg.lstsq(with_ones(X), TARGETS)[0].T
    np.testing.assert_allclose(model.weight.data, solution[:, :3], rtol=0.05, atol=0.02)


def test_large_damping_makes_it_plain_descent():
    model = nn.MLP(3, [5, 4], rng=0)
    before = data(model)
    kfac(model, lr=1e6, damping=1e6).step(entropy(model))
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.data, before[name] - p.grad, rtol=1e-2, atol=1e-4)


# The directions, and their lengths


def test_damping_is_shared_out_by_the_sizes_of_the_factors():
    A, G = np.diag([1.0, 3.0]), np.diag([8.0, 8.0, 8.0])
    over_A, over_G = damped_inverses(A, G, 0.04, "w")  # π = ½
    np.testing.assert_allclose(over_A, np.diag([1 / 1.1, 1 / 3.1]), rtol=1e-15)
    np.testing.assert_allclose(over_G, np.eye(3) / 8.4, rtol=1e-15)
    for a, g in ((A, 0 * G), (0 * A, G)):  # π = 1
        over_A, over_G = damped_inverses(a, g, 0.04, "w")
        np.testing.assert_allclose(over_A @ (a + 0.2 * np.eye(2)), np.eye(2), atol=1e-15)
        np.testing.assert_allclose(over_G @ (g + 0.2 * np.eye(3)), np.eye(3), atol=1e-15)


def test_the_direction_solves_the_damped_equations():
    model = nn.Linear(3, 4, rng=0)
    before = data(model)
    optimizer = kfac(model, lr=0.3, damping=0.02)
    optimizer.step(entropy(model))
    own = optimizer.state["layers"]["weight"]
    moves = [p.data - before[name] for name, p in model.named_parameters()]
    delta = np.column_stack(moves)
    V = np.column_stack([p.grad for p in model.parameters()])
    ratio = np.sqrt(np.trace(own["A"]) / 4 / (np.trace(own["G"]) / 4))
    A, G = (
        own["A"] + ratio * np.sqrt(0.02) * np.eye(4),
        own["G"] + np.sqrt(0.02) / ratio * np.eye(4),
    )
    np.testing.assert_allclose(G @ delta @ A, -0.3 * V, rtol=1e-10, atol=1e-13)


def test_averages_start_without_a_bias_and_go_on_by_decay():
    model = nn.Linear(3, 2, rng=0)
    optimizer = kfac(model, lr=0.0, decay=0.7, likelihood="gaussian")
    batches = RNG.normal(size=(5, 12, 3))
    expected = 0.0
    for k, (x, keep) in enumerate(zip(batches, (0.0, 0.5, 2 / 3, 0.7, 0.7)), 1):
        optimizer.step(squares(model, x))
        expected = keep * expected + (1 - keep) * with_ones(x).T @ with_ones(x) / 12
        own = optimizer.state["layers"]["weight"]
        assert own["measured"] == k
        np.testing.assert_allclose(own["A"], expected, rtol=1e-12)


def test_factors_are_measured_every_so_often():
    model = nn.Linear(3, 2, rng=0)
    optimizer = kfac(model, lr=0.01, update_every=3, likelihood="gaussian")
    counts = []
    for _ in range(7):
        optimizer.step(squares(model))
        counts.append(optimizer.state["layers"]["weight"]["measured"])
    assert counts == [1, 1, 1, 2, 2, 2, 3]


def test_momentum_adds_a_part_of_the_last_step():
    model = nn.MLP(3, [4, 4], rng=0)
    optimizer = kfac(model, lr=lambda step: 0.1 / step, momentum=0.5, samples=None)
    points, natural = [flat(data(model))], []
    for _ in range(3):
        other = copy.deepcopy(model)
        alone = kfac(other, lr=1.0, samples=None)
        alone.step(entropy(other))
        natural.append(flat(data(other)) - points[-1])
        optimizer.step(entropy(model))
        points.append(flat(data(model)))
    moves = np.diff(points, axis=0)
    np.testing.assert_allclose(moves[0], 0.1 * natural[0], rtol=1e-10)
    np.testing.assert_allclose(moves[1], 0.5 * moves[0] + 0.05 * natural[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        moves[2], 0.5 * moves[1] + 0.1 / 3 * natural[2], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("most", [1e-4, 1e6])
def test_clipping_bounds_the_size_in_the_damped_fisher_norm(most):
    model = nn.Sequential(nn.Linear(3, 5, rng=0), nn.PReLU(), nn.Linear(5, 4, rng=1))
    other = copy.deepcopy(model)
    before = data(model)
    kfac(model, lr=0.5, clip=most).step(entropy(model))
    kfac(other, lr=0.5).step(entropy(other))
    size = 0.0
    for name, p in model.named_parameters():
        if "layers.1" not in name:
            size -= np.sum((p.data - before[name]) * p.grad) * 0.5
    free, bound = flat(data(other)) - flat(before), flat(data(model)) - flat(before)
    if most > 1.0:
        np.testing.assert_array_equal(bound, free)
        return
    ratio = np.delete(bound / free, 20)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-8)
    # δᵀFδ = −lr·ν·δᵀ∇, as δ = −lr·ν·F⁻¹∇
    np.testing.assert_allclose(size * ratio[0], most, rtol=1e-8)
    np.testing.assert_allclose(bound[20], free[20], rtol=1e-12)  # the slope's step is plain


def gauss_newton(model, loss):
    """The dense matrix over all parameters, by mg.ggnvp."""
    start = data(model)
    sizes = {k: x.size for k, x in start.items()}

    def outputs(w):
        at = 0
        parts = {}
        for k, x in start.items():
            parts[k] = mg.reshape(w[at : at + sizes[k]], x.shape)
            at += sizes[k]
        h = mg.tanh(X @ parts["layers.0.weight"].T + parts["layers.0.bias"])
        return h @ parts["layers.2.weight"].T + parts["layers.2.bias"]

    w = flat(start)
    return np.array([mg.ggnvp(outputs, loss, w, e) for e in np.eye(len(w))])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_exact_step_minimizes_the_quadratic_model(momentum):
    model = nn.MLP(3, [4, 4], activation=mg.tanh, rng=0)
    loss = lambda z: nn.cross_entropy(z, LABELS)  # noqa: E731
    optimizer = kfac(model, momentum=momentum, damping=0.05, exact=True, samples=None)
    optimizer.step(entropy(model))
    last = flat(optimizer.state["last"])
    matrix = gauss_newton(model, loss) + 0.05 * np.eye(len(last))
    other = copy.deepcopy(model)
    kfac(other, damping=0.05, samples=None).step(entropy(other))
    natural = flat(data(other)) - flat(data(model))
    optimizer.step(entropy(model))
    slope = flat({k: p.grad for k, p in model.named_parameters()})
    found = flat(optimizer.state["last"])
    span = np.stack([natural, last] if momentum else [natural])
    best = np.linalg.solve(span @ matrix @ span.T, -span @ slope)
    np.testing.assert_allclose(found, best @ span, rtol=1e-8, atol=1e-12)


def test_lowest_points_of_small_models():
    M, s = np.array([[2.0, 0.5], [0.5, 1.0]]), [1.0, -3.0]
    np.testing.assert_allclose(lowest(M, s), np.linalg.solve(M, np.negative(s)), rtol=1e-15)
    assert lowest(np.array([[2.0]]), [-3.0]) == (1.5, 0.0)
    assert lowest(np.array([[2.0, 2.0], [2.0, 2.0]]), [-3.0, -3.0]) == (1.5, 0.0)  # the same twice
    assert lowest(np.array([[2.0, 0.0], [0.0, -1.0]]), [-3.0, -3.0]) == (1.5, 0.0)
    assert lowest(np.array([[-1.0]]), [-3.0]) == (1.0, 0.0)
    assert lowest(np.array([[0.0]]), [0.0]) == (1.0, 0.0)


@pytest.mark.parametrize(
    "loss", [mg.sum, lambda z: -mg.sum(z * z), lambda z: mg.sum(z) * 0.0 + 1.0]
)
def test_exact_steps_where_the_loss_has_no_lowest_point(loss):
    """The direction itself is taken then."""
    ways = []
    for exact in (True, False):
        model = nn.Linear(3, 2, rng=0)
        optimizer = kfac(model, damping=0.0, exact=exact, likelihood="gaussian")
        optimizer.step(lambda m=model: loss(m(X)))
        ways.append(flat(data(model)))
    np.testing.assert_array_equal(*ways)


# Damping that adapts


def test_damping_follows_the_ratio_of_changes():
    assert adapted(0.1, -0.8, -1.0) == 0.1 * SHRINKING
    assert adapted(0.1, -0.5, -1.0) == 0.1
    assert adapted(0.1, -0.2, -1.0) == adapted(0.1, 0.5, -1.0) == 0.1 / SHRINKING
    assert adapted(0.1, -0.1, 1.0) == 0.1 * SHRINKING  # better than it said
    assert adapted(0.1, 0.1, 0.0) == 0.1
    for change in (np.inf, np.nan):
        assert adapted(0.1, change, -1.0) == 0.1 / SHRINKING
    assert adapted(LEAST_DAMPING, -1.0, -1.0) == LEAST_DAMPING


def test_damping_falls_while_the_model_is_right_and_the_closure_is_called_once_more():
    model = nn.Linear(3, 2, rng=0)
    calls = []

    def closure():
        calls.append(None)
        return squares(model)()

    optimizer = kfac(model, lr=0.1, damping=0.5, adapt=True, likelihood="gaussian")
    for _ in range(10):
        optimizer.step(closure)
    assert len(calls) == 12
    assert optimizer.state["damping"] == pytest.approx(0.5 * SHRINKING**2)
    assert optimizer.param_groups[0]["damping"] == 0.5


def test_damping_rises_where_the_model_is_wrong():
    model = nn.Linear(3, 2, rng=0)
    optimizer = kfac(model, exact=True, damping=0.5, adapt=True, likelihood="gaussian")
    for _ in range(4):
        optimizer.step(squares(model))
    batches = iter([X, 100.0 * X])  # a closure's batch should stay the same
    optimizer.step(lambda: squares(model, next(batches))())
    assert optimizer.state["damping"] == pytest.approx(0.5 / SHRINKING)


def test_the_second_call_leaves_the_gradients_of_the_first():
    model, other = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=0)
    ways = []
    for m, adapt in ((model, True), (other, False)):
        optimizer = kfac(m, lr=0.1, adapt=adapt, likelihood="gaussian")
        for _ in range(5):
            optimizer.step(squares(m))
        ways.append((flat(data(m)), flat({k: p.grad for k, p in m.named_parameters()})))
    for a, b in zip(*ways):
        np.testing.assert_array_equal(a, b)


def test_an_error_in_the_second_call_leaves_a_whole_step():
    model = nn.Linear(3, 2, rng=0)
    optimizer = kfac(model, lr=0.1, adapt=True, likelihood="gaussian")
    for _ in range(4):
        optimizer.step(squares(model))
    calls = iter([True, False])
    with pytest.raises(RuntimeError, match="gone"):
        optimizer.step(lambda: squares(model)() if next(calls) else _fail())
    assert optimizer.steps == 5
    assert model.weight.grad is not None


def _fail():
    raise RuntimeError("gone")


# Closures


def test_a_closure_may_see_to_the_gradients_itself():
    ways = []
    for own in (True, False):
        model = nn.MLP(3, [5, 4], rng=0)
        optimizer = kfac(model, lr=0.1, momentum=0.9)

        def closure(model=model, optimizer=optimizer, own=own):
            loss = entropy(model)()
            if own:
                optimizer.zero_grad()
                loss.backward()
            return loss

        losses = [optimizer.step(closure).item() for _ in range(4)]
        ways.append((losses, flat(data(model))))
    assert ways[0][0] == ways[1][0]
    np.testing.assert_array_equal(ways[0][1], ways[1][1])


def test_gradients_that_a_closure_lets_add_up_are_kept():
    model = nn.Linear(3, 4, rng=0)
    optimizer = kfac(model, lr=0.0)

    def closure():
        loss = entropy(model)()
        loss.backward()
        return loss

    optimizer.step(closure)
    once = model.weight.grad.copy()
    optimizer.step(closure)
    np.testing.assert_allclose(model.weight.grad, 2.0 * once, rtol=1e-15)


def test_hooks_are_there_only_during_a_step():
    model = nn.Linear(3, 4, rng=0)
    optimizer = kfac(model)
    loss = optimizer.step(entropy(model))
    assert loss.item() > 0.0
    assert not model._hooks
    with pytest.raises(RuntimeError, match="gone"):
        optimizer.step(_fail)
    assert not model._hooks
    assert optimizer._seen.calls == optimizer._seen.outs == []


def test_closures_that_are_refused():
    model = nn.MLP(3, [5, 4], rng=0)
    optimizer = kfac(model)
    before = flat(data(model))
    with pytest.raises(UsageError, match=r"needs a closure.*step\(lambda: nn\.cross_entropy"):
        optimizer.step()
    with pytest.raises(UsageError, match=r"must return the loss.*got 1\.\d+; return it as it is"):
        optimizer.step(lambda: entropy(model)().item())
    with pytest.raises(UsageError, match=r"call the model once.*got 2 calls"):
        optimizer.step(lambda: entropy(model)() + entropy(model)())
    with pytest.raises(UsageError, match=r"call the model once.*got 0 calls; .* jitted function"):
        optimizer.step(lambda: nn.cross_entropy(model[2](model[1](model[0](X))), LABELS))
    one = nn.Linear(3, 1, rng=0)
    for last in (lambda z: z, lambda z: z[:, 0]):
        short = nn.Sequential(one, last)
        with pytest.raises(UsageError, match=r"shape \(cases, classes\), got \(12,.*gaussian"):
            kfac(short).step(lambda m=short: mg.sum(m(X)))
    pair = nn.Sequential(model, lambda z: (z, z))
    with pytest.raises(UsageError, match="one array of outputs from it, got tuple"):
        kfac(pair).step(lambda: nn.cross_entropy(pair(X)[0], LABELS))
    with pytest.raises(TraceError, match="takes a step of KFAC"):
        mg.jit(lambda: optimizer.step(entropy(model)))()
    np.testing.assert_array_equal(flat(data(model)), before)
    assert optimizer.steps == 0


# Options


def test_options_that_are_refused():
    model = nn.Linear(3, 4, rng=0)
    for thing in (model.parameters(), nn.Linear, "model"):
        with pytest.raises(UsageError, match=r"needs the model itself.*write KFAC\(model"):
            optim.KFAC(thing)
    for options, message in (
        ({"lr": -1.0}, "lr must be finite, at least 0"),
        ({"momentum": "much"}, "momentum must be a number or a schedule, got 'much'"),
        ({"damping": np.nan}, "damping must be finite"),
        ({"decay": 1.0}, "decay must be finite, at least 0 and below 1"),
        ({"clip": -1.0}, "clip must be finite, at least 0"),
        ({"clip": 1.0, "exact": True}, "leave out clip"),
        ({"update_every": 0}, "update_every must be a whole number of at least 1, got 0"),
        ({"update_every": 1.5}, "update_every must be a whole number of at least 1, got 1.5"),
        ({"update_every": True}, "update_every must be a whole number of at least 1, got True"),
        ({"samples": 0}, "samples must be a whole number of at least 1, got 0"),
        ({"likelihood": "cauchy"}, "likelihood must be one of categorical, gaussian, bernoulli"),
        ({"adapt": 1}, "adapt must be True or False, got 1"),
        ({"exact": "yes"}, "exact must be True or False, got 'yes'"),
        ({"adapt": True, "damping": 0.0}, "damping with adapt=True must be finite, at least 1e-08"),
        ({"adapt": True, "damping": lambda step: 0.1}, "damping with adapt=True must be a number"),
        ({"nonfinite": "pass"}, "nonfinite must be one of raise, skip"),
        ({"rng": -1}, "rng as a seed must be 0 or more"),
    ):
        with pytest.raises(UsageError, match=message):
            optim.KFAC(model, **options)
    with pytest.raises(UsageError, match="KFAC: params is empty"):
        optim.KFAC(nn.ReLU())


def test_rates_that_are_left_out():
    model = nn.Linear(3, 4, rng=0)
    assert optim.KFAC(model).param_groups[0]["lr"] == 0.1
    assert optim.KFAC(model, exact=True).param_groups[0]["lr"] == 1.0


def test_options_may_be_schedules_or_be_assigned():
    ways = []
    for assigned in (True, False):
        model = nn.MLP(3, [5, 4], rng=0)
        numbers = {"lr": 0.1, "momentum": 0.5, "damping": 0.1, "decay": 0.9, "clip": 0.1}
        schedules = {k: lambda step, x=x: x / step for k, x in numbers.items()}
        optimizer = optim.KFAC(model, rng=0, **(numbers if assigned else schedules))
        for step in (1, 2, 3):
            if assigned:
                optimizer.param_groups[0].update({k: x / step for k, x in numbers.items()})
            optimizer.step(entropy(model))
        ways.append(flat(data(model)))
    np.testing.assert_array_equal(*ways)


def test_what_it_is_made_of():
    model = nn.Linear(3, 4, rng=0)
    rng = np.random.default_rng(3)
    optimizer = optim.KFAC(model, rng=rng)
    assert optimizer.rng is rng
    assert list(optimizer.params) == ["weight", "bias"]
    assert optimizer.param_groups[0]["names"] == ["weight", "bias"]
    assert repr(optimizer) == "KFAC(2 parameters, 0 steps taken)"
    optimizer.step(entropy(model))
    assert (optimizer.steps, optimizer.skipped) == (1, 0)
    optimizer.zero_grad()
    assert model.weight.grad is None


# Numbers that are not finite


def snapshot(model, optimizer):
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()))


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and np.array_equal(a, b)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (np.nan, r"the gradient of 'layers\.0\.weight' has 15 entries that are NaN"),
        (1e200, r"the layer with 'layers\.0\.weight' are NaN or infinite"),
    ],
)
def test_nothing_is_changed_where_something_is_not_finite(scale, message):
    model = nn.MLP(3, [5, 4], activation=mg.tanh, rng=0)
    optimizer = kfac(model, lr=0.1, momentum=0.9, decay=0.9)
    optimizer.step(entropy(model))
    before = snapshot(model, optimizer)
    with pytest.raises(NonFiniteError, match=message):
        optimizer.step(entropy(model, X * scale))
    assert same(snapshot(model, optimizer), before)
    skipping = kfac(model, nonfinite="skip", adapt=True)
    for _ in range(6):
        skipping.step(entropy(model, X * scale))
    assert (skipping.steps, skipping.skipped) == (0, 6)
    assert same(snapshot(model, optimizer), before)


def test_factors_without_an_inverse():
    model = nn.Linear(3, 4, rng=0)
    optimizer = kfac(model, damping=0.0)
    before = snapshot(model, optimizer)
    with pytest.raises(LinAlgError, match="'weight' has no inverse at damping=0; raise damping"):
        optimizer.step(entropy(model, X * [1.0, 0.0, 1.0]))
    assert same(snapshot(model, optimizer), before)


# Saving


WAYS = {
    "plain": {"momentum": 0.0},
    "all": {"momentum": 0.9, "update_every": 3, "clip": 0.1, "samples": 2},
    "exact": {"lr": None, "momentum": 0.9, "exact": True, "adapt": True},
    "scheduled": {"lr": lambda step: 0.1 / step, "momentum": 0.5},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_run_is_gone_on_with_bit_for_bit(way, dtype, tmp_path):
    def start():
        model = nn.MLP(3, [5, 4], activation=mg.tanh, rng=0, dtype=dtype)
        return model, optim.KFAC(model, **{"lr": 0.1, "rng": 1, **WAYS[way]})

    def go_on(model, optimizer):
        for _ in range(7):
            optimizer.step(entropy(model, X.astype(dtype)))

    model, optimizer = start()
    go_on(model, optimizer)
    path = mg.save(tmp_path / "half.npz", model=model, optimizer=optimizer)
    go_on(model, optimizer)
    other, resumed = start()
    resumed.rng.random(5)
    mg.load(path, model=other, optimizer=resumed)
    go_on(other, resumed)
    assert same(snapshot(model, optimizer), snapshot(other, resumed))
    found = [*data(model).values(), *optimizer.state["last"].values()]
    for own in optimizer.state["layers"].values():
        found += [own[key] for key in ("A", "G", "A_inverse", "G_inverse")]
    assert {x.dtype for x in found} == {np.dtype(dtype)}


def test_states_that_do_not_fit():
    model = nn.MLP(3, [5, 4], rng=0)
    optimizer = kfac(model)
    optimizer.step(entropy(model))
    good, before = optimizer.state_dict(), snapshot(model, optimizer)
    assert good["optimizer"] == "KFAC"
    other = kfac(nn.MLP(3, [6, 4], rng=0)).state_dict()
    for bad, message in (
        ("state", "has that of the random generator"),
        ({k: x for k, x in good.items() if k != "generator"}, "has that of the random generator"),
        ({**good, "optimizer": "SGD"}, "KFAC: the state was saved by 'SGD'"),
        (other, "KFAC: groups.0.state.layers.* is float64 of shape"),
        (kfac(nn.Linear(3, 4)).state_dict(), "KFAC: group 0 has the parameters"),
    ):
        with pytest.raises(UsageError, match=message):
            optimizer.load_state_dict(bad)
    with pytest.raises(StateError, match="cannot take the state of 'MT19937'"):
        optimizer.load_state_dict({**good, "generator": {"bit_generator": "MT19937"}})
    assert same(snapshot(model, optimizer), before)


def test_copies_and_pickles_go_on_alike():
    model = nn.MLP(3, [5, 4], rng=0)
    optimizer = optim.KFAC(model, momentum=0.5, rng=0)
    optimizer.step(entropy(model))
    for way in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        both = model, optimizer
        other, twin = way(both)
        again = way(both)[1], way(both)
        assert repr(again[0]) == repr(optimizer)
        for _ in range(2):
            twin.step(entropy(other))
        expected_model, expected = again[1]
        for _ in range(2):
            expected.step(entropy(expected_model))
        assert same(snapshot(other, twin), snapshot(expected_model, expected))


# Training


def spiral_losses(make, seed, steps=40):
    points, classes = datasets.spiral(50, 3, rng=seed)
    model = nn.MLP(2, [20, 20, 3], activation=mg.tanh, rng=seed)
    optimizer = make(model, seed)

    def closure():
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(points), classes)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("options", [{"damping": 3e-3}, {"exact": True, "adapt": True}])
def test_it_learns_a_spiral_faster_than_gradient_descent_at_its_best(seed, options):
    found = spiral_losses(lambda m, seed: optim.KFAC(m, rng=seed, **options), seed)[-1]
    best = min(
        spiral_losses(lambda m, _, lr=lr: optim.SGD(m.parameters(), lr=lr, momentum=0.9), seed)[-1]
        for lr in (0.03, 0.1, 0.3, 1.0)
    )
    assert found < 0.25 * best


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_trains_a_convolutional_network_with_norms(dtype):
    classes = np.arange(60) % 3
    patterns = RNG.normal(size=(3, 1, 6, 6))
    x = (patterns[classes] + RNG.normal(size=(60, 1, 6, 6))).astype(dtype)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=0, dtype=dtype),
        nn.BatchNorm2d(4, dtype=dtype),
        mg.relu,
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 3, rng=1, dtype=dtype),
    )
    optimizer = optim.KFAC(model, exact=True, adapt=True, rng=0)
    losses = [optimizer.step(entropy(model, x, classes)).item() for _ in range(10)]
    assert losses[-1] < 0.01 < 1.0 < losses[0]
    assert {p.data.dtype for p in model.parameters()} == {np.dtype(dtype)}
