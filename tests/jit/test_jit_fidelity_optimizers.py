"""Every optimizer that ``optim`` exports, jitted next to eager, with all of its state."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from fidelity import World, agree
from resume_cases import exported
from test_every_optimizer import CASES, bowl, exported as exported_kinds, start, tensor

import microgradopt as mg
from microgradopt import Tensor, Value, nn, optim
from microgradopt.optim import schedules

STEPS = 12
KINDS = [getattr(optim, name) for name in exported_kinds()]
every_case = pytest.mark.parametrize(("kind", "options"), CASES)
every_kind = pytest.mark.parametrize(
    ("kind", "options"), [pytest.param(k, k.samples[0], id=k.__name__) for k in KINDS]
)


def world(kind, options, *, dtype=np.float64, grouped=False, keeps=False, used=True, between=None):
    """Steps of an optimizer on three parameters.

    Args:
        grouped: whether they are in two groups with learning rates of their own.
        keeps: whether gradients are never zeroed.
        used: whether the loss depends on all three.
        between: called before each step with its number, the optimizer, parameters, and a factor.
    """
    x, y = start(kind, dtype)
    z = tensor(kind, np.array([1.0, 2.0, 3.0], dtype), name="z")
    one = Tensor(1.0, requires_grad=False)
    if grouped:
        optimizer = kind([{"params": [x, z], "lr": 0.05}, {"params": [y]}], **options)
    else:
        optimizer = kind([x, y, z], **options)
    if hasattr(optimizer, "train"):
        optimizer.train()

    def closure():
        if not keeps:
            optimizer.zero_grad()
        loss = bowl(x, y) + (mg.sum(z * z) if used else 0.0)
        loss = loss * one
        loss.backward()
        return loss

    def change(number):
        if between:
            between(number, optimizer, (x, y, z), one)

    return World(lambda: optimizer.step(closure), [()] * STEPS, [x, y, z, optimizer], change)


@every_case
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_steps(kind, options, dtype):
    agree(lambda: world(kind, options, dtype=dtype))


@every_kind
def test_groups_and_schedules(kind, options):
    lr = schedules.cosine(0.1, 30)
    agree(lambda: world(kind, {**options, "lr": lr}, grouped=True, keeps=True), replays=False)


def learning_rates(number, optimizer, parameters, one):
    for group in optimizer.param_groups if number in (4, 7) else ():
        group["lr"] = 0.01 * number


def schedules_and_numbers(number, optimizer, parameters, one):
    for group in optimizer.param_groups if number in (4, 8) else ():
        group["lr"] = schedules.cosine(0.1, 30) if number == 4 else 0.02


def other_options(number, optimizer, parameters, one):
    for group in optimizer.param_groups if number == 4 else ():
        if "weight_decay" in group:
            group["weight_decay"] = 0.01


def data(number, optimizer, parameters, one):
    if number == 5:
        for p in parameters:
            p.data = p.data * 0.5


def gradients(number, optimizer, parameters, one):
    z = parameters[2]
    if number in (3, 5):
        z.grad = np.ones_like(z.data)
    if number == 8:
        z.grad = None
    if number == 9:
        z.grad = np.full(z.shape, 2)


def loaded(number, optimizer, parameters, one):
    if number == 4:
        optimizer.saved = optimizer.state_dict()
    if number == 8:
        optimizer.load_state_dict(optimizer.saved)


def not_finite(number, optimizer, parameters, one):
    one.data = np.nan if number in (1, 6, 9) else 1.0


def frozen(number, optimizer, parameters, one):
    parameters[2].requires_grad = number not in (5, 6, 7)


def another_group(number, optimizer, parameters, one):
    if number == 6:
        new = tensor(type(optimizer), np.array([1.0, 2.0]), name="new")
        new.grad = np.ones_like(new.data)
        optimizer.add_param_group({"params": [new]})


CHANGES = (
    learning_rates,
    schedules_and_numbers,
    other_options,
    data,
    gradients,
    loaded,
    not_finite,
    frozen,
    another_group,
)


@every_kind
def test_changes_between_steps(kind, options):
    for change in CHANGES:
        keeps = change in (gradients, another_group)
        make = lambda c=change, k=keeps: world(  # noqa: E731
            kind, options, keeps=k, used=c is not gradients, between=c
        )
        agree(make, replays=False)


@every_kind
def test_steps_that_are_skipped(kind, options):
    given = {**options, "nonfinite": "skip"}
    agree(lambda: world(kind, given, between=not_finite), replays=False)


RULES = {
    "clipping": lambda: optim.chain(
        optim.clip_by_global_norm(1.0), optim.scale_by_adam(), optim.scale_by_learning_rate(0.1)
    ),
    "other clipping": lambda: optim.chain(
        optim.clip_by_value(0.5), optim.clip_by_norm(0.4), optim.clip_by_rms(1.0), optim.scale(-0.1)
    ),
    "partition": lambda: optim.partition(
        {"a": optim.chain(optim.scale_by_adam(), optim.scale(-0.1)), "b": optim.scale(-0.05)},
        lambda name, x: "a" if name == "0" else "b",
    ),
    "masked": lambda: optim.chain(
        optim.masked(optim.add_decayed_weights(0.1), lambda name, x: x.ndim > 0), optim.scale(-0.1)
    ),
    "accumulate": lambda: optim.accumulate(
        optim.chain(optim.momentum(0.9), optim.scale_by_learning_rate(0.1)), 3
    ),
    "ema": lambda: optim.chain(optim.ema(0.9), optim.scale_by_learning_rate(0.1)),
    "plain ema": lambda: optim.chain(optim.ema(0.9, debias=False), optim.scale(-0.1)),
    "by hand": lambda: optim.chain(
        optim.stateless(lambda g, x, step: {k: v / step + 0.01 * x[k] for k, v in g.items()}),
        optim.scale_by_learning_rate(0.1),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_chains(name):
    def make():
        x, y = Value(0.0, name="x"), Tensor([0.5, 0.5], name="y")
        optimizer = optim.Optimizer([x, y], RULES[name]())

        def step(scale):
            optimizer.zero_grad()
            loss = bowl(x, y) * scale
            loss.backward()
            optimizer.step()
            return loss

        return World(step, [(1.0 + 0.1 * i,) for i in range(STEPS)], [x, y, optimizer])

    agree(make, replays=name != "accumulate")


@pytest.mark.parametrize(
    "example",
    [s for k in exported(schedules, schedules.Schedule) for s in k.examples()],
    ids=lambda s: type(s).__name__,
)
def test_every_schedule(example):
    def build():
        w = Tensor([1.0, -2.0])
        schedule = 0.1 * copy.deepcopy(example)
        plateau = next(iter(schedule._remembering()), None)
        optimizer = optim.SGD([w], lr=schedule, momentum=0.5)

        def step():
            optimizer.zero_grad()
            loss = mg.sum(w * w)
            loss.backward()
            optimizer.step()
            return loss

        def between(number):
            if plateau is not None and number:
                plateau.update(1.0 / number if number < 4 else 1.0)

        return World(step, [()] * STEPS, [w, optimizer], between)

    agree(build, replays=False)


def test_parameters_without_decay_and_without_gradient():
    def make():
        model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.LayerNorm(4), nn.Linear(4, 2, rng=1))
        unused = Tensor(np.ones(2), name="unused")
        named = [*model.named_parameters(), ("unused", unused)]
        optimizer = optim.AdamW(named, lr=0.1, weight_decay=0.1, no_decay="biases_and_norms")

        def step(x):
            optimizer.zero_grad()
            loss = mg.mean(model(x) ** 2)
            loss.backward()
            optimizer.step()
            return loss

        x = np.random.default_rng(0).normal(size=(5, 3))
        return World(step, [(x,)] * 5, [model, unused, optimizer])

    agree(make)
