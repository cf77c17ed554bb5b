"""Solvers as optimizers with ``step(closure)``: every one ``optim`` exports, and torch's LBFGS."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.errors import (
    DTypeError,
    LinAlgError,
    NonFiniteError,
    ShapeError,
    TraceError,
    UsageError,
)
from microgradopt.optim import ClosureOptimizer, Residuals
from microgradopt.optim.solvers import stepping


def exported():
    things = {name: getattr(optim, name) for name in optim.__all__}
    return sorted(
        name
        for name, x in things.items()
        if inspect.isclass(x) and issubclass(x, ClosureOptimizer) and x is not ClosureOptimizer
    )


KINDS = [getattr(optim, name) for name in exported()]
CASES = [
    pytest.param(kind, options, id=f"{kind.__name__}{i}")
    for kind in KINDS
    for i, options in enumerate(kind.samples)
]
every_case = pytest.mark.parametrize(("kind", "options"), CASES)
every_kind = pytest.mark.parametrize("kind", KINDS)
T = np.linspace(-1.0, 1.0, 60)[:, None]
Y = np.sin(3.0 * T)


def of_residuals(kind):
    """Whether it wants residuals from its closures."""
    made = kind([Value(0.0)], **kind.samples[0])
    return issubclass(made.direction.oracle, Residuals)


def given(kind, residuals):
    """What the closure of a kind returns."""
    r = residuals()
    return r if of_residuals(kind) else 0.5 * mg.sum(r * r)


def start(dtype=np.float64):
    return Value(0.5, name="v"), Tensor(np.array([-0.5, 0.4, 0.3], dtype), name="t")


def bowl(v, t):
    """Residuals: a bent bowl with its minimum 0 at 2 and (1, −1, 3)."""
    away = t - np.array([1.0, -1.0, 3.0], t.dtype)
    parts = [v - 2.0, 0.3 * (v - 2.0) ** 2]
    return mg.concatenate([away + 0.1 * away**2, mg.stack(parts).astype(t.dtype)])


def run(optimizer, v, t, steps):
    kind = type(optimizer)
    return [float(optimizer.step(lambda: given(kind, lambda: bowl(v, t)))) for _ in range(steps)]


def exact(x):
    """Something to compare bit for bit."""
    if isinstance(x, dict):
        return {k: exact(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [exact(v) for v in x]
    return (x.dtype.str, x.shape, x.tobytes()) if isinstance(x, np.ndarray) else repr(x)


def snapshot(optimizer):
    return exact([[p.data for p in optimizer.params.values()], optimizer.state_dict()])


# What they do


def test_all_are_there():
    assert {"BFGS", "LBFGS", "LevenbergMarquardt", "Newton"} <= set(exported())
    for kind in KINDS:
        assert kind.samples
        assert kind.__doc__


@every_case
def test_it_finds_the_minimum(kind, options):
    v, t = start()
    losses = run(kind([v, t], **options), v, t, 60)
    assert v.data == pytest.approx(2.0, abs=1e-5)
    np.testing.assert_allclose(t.data, [1.0, -1.0, 3.0], atol=1e-5)
    assert losses[0] == pytest.approx(0.5 * float(np.sum(bowl(*start()).data ** 2)))
    assert losses[-1] < 1e-9


@every_case
def test_the_step_returns_the_loss_before_it(kind, options):
    v, t = start()
    optimizer = kind([v, t], **options)
    for _ in range(4):
        before = 0.5 * float(np.sum(bowl(v, t).data ** 2))
        loss = optimizer.step(lambda: given(kind, lambda: bowl(v, t)))
        assert loss == pytest.approx(before, rel=1e-14)
        assert isinstance(loss, float)
        assert loss.item() == loss
    assert optimizer.steps == 4


@every_case
def test_float32_stays_float32_and_values_stay_floats(kind, options):
    v, t = start(np.float32)
    run(kind([v, t], **options), v, t, 60)
    assert t.data.dtype == np.float32
    assert type(v.data) is float
    np.testing.assert_allclose(t.data, [1.0, -1.0, 3.0], atol=2e-3)


@every_case
def test_a_network_of_values(kind, options):
    """XOR's four corners, by parameters that are Values alone."""
    net = nn.scalar.MLP(2, [3, 1], activation=mg.tanh, rng=1)
    corners = [([a, b], float(a != b)) for a in (0.0, 1.0) for b in (0.0, 1.0)]
    residuals = lambda: mg.stack([net(x) - y for x, y in corners])  # noqa: E731
    optimizer = kind(net.named_parameters(), **options)
    if kind is optim.GaussNewton:  # four residuals, thirteen parameters
        with pytest.raises(LinAlgError, match="singular"):
            optimizer.step(residuals)
        return
    losses = [optimizer.step(lambda: given(kind, residuals)) for _ in range(12)]
    assert losses[-1] < 0.6 * losses[0]
    assert all(type(p.data) is float for p in net.parameters())
    assert list(optimizer.params) == [name for name, _ in net.named_parameters()]


