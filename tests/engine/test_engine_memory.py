"""Memory: graphs are freed at once, with the collector off, after whatever was done to them."""

from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
from contextlib import contextmanager, suppress

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import check, nn, optim
from microgradopt.engine.graph import Node, Primitive
from microgradopt.errors import GradientError, GraphError, ShapeError


@contextmanager
def collector_off():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def live_nodes():
    return sum(issubclass(type(x), Node) for x in gc.get_objects())


class DeliberateError(Exception):
    pass


def fail(*args):
    raise DeliberateError


W = np.linspace(-1.0, 1.0, 9).reshape(3, 3)


def graph():
    w, v = mg.Tensor(W), mg.Value(0.5)
    return mg.sum(mg.softmax(w @ w + v, axis=1) ** 2) + mg.exp(v * 3.0) / (v + 2.0), w


# Each is done and dropped


def built_only():
    graph()


def swept_twice():
    y, _ = graph()
    y.backward()
    y.backward()


def gradient_of_the_wrong_shape():
    y, w = graph()
    with suppress(ShapeError):
        y.backward(np.ones(7))
    with suppress(ShapeError):
        (w @ w).backward()


def stale():
    y, w = graph()
    w.data = W + 1.0
    with suppress(GraphError):
        y.backward()


def a_rule_that_fails():
    row = mg.elementwise("fails_here", array=lambda x: 1.0 * x, partials=[fail])
    try:
        for x in (mg.Tensor(W), mg.Value(2.0)):
            y = mg.sum(mg.exp(row(mg.sin(x))) * x)
            with suppress(DeliberateError):
                y.backward()
        for f in (mg.grad, mg.hessian, mg.jacobian):
            with suppress(DeliberateError):
                f(lambda x: mg.sum(row(x)))(W[0])
    finally:
        del Primitive.table["fails_here"]


def a_kernel_that_fails():
    y, w = graph()
    with suppress(ShapeError):
        w + np.ones(7) * y


def a_function_that_fails_inside_transforms():
    for transform in (mg.grad, mg.hessian, mg.jacobian, mg.value_and_grad):
        with suppress(DeliberateError):
            transform(lambda x: mg.grad(lambda y: fail(mg.sin(x * y)))(x))(0.5)
    with suppress(DeliberateError):
        mg.vjp(lambda x: fail(mg.exp(x)), W)
    with suppress(DeliberateError):
        mg.jvp(lambda x: fail(mg.exp(x)), (W,), (W,))


def nested_gradients():
    mg.grad(mg.grad(mg.grad(lambda x: mg.sin(x) * mg.exp(x))))(0.5)
    mg.grad(lambda t: mg.sum(mg.grad(lambda s: mg.sum(s**3))(t)))(W)


def closures_of_vjp():
    _, pull = mg.vjp(lambda x: mg.tanh(x @ x), W)
    pull(W)
    pull(W)
    mg.grad(lambda x: mg.sum(mg.vjp(mg.exp, x)[1](np.ones((3, 3)))[0]))(W)


def matrices_of_derivatives():
    mg.jacobian(lambda x: mg.exp(x) * x[0])(W[0])
    mg.jacobian(lambda x: mg.sum(x * x))(W)
    mg.hessian(lambda x: mg.logsumexp(x) * x[0])(W[0])
    mg.hvp(lambda x: mg.sum(x**3), W, W)
    mg.jvp(mg.softmax, (W,), (W,))


def checks():
    check.check_grads(lambda x: mg.sum(mg.tanh(x)), W, order=2)
    check.check_rule(Primitive.table["tanh"])


def a_check_that_fails():
    with suppress(GradientError):
        check.check_grads(lambda x: mg.sum(mg.stop_gradient(x) * x), W)


def drawings():
    drawing = mg.draw(graph()[0])
    drawing.svg()
    drawing.dot()
    drawing.mermaid()


def copies():
    y, w = graph()
    pickle.loads(pickle.dumps([y, w]))
    copy.deepcopy([y, w])
    y.detach()


