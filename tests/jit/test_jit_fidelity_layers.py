"""Every layer that ``nn`` exports, jitted next to eager, at its ``samples``; and every loss."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from fidelity import CALLS, World, agree
from layer_cases import as_nodes, cases, is_float, weighted

import microgradopt as mg
from microgradopt import nn, optim
from microgradopt.engine.graph import Node
from microgradopt.engine.structure import leaves, map_structure

ARRAYS, SCALARS = cases(nn), cases(nn.scalar)
every_case = pytest.mark.parametrize("case", [*ARRAYS, *SCALARS], ids=str)


def moved(inputs, number):
    """Inputs of a call: other numbers in each, of the same dtypes."""

    def of(x):
        if not is_float(x):
            return x
        new = x * (1.0 + 0.01 * number)
        return new.astype(x.dtype) if isinstance(x, np.ndarray) else new

    return map_structure(of, tuple(inputs))


def world(case, dtype, training, function):
    layer, inputs, _ = case.sample(dtype)
    layer = copy.deepcopy(layer).train(training)
    generators = [x for m in layer.modules() for x in vars(m).values() if _draws(x)]
    optimizer = optim.AdamW(layer.named_parameters(), lr=0.01) if layer.parameters() else None
    state = [layer, generators, *([optimizer] if optimizer else [])]
    calls = [moved(inputs, i) for i in range(CALLS)]
    return World(lambda *xs: function(layer, optimizer, xs), calls, state)


def _draws(x):
    return isinstance(x, np.random.Generator)


def output(layer, optimizer, inputs):
    return layer(*inputs)


def step(layer, optimizer, inputs):
    """The result and the gradients of all inputs; and a step, where there is something to train."""
    nodes = as_nodes(inputs)
    if optimizer is not None:
        optimizer.zero_grad()
    y = weighted(layer(*nodes))
    if y.requires_grad:
        y.backward()
    if optimizer is not None:
        optimizer.step()
    return y, [x.grad for x in leaves(nodes) if isinstance(x, Node)]


@every_case
def test_training_steps(case):
    agree(lambda: world(case, np.float64, True, step))


@every_case
def test_results_in_both_modes(case):
    for training in (True, False):
        agree(lambda training=training: world(case, np.float64, training, output))


@pytest.mark.parametrize("case", ARRAYS, ids=str)
def test_training_steps_of_float32(case):
    agree(lambda: world(case, np.float32, True, step))


@pytest.mark.parametrize("case", ARRAYS[::3], ids=str)
def test_second_derivatives(case):
    def twice(layer, optimizer, inputs):
        chosen = [i for i, x in enumerate(inputs) if isinstance(x, np.ndarray) and is_float(x)]
        if not chosen:
            return layer(*inputs)

        def of(x):
            return weighted(layer(*[x if i == chosen[0] else y for i, y in enumerate(inputs)]))

        x = inputs[chosen[0]]
        return mg.hvp(of, x, np.ones_like(x))

    agree(lambda: world(case, np.float64, False, twice))


RNG = np.random.default_rng(3)
SCORES, OTHERS = RNG.normal(size=(2, 4, 3))
LABELS = np.array([0, 2, 1, 2])
SIGNS = np.array([1.0, -1.0, 1.0, 1.0])
LOSSES = {
    "mse_loss": (OTHERS,), "l1_loss": (OTHERS,), "huber_loss": (OTHERS,),
    "smooth_l1_loss": (OTHERS,),
    "cross_entropy": (LABELS,), "binary_cross_entropy_with_logits": (OTHERS > 0.0,),
    "poisson_nll_loss": (np.abs(OTHERS),), "cosine_embedding_loss": (OTHERS, SIGNS),
    "hinge_embedding_loss": (np.sign(OTHERS),), "soft_margin_loss": (np.sign(OTHERS),),
    "margin_ranking_loss": (OTHERS, np.sign(SCORES)), "triplet_margin_loss": (OTHERS, SCORES[::-1]),
    "multi_margin_loss": (LABELS,), "kl_div": (np.abs(OTHERS),), "nll_loss": (LABELS,),
    "gaussian_nll_loss": (OTHERS, np.abs(SCORES) + 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in LOSSES if hasattr(nn, name)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(name, reduction):
    def f(x, *targets):
        loss = getattr(nn, name)
        of = lambda y: mg.sum(loss(y, *targets, reduction=reduction))  # noqa: E731
        return loss(x, *targets, reduction=reduction), mg.grad(of)(x)

    for dtype in (np.float64, np.float32):
        scores = [SCORES.astype(dtype) * dtype(k) for k in (1, 2, 3, 4)]
        targets = [x.astype(dtype) if is_float(x) else x for x in LOSSES[name]]
        calls = [(x, *targets) for x in scores]
        agree(lambda calls=calls: World(f, calls))


def test_most_losses_are_among_these():
    exported = [n for n in dir(nn) if n.endswith(("_loss", "_entropy", "kl_div"))]
    assert set(exported) & set(LOSSES)
    assert len([n for n in LOSSES if hasattr(nn, n)]) > 0.6 * len(exported)


def test_labels_that_are_ignored_and_weights():
    weights = np.array([0.5, 1.0, 2.0])

    def f(x, labels):
        def of(y):
            return nn.cross_entropy(y, labels, weight=weights, ignore_index=1, label_smoothing=0.1)

        return mg.value_and_grad(of)(x)

    orders = [LABELS, LABELS[::-1].copy(), np.array([1, 1, 0, 2]), LABELS, LABELS]
    agree(lambda: World(f, [(SCORES, labels) for labels in orders]), replays=False)