@every_case
def test_mini_batches(kind, options):
    """The loss of all falls; a step on one batch learns from that batch alone."""
    if kind is optim.GaussNewton:  # no method for networks, whose parameters are interchangeable
        p = [Value(0.5), Value(0.5), Value(0.5)]
        model = lambda x: p[0] * mg.exp(p[1] * x) + p[2]  # noqa: E731
        goal = 2.0 * np.exp(-0.7 * T) + 0.1 * np.cos(9.0 * T)
    else:
        model, goal = nn.MLP(1, [5, 1], activation=mg.tanh, rng=0), Y
        p = list(model.named_parameters())
    optimizer = kind(p, **options)
    rng = np.random.default_rng(0)

    def whole():
        return float(np.mean((model(T).data - goal) ** 2))

    def on_a_batch():
        batch = rng.permutation(60)[:30]
        optimizer.step(lambda: given(kind, lambda: model(T[batch]) - goal[batch]))

    before = whole()
    for _ in range(12):
        on_a_batch()
    assert whole() < 0.7 * before
    assert all(np.isfinite(x.data).all() for x in optimizer.params.values())


@pytest.mark.parametrize("kind", [optim.LevenbergMarquardt, optim.TrustRegionNewtonCG])
def test_a_batch_without_a_way_down_does_not_spoil_the_others(kind):
    """What is tried at the bottom of one batch's valley is no lesson for the next batch."""
    t = Tensor([0.0, 0.0])
    s = np.linspace(0.0, 1.0, 10)
    noise = 0.1 * np.cos(20.0 * s)
    batches = [np.exp(0.5 * s) + 1.0 + noise, np.exp(-0.5 * s) - 2.0 - noise]
    optimizer = kind([t])

    def loss(i):
        return float(0.5 * np.sum((np.exp(t.data[0] * s) + t.data[1] - batches[i]) ** 2))

    for i in (0, 1):
        for _ in range(40):
            optimizer.step(lambda: given(kind, lambda: mg.exp(t[0] * s) + t[1] - batches[i]))  # noqa: B023
        assert loss(i) < 0.1


@pytest.mark.parametrize(
    ("kind", "options"), [case for case in CASES if not of_residuals(case.values[0])]
)
def test_closures_as_torchs(kind, options):
    """They may zero gradients and call backward, and gradients are as they were after the step."""
    (v, t), (w, u) = start(), start()
    optimizer, plain = kind([v, t], **options), kind([w, u], **options)
    v.grad, t.grad = 5.0, np.full(3, 7.0)

    def closure():
        optimizer.zero_grad()
        loss = given(kind, lambda: bowl(v, t))
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        plain.step(lambda: given(kind, lambda: bowl(w, u)))
    assert v.data == w.data
    np.testing.assert_array_equal(t.data, u.data)
    assert v.grad == 5.0
    np.testing.assert_array_equal(t.grad, np.full(3, 7.0))
    optimizer.zero_grad()
    assert v.grad is t.grad is None