def a_copy_that_fails():
    y, w = graph()
    w.data = W + 1.0
    for duplicate in (copy.deepcopy, pickle.dumps):
        with suppress(GraphError):
            duplicate(y)


def training():
    model = nn.MLP(3, [4, 2], rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        nn.cross_entropy(model(W), np.array([0, 1, 1])).backward()
        optimizer.step()


def pauses():
    @mg.no_grad()
    def steps():
        yield mg.exp(mg.Tensor(W))
        yield None

    running = steps()
    next(running)
    with mg.no_grad():
        graph()
    with mg.no_grad(), suppress(DeliberateError):
        fail(mg.exp(mg.Tensor(W)))


def numpy_refusals():
    y, w = graph()
    for refused in (lambda: np.asarray(w), lambda: np.add.outer(w, w), lambda: float(w), hash):
        with suppress(Exception):
            refused(y)


WORKS = [
    built_only, swept_twice, gradient_of_the_wrong_shape, stale, a_rule_that_fails,
    a_kernel_that_fails, a_function_that_fails_inside_transforms, nested_gradients, closures_of_vjp,
    matrices_of_derivatives, checks, a_check_that_fails, drawings, copies, a_copy_that_fails,
    training, pauses, numpy_refusals,
]  # fmt: skip


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_nothing_stays_behind(work):
    work()
    with collector_off():
        before = live_nodes()
        work()
        assert live_nodes() == before


def test_live_nodes_are_counted_at_all():
    with collector_off():
        before = live_nodes()
        kept = graph()
        assert live_nodes() > before + 8
        del kept
        assert live_nodes() == before


def test_a_caught_exception_keeps_the_graph_only_as_long_as_it_lives():
    with collector_off():
        before = live_nodes()
        try:
            mg.grad(lambda x: fail(mg.exp(x)))(1.0)
        except DeliberateError as error:
            caught = error
            assert live_nodes() > before
        del caught
        assert live_nodes() == before


def _megabytes():
    return tracemalloc.get_traced_memory()[0] / 2**20


def test_arrays_are_freed_with_the_collector_off():
    w = mg.Tensor(np.ones((200, 200)))

    def step():
        w.zero_grad()
        mg.sum(mg.tanh(w @ w)).backward()

    with collector_off():
        tracemalloc.start()
        try:
            for _ in range(3):
                step()
            settled = _megabytes()
            for _ in range(10):
                step()
            assert _megabytes() < settled + w.data.nbytes / 2**20
        finally:
            tracemalloc.stop()


def _chain(x, links):
    for _ in range(links):
        x = x + 1.0
    return x


def _ladder(x, links):
    """Each node an operand of the next two, so that both slots link downward."""
    a, b = x, x + 1.0
    for _ in range(links):
        a, b = b, a * 0.5 + b * 0.5
    return b


@pytest.mark.parametrize("build", [_chain, _ladder])
@pytest.mark.parametrize("leaf", [mg.Value, lambda x: mg.Tensor([x])], ids=["Value", "Tensor"])
def test_deep_graphs_are_freed_link_by_link(leaf, build):
    with collector_off():
        before = live_nodes()
        y = build(leaf(1.0), 50_000)
        y.backward()
        assert live_nodes() > before + 50_000
        del y
        assert live_nodes() == before


def test_a_deep_graph_is_freed_when_backward_fails_at_its_bottom():
    row = mg.elementwise("fails_below", array=lambda x: 1.0 * x, partials=[fail])
    try:
        with collector_off():
            before = live_nodes()
            y = _chain(row(mg.Value(1.0)), 100_000)
            with suppress(DeliberateError):
                y.backward()
            del y
            assert live_nodes() == before
    finally:
        del Primitive.table["fails_below"]


def test_a_deep_graph_of_graphs_is_freed():
    """A gradient that is itself a graph, of a chain."""
    with collector_off():
        before = live_nodes()
        x = mg.Value(1.0)
        slope = mg.grad(lambda t: mg.sin(_chain(t, 3000)))(x)
        slope.backward()
        del slope, x
        assert live_nodes() == before
