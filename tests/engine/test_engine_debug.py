"""mg.debug(): what it finds, what it lets pass, and that nothing is left behind."""

from __future__ import annotations

import gc
import sys
import threading
import warnings

import numpy as np
import pytest

import microgradopt as mg
from microgradopt.engine import debug as module, derive, graph, sweeps
from microgradopt.engine.value import Value
from microgradopt.errors import NonFiniteError, StaleGraphError, UnusedInputWarning, UsageError

X = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])


# The first NaN or infinity


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: 1.0 / (x - 1.0), r"'divide' made inf at entry \(0, 0\) of 1.0 and 0.0, the T"),
        (lambda x: mg.sqrt(x), r"'sqrt' made nan at entry \(0, 1\) of -2.0, the Tensor 'x'"),
        (lambda x: mg.exp(1e3 * x), r"'exp' made inf at entry \(0, 0\) of 1000.0"),
        (lambda x: mg.sum(1e308 * x), "'sum' made inf of the Tensor made by 'multiply'.*from -2e"),
        (lambda x: 1e300 * x @ (1e300 * x.T), "'matmul' made inf at entry"),
        (lambda x: x * np.array([1.0, np.nan, 2.0]), r"plain array of shape \(3,\) came into the "),
        (lambda x: x[0, 0] * mg.Value(np.nan), "the Value came into the graph with NaN"),
        (lambda x: x * np.nan, "the number nan came into the graph with NaN"),
        (lambda x: (x + np.inf) - np.inf, "'subtract' made nan at entry .* of inf, .* and inf"),
    ],
)
def test_the_operation_that_makes_the_first_nonfinite_number(f, message):
    x = mg.Tensor(X, name="x")
    with mg.debug(), pytest.raises(NonFiniteError, match=message) as caught:
        f(x)
    assert f'File "{__file__}", line {f.__code__.co_firstlineno}, in <lambda>' in str(caught.value)
    assert "(lambda x:" in str(caught.value)


def test_scalars_are_watched_too():
    for f in (
        lambda x: x * 1e300 * 1e300,
        lambda x: -(x / 0.0),
        lambda x: (x - 3.0).log(),
        lambda x: (1e200 * x) ** 2,
        lambda x: 1.0 / (x - 2.0),
    ):
        with mg.debug(), pytest.raises(NonFiniteError, match=f"line {f.__code__.co_firstlineno}"):
            f(mg.Value(2.0))


def test_constants_are_watched_too():
    with mg.debug(), mg.no_grad(), pytest.raises(NonFiniteError, match="'log' made -inf"):
        mg.log(mg.Tensor(np.zeros(2)))


def test_infinities_put_in_on_purpose_pass():
    scores = mg.Tensor(X)
    with mg.debug():
        masked = mg.where(X > 0.0, scores, -np.inf)
        mg.sum(mg.softmax(masked)[:, 0]).backward()
    assert np.isfinite(scores.grad).all()


@pytest.mark.parametrize("best", [mg.max, mg.softmax, mg.logsumexp])
def test_infinities_that_lose_pass_in_every_mode(best):
    def f(x):
        return mg.sum(best(mg.where(X > 0.0, x, -np.inf), axis=1))

    with mg.debug():
        _, tangent = mg.jvp(f, (X,), (np.ones_like(X),))
        assert np.isfinite(tangent)
        assert np.isfinite(mg.hessian(f)(X)).all()


def test_backward_names_the_operation_the_operand_and_the_line():
    x = mg.Tensor(np.array([4.0, 0.0]), name="x")
    with mg.debug():
        y = mg.sum(mg.sqrt(x))
        message = r"rule of 'sqrt' made the gradient inf for the Tensor 'x'.*entry \(1,\), where it"
        with pytest.raises(NonFiniteError, match=message) as caught:
            y.backward()
    assert "y = mg.sum(mg.sqrt(x))" in str(caught.value)
    assert x.grad is None
    v = mg.Value(0.0, name="v")
    with mg.debug():
        y = v**0.5
        with pytest.raises(NonFiniteError, match=r"gradient inf for the Value 'v', which is 0.0"):
            y.backward()
        with pytest.raises(NonFiniteError, match=r"rule of 'power"):
            mg.grad(mg.grad(lambda t: t**1.5 * 2.0))(0.0)