def test_a_penalty_of_a_modules_parameters_counts():
    net = nn.MLP(1, [3, 1], activation=mg.tanh, rng=0)
    loss = lambda: mg.mean((net(T) - Y) ** 2) + sum(mg.sum(p * p) for p in net.parameters())  # noqa: E731
    before = loss().item()
    assert optim.BFGS(net.parameters()).step(loss) == pytest.approx(before, rel=1e-14)


def test_an_end_that_is_made_twice(monkeypatch):
    """As after Ctrl-C in the middle of it."""
    monkeypatch.setattr(stepping, "made_whole", lambda change: (change(), change()))
    v, t = start()
    optimizer = optim.BFGS([v, t])
    run(optimizer, v, t, 1)
    assert optimizer.steps == 1


@every_kind
def test_graphs_and_leaves_after_a_step(kind):
    v, t = start()
    optimizer = kind([v, t], **kind.samples[0])
    older = mg.sum(bowl(v, t))
    run(optimizer, v, t, 1)
    assert v.op is t.op is None
    assert v.requires_grad
    with pytest.raises(mg.errors.StaleGraphError):
        older.backward()


def test_early_ends():
    v, t = start()
    optimizer = optim.LBFGS([v, t], line_search_fn="strong_wolfe", tolerance_grad=1e-3)
    assert optimizer.reason is None
    run(optimizer, v, t, 1)
    assert optimizer.reason == "gradient"
    run(optimizer, v, t, 1)  # there is nothing to do
    assert (optimizer.reason, optimizer.steps) == ("gradient", 2)
    optimizer = optim.LBFGS([v, t], lr=1e-6, tolerance_change=1e-2)
    v.data = 0.5
    run(optimizer, v, t, 1)
    assert optimizer.reason == "step"
    v, t = start()
    optimizer = optim.BFGS([v, t], max_iter=2)
    run(optimizer, v, t, 1)
    assert optimizer.reason is None
    kink = Tensor([0.0])
    bfgs = optim.BFGS([kink])
    bfgs.step(lambda: mg.sum(mg.abs(kink) + 1e-30 * kink) + 1.0)
    assert bfgs.reason in ("precision", "no descent", "gradient")


def test_max_iter():
    """Several iterations in one step are as many steps."""
    (v, t), (w, u) = start(), start()
    run(optim.BFGS([v, t], max_iter=3), v, t, 2)
    run(optim.BFGS([w, u], max_iter=1), w, u, 6)
    assert v.data == w.data
    np.testing.assert_array_equal(t.data, u.data)


# Golden: made with torch 2.13.0 in float64, torch.optim.LBFGS(line_search_fn=None), the closure
# zeroing gradients and calling backward: the loss that step returns, then x and w after it.

TORCH = {
    (0.5, 1, 100): [
        [12.88483, -0.973689827557153, 1.04055496264674, 0.435263719597821, -0.246486547211144,
         0.262641127899792, 0.047755996180419],
        [9.98434078362074, -0.925482171159076, 1.02165701940591, 0.39233337481175,
         -0.202164799784174, 0.307484200080968, 0.00088994206823436],
        [9.25685564115906, -0.827781939166131, 0.923653301960231, 0.236829721380846,
         -0.0367042774878144, 0.475924366758084, -0.181693056180578],
        [7.21182001487139, -0.790881522329784, 0.836591826011146, 0.0472340407739113,
         0.153526398367554, 0.694427319039468, -0.411960965901281],
        [5.50595232823467, -0.817885800797756, 0.881013207205717, -0.198180590675744,
         0.373295137794537, 0.961206860242749, -0.686127664723285],
        [4.26963927662597, -0.847034916518974, 0.846791943652683, -0.372048013011052,
         0.519340482586898, 1.0491250934418, -0.826621578649939],
    ],
    (1.0, 4, 3): [
        [12.88483, -0.784833926197587, 0.609966939365807, -0.230795115241973, 0.454819641881181,
         1.0100228987734, -0.765293600475287],
        [4.17023684139792, -0.678969708015702, 0.593937764010733, -0.563778904720376,
         0.781895155844882, 1.23910430300991, -1.1390617272961],
        [3.61468472438639, -0.654836040106034, 0.5767155454998, -0.70097800648481,
         0.762702998949818, 1.2010239453316, -1.16150410158712],
        [3.601718829239, -0.659433709939375, 0.576100800742018, -0.725300414140891,
         0.696417465355807, 1.20862658002545, -1.15498482182294],
        [3.59955049474111, -0.660019621997535, 0.576518367850391, -0.729380520849592,
         0.696975321969737, 1.20966987140118, -1.1558014785944],
    ],
    (0.3, 20, 5): [
        [12.88483, -0.661550642635621, 0.577778014568361, -0.702604881111165, 0.713890090504369,
         1.20736088363891, -1.15721670003486],
    ],
}  # fmt: skip


@pytest.mark.parametrize("options", TORCH)
def test_lbfgs_does_what_torchs_does(options):
    lr, max_iter, history = options
    x, w = Tensor([-1.2, 1.0]), Tensor([[0.5, -0.3], [0.2, 0.1]])
    optimizer = optim.LBFGS([x, w], lr=lr, max_iter=max_iter, history_size=history)

    def closure():
        valley = (1.0 - x[0]) ** 2 + 5.0 * (x[1] - x[0] ** 2) ** 2
        return valley + mg.sum((w @ x - np.array([1.0, -2.0])) ** 2) + 0.1 * mg.sum(w**4)

    for expected in TORCH[options]:
        loss = optimizer.step(closure)
        np.testing.assert_allclose([loss, *x.data, *w.data.ravel()], expected, rtol=1e-11)


def test_lbfgs_has_torchs_defaults():
    parameters = inspect.signature(optim.LBFGS).parameters
    defaults = {name: p.default for name, p in parameters.items() if name != "params"}
    assert defaults == {
        "lr": 1.0, "max_iter": 20, "tolerance_grad": 1e-7, "tolerance_change": 1e-9,
        "history_size": 100, "line_search_fn": None,
    }  # fmt: skip


# State


@every_case
def test_it_goes_on_bit_for_bit(kind, options, tmp_path):
    v, t = start()
    optimizer = kind([v, t], **options)
    run(optimizer, v, t, 3)
    mg.save(tmp_path / "run.npz", v=v.data, t=t.data, optimizer=optimizer)
    rest = run(optimizer, v, t, 3)
    w, u = start()
    again = kind([w, u], **options)
    run(again, w, u, 1)  # what it learned there is gone
    found = mg.load(tmp_path / "run.npz", optimizer=again)
    w.data, u.data = float(found["v"]), found["t"]
    assert again.steps == 3
    assert run(again, w, u, 3) == rest
    assert snapshot(again) == snapshot(optimizer)


@every_case
def test_a_state_is_a_copy(kind, options):
    v, t = start()
    optimizer = kind([v, t], **options)
    run(optimizer, v, t, 2)
    state = optimizer.state_dict()
    held = exact(state)
    run(optimizer, v, t, 2)
    assert exact(state) == held
    optimizer.load_state_dict(state)
    assert exact(optimizer.state_dict()) == held
    run(optimizer, v, t, 1)
    assert exact(state) == held