def test_a_graph_from_before_has_no_line():
    x = mg.Value(0.0)
    y = x**0.5
    with mg.debug(), pytest.raises(NonFiniteError, match=r"before debug.. was entered"):
        y.backward()


def test_forward_mode_names_the_operation():
    with (
        mg.debug(),
        pytest.raises(NonFiniteError, match=r"forward-mode rule of 'sqrt'.*tangent inf"),
    ):
        mg.jvp(lambda x: 2.0 * mg.sqrt(x), (np.array([1.0, 0.0]),), (np.ones(2),))


def test_looking_for_nonfinite_numbers_can_be_switched_off():
    x = mg.Tensor(np.zeros(2))
    with mg.debug(nonfinite=False):
        mg.sum(mg.sqrt(x) / 0.0).backward()
        assert np.isinf(mg.jvp(mg.sqrt, (np.zeros(1),), (np.ones(1),))[1]).all()


# Arrays written in place


def writes(leaf, constant, inner):
    yield "the Tensor 'x' of shape", lambda: leaf.data.__setitem__((0, 0), 5.0)
    yield r"a plain array of shape \(3,\)", lambda: constant.__setitem__(0, 5.0)
    yield "the Tensor made by 'exp'", lambda: inner.data.__setitem__((0, 0), 5.0)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("mode", ["backward", "jvp", "vjp"])
def test_a_write_between_forward_and_backward_is_caught(which, mode):
    constant = np.array([1.0, 2.0, 3.0])
    met = []

    def f(x):
        x.name = "x"
        inner = mg.exp(x)
        y = mg.sum(inner * constant * x)
        met.append(list(writes(x, constant, inner))[which])
        if mode == "jvp":
            met[-1][1]()
        return y

    match = pytest.raises(StaleGraphError, match=r"written in place after '(multiply|exp)' had")
    with mg.debug():
        if mode == "backward":
            y = f(mg.Tensor(X))
            met[-1][1]()
            with match as caught:
                y.backward()
        elif mode == "vjp":
            _, pull = mg.vjp(f, X)
            met[-1][1]()
            with match as caught:
                pull(1.0)
        else:
            with match as caught:
                mg.jvp(f, (X,), (X,))
    message = str(caught.value)
    assert "and is 5.0 now" in message
    assert "y = mg.sum(inner * constant * x)" in message or "inner = mg.exp(x)" in message


def test_a_write_to_a_condition_is_caught():
    x, chosen = mg.Tensor(X), X > 0.0
    with mg.debug():
        y = mg.sum(mg.where(chosen, x, 0.0))
        chosen[0, 0] = not chosen[0, 0]
        with pytest.raises(StaleGraphError, match=r"after 'where' had used it: entry \(0, 0\) was"):
            y.backward()


def test_without_debug_such_a_write_goes_unnoticed():
    x = mg.Tensor(np.ones(2))
    y = mg.sum(x * x)
    x.data[0] = 5.0
    y.backward()
    assert x.grad[0] == 10.0  # which is why there is a debug()


def test_writes_no_rule_reads_are_fine():
    x, constant = mg.Tensor(X), np.ones(3)
    with mg.debug():
        y = mg.sum(mg.reshape(x + constant, (3, 2)))
        constant[0] = 7.0
        x.data[0] = 7.0
        y.backward()
    np.testing.assert_array_equal(x.grad, np.ones((2, 3)))
    with mg.debug(writes=False):
        y = mg.sum(x * x)
        x.data[0] = 8.0
        y.backward()


def test_an_array_rewritten_between_two_uses_belongs_to_both_in_turn():
    buffer = np.ones(3)
    x = mg.Tensor(X)
    with mg.debug():
        first = mg.sum(x * buffer)
        first.backward()
        buffer[0] = 5.0
        second = mg.sum(x * buffer)
        second.backward()
        with pytest.raises(StaleGraphError, match=r"entry \(0,\) was 1.0 and is 5.0 now"):
            first.backward()


# Inputs that do nothing