@every_kind
def test_states_of_others_are_refused(kind):
    v, t = start()
    optimizer = kind([v, t], **kind.samples[0])
    run(optimizer, v, t, 2)
    before = snapshot(optimizer)
    state = optimizer.state_dict()
    other = Value(1.0, name="other")
    foreign = [
        None,
        [],
        {},
        {**state, "optimizer": "Adam"},
        {**state, "optimizer": 3},
        {**state, "steps": 1.5},
        {**state, "steps": None},
        {**state, "steps": -1},
        {**state, "more": 1},
        {k: x for k, x in state.items() if k != "direction"},
        {**state, "globaliser": {}} if state["globaliser"] else {**state, "globaliser": {"a": 1}},
        {**state, "globaliser": {**state["globaliser"], "more": 1.0}},
        kind([other], **kind.samples[0]).state_dict(),
        kind([t, v], **kind.samples[0]).state_dict(),
        next(k for k in KINDS if k is not kind)([v, t]).state_dict(),
    ]
    for piece in ("direction", "globaliser"):
        for name in state[piece]:
            for wrong in ("word", np.ones(3), np.ones(4, np.float32), [np.ones(3)], {"a": 1.0},
                          [["deep"]], np.ones((4, 3)), np.array(["a"] * 4)):  # fmt: skip
                foreign.append({**state, piece: {**state[piece], name: wrong}})
    for wrong in foreign:
        with pytest.raises(UsageError, match=kind.__name__):
            optimizer.load_state_dict(wrong)
        assert snapshot(optimizer) == before
    optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    ("kind", "piece", "changed"),
    [
        (optim.LBFGS, "direction", {"steps": None}),
        (optim.LBFGS, "direction", {"steps": []}),
        (optim.LBFGS, "direction", {"steps": np.ones(4)}),
        (optim.BFGS, "direction", {"inverse": 3.0}),
        (optim.BFGS, "direction", {"inverse": []}),
        (optim.ConjugateGradient, "direction", {"step": 1}),
    ],
)
def test_states_that_fit_nothing_are_refused(kind, piece, changed):
    v, t = start()
    optimizer = kind([v, t], **kind.samples[0])
    run(optimizer, v, t, 2)
    state = optimizer.state_dict()
    with pytest.raises(UsageError, match=kind.__name__):
        optimizer.load_state_dict({**state, piece: {**state[piece], **changed}})


# What is refused


@every_kind
@pytest.mark.parametrize(
    ("params", "error"),
    [
        ([], UsageError),
        (iter([]), UsageError),
        (Tensor([1.0]), UsageError),
        ({"w": Tensor([1.0])}, UsageError),
        ("weights", UsageError),
        (3, UsageError),
        (None, UsageError),
        ([1.0], DTypeError),
        ([np.ones(3)], DTypeError),
        ([Tensor([1.0]) * 2.0], UsageError),
        ([Tensor([1.0], requires_grad=False)], UsageError),
        ([Tensor([1.0])] * 2, UsageError),
    ],
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_parameters_are_checked(kind, params, error):
    if isinstance(params, list) and len(params) == 2:
        params = [params[0], params[0]]
    with pytest.raises(error, match=kind.__name__):
        kind(params)


@every_kind
def test_options_are_checked(kind):
    v, t = start()
    for most in (0, -1, 2.5, True, "all", None):
        with pytest.raises(UsageError, match=f"{kind.__name__}: max_iter"):
            kind([v, t], max_iter=most)
    with pytest.raises(TypeError):
        kind([v, t], wide=True)
    for options in ({"line_search_fn": "armijo"}, {"lr": -1.0}, {"lr": "fast"}):
        with pytest.raises(UsageError, match="LBFGS"):
            optim.LBFGS([v, t], **options)


@every_kind
def test_a_closure_is_needed(kind):
    v, t = start()
    optimizer = kind([v, t], **kind.samples[0])
    with pytest.raises(UsageError, match=r"step\(closure\) needs a function"):
        optimizer.step()
    with pytest.raises(UsageError, match="give a function"):
        optimizer.step(3.0)
    wrong = (lambda: None) if of_residuals(kind) else (lambda: t)
    with pytest.raises((UsageError, ShapeError), match=kind.__name__):
        optimizer.step(wrong)
    assert optimizer.steps == 0


@every_case
@pytest.mark.parametrize("when", ["at once", "on the way"])
def test_a_loss_that_is_no_number_leaves_everything_unchanged(kind, options, when):
    v, t = start()
    optimizer = kind([v, t], **options)
    run(optimizer, v, t, 2)
    v.grad = 3.0
    before = snapshot(optimizer)
    index = v.index, t.index
    calls = []

    def broken():
        calls.append(1)
        r = bowl(v, t)
        return given(kind, lambda: r * np.nan if when == "at once" or len(calls) > 2 else r)

    if when == "at once":
        with pytest.raises(NonFiniteError, match=f"{kind.__name__}: .* is nan"):
            optimizer.step(broken)
        assert snapshot(optimizer) == before
        assert (v.index, t.index, v.grad) == (*index, 3.0)
        assert optimizer.steps == 2
        return
    try:
        optimizer.step(broken)
    except NonFiniteError:
        assert snapshot(optimizer) == before
        assert (v.index, t.index) == index
    assert np.isfinite(v.data)
    assert np.isfinite(t.data).all()
    assert v.grad == 3.0


@every_case
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_closure_that_raises_leaves_everything_unchanged(kind, options, error):
    for calls in (1, 2, 3, 5):
        v, t = start()
        optimizer = kind([v, t], **options)
        run(optimizer, v, t, 2)
        before = snapshot(optimizer)
        left = [calls]

        def fails():
            left[0] -= 1  # noqa: B023
            if left[0] <= 0:  # noqa: B023
                raise error
            return given(kind, lambda: bowl(v, t))  # noqa: B023

        while left[0] > 0:
            try:
                optimizer.step(fails)
                before = snapshot(optimizer)
            except error:
                assert snapshot(optimizer) == before
            assert v.op is t.op is None


def test_a_gradient_that_is_no_number():
    t = Tensor([0.0, 1.0])
    for kind in KINDS:
        optimizer = kind([t], **kind.samples[0])
        with pytest.raises(NonFiniteError):
            optimizer.step(lambda: given(kind, lambda: mg.sqrt(t) + 1.0))  # noqa: B023
        np.testing.assert_array_equal(t.data, [0.0, 1.0])


def test_matrices_that_must_not_be_singular():
    t = Tensor([1.0, 2.0])
    with pytest.raises(LinAlgError, match="GaussNewton: the matrix of the step is singular"):
        optim.GaussNewton([t]).step(lambda: (t[0] + t[1]) * np.ones(3) - 1.0)
    with pytest.raises(LinAlgError, match="Newton: "):
        optim.Newton([t], modified=False).step(lambda: t[0] ** 2 + 0.0 * t[1])
    np.testing.assert_array_equal(t.data, [1.0, 2.0])
    optimizer = optim.Newton([t], modified=False)
    optimizer.step(lambda: t[0] ** 2 - t[1] ** 2)
    assert optimizer.reason == "indefinite"


def test_a_rate_that_diverges():
    t = Tensor([1.0, 2.0])
    optimizer = optim.LBFGS([t], lr=1e9, max_iter=30)
    with pytest.raises(NonFiniteError, match="without bound"):
        optimizer.step(lambda: mg.sum(t**4))
    np.testing.assert_array_equal(t.data, [1.0, 2.0])


@every_kind
def test_not_inside_of_jit(kind):
    v, t = start()
    optimizer = kind([v, t], **kind.samples[0])

    @mg.jit
    def step():
        return optimizer.step(lambda: given(kind, lambda: bowl(v, t)))

    with pytest.raises(TraceError, match=f"a step of {kind.__name__}, which goes by what"):
        step()
    assert (v.data, optimizer.steps) == (0.5, 0)


def test_a_loss_that_lost_its_graph():
    """No success, and no step that does nothing: the closure gave a plain number."""
    t = Tensor([1.0, 2.0])
    with pytest.raises(mg.errors.MicrogradoptError):
        optim.LBFGS([t]).step(lambda: mg.sum(t**2).item())