def test_inputs_of_functional_transforms_that_are_not_used():
    with mg.debug():
        with pytest.warns(UnusedInputWarning, match="not depend on input 1 of the 2") as caught:
            mg.grad(lambda x, y: x * 2.0, (0, 1))(1.0, 2.0)
        assert caught[0].filename == __file__
        with pytest.warns(UnusedInputWarning, match="input 0 of the 1"):
            mg.grad(lambda x: mg.sum(mg.Tensor(x.data, requires_grad=False)))(X)
        with pytest.warns(UnusedInputWarning):
            mg.jvp(lambda x: 3.0, (1.0,), (1.0,))


def test_a_constant_second_derivative_is_no_unused_input():
    with mg.debug(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mg.hessian(lambda x: 2.0 * x)(1.0) == 0.0


def test_parameters_no_backward_pass_reaches():
    net = mg.nn.MLP(2, [3, 1], rng=0)
    spare = mg.Value(1.0, name="spare")
    expected = pytest.warns(UnusedInputWarning, match=r"reached layers.2.weight, .*Value 'spare'")
    with expected, mg.debug(net, {"spare": [spare]}):
        mg.sum(net.layers[0](np.ones((1, 2)))).backward()
    with warnings.catch_warnings(), mg.debug(net, spare):
        warnings.simplefilter("error")
        mg.sum(net(np.ones((1, 2))) * spare).backward()


def test_no_such_report_after_an_exception():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError), mg.debug(mg.Value(1.0)):
            raise KeyError("the user's")


def test_what_debug_takes():
    with pytest.raises(UsageError, match="takes nodes, structures of nodes, and modules; got str"):
        mg.debug("x")


# Around it


def test_nothing_is_left_behind():
    def parts():
        return [graph.attach, sweeps.Sweep, sweeps.tangent, derive.Trace, Value.__add__, Value.exp]

    before = parts()
    with mg.debug():
        assert not set(map(id, parts())) & set(map(id, before))
        with pytest.raises(NonFiniteError), mg.debug():
            mg.log(mg.Value(0.0))
        assert not set(map(id, parts())) & set(map(id, before))
    assert [a is b for a, b in zip(parts(), before)] == [True] * len(before)


def test_results_are_the_same_inside():
    def run():
        net, x = mg.nn.scalar.MLP(2, [3, 1], rng=0), mg.Tensor(X)
        loss = mg.sum(mg.tanh(x @ X.T)) * net([1.0, -2.0]) ** 2
        loss.backward()
        return [x.grad.tolist(), *[p.grad for p in net.parameters()]]

    with mg.debug():
        inside = run()
    assert inside == run()


def test_it_decorates():
    @mg.debug()
    def f(x):
        return mg.log(x)

    for _ in range(2):
        with pytest.raises(NonFiniteError, match="'log' made -inf"):
            f(mg.Value(0.0))


def test_other_threads_are_not_watched():
    found = []

    def other():
        x = mg.Value(0.0)
        mg.sqrt(x).backward()
        found.append((mg.log(x).data, x.grad, mg.jvp(mg.log, (0.0,), (1.0,))[1]))

    with mg.debug():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [(-np.inf, np.inf, np.inf)]


def test_a_long_run_forgets_dead_graphs(monkeypatch):
    monkeypatch.setattr(module, "MANY", 100)
    w = mg.Value(0.5)
    with mg.debug() as debugger:
        kept = [w * 2.0]
        for _ in range(100):
            y = w
            for _ in range(5):
                y = mg.tanh(y * 1.5)
            y.backward()
        assert len(debugger._records) <= 200
        assert "kept = [w * 2.0]" in debugger._line_of(kept[0])


def test_dead_graphs_are_freed_at_the_end():
    gc.collect()
    gc.disable()
    try:
        x = mg.Tensor(X)
        before = sys.getrefcount(x)
        with mg.debug(x):
            mg.sum(x * x).backward()
        assert sys.getrefcount(x) <= before + 1  # debug's own inputs
    finally:
        gc.enable()


def test_what_is_infinite_by_policy_raises_no_alarm():
    x = np.full(2, -np.inf)
    with mg.debug():
        assert mg.jvp(mg.logsumexp, (x,), (np.array([1.0, 2.0]),))[1] == 1.5
        masked = np.where(X > 0.0, X, -np.inf)
        mg.hessian(lambda t: mg.sum(mg.logsumexp(t, 1)))(masked)
        mg.hessian(lambda t: mg.sum(mg.max(t, 1)))(masked)
