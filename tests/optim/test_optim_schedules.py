"""Schedules: torch's traces, what holds for every one of them, composition, and refusals.

A new schedule is found by itself, and tested by what its ``examples`` gives.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from microgradopt import Tensor, Value, plot
from microgradopt.errors import UsageError
from microgradopt.optim import SGD, schedules
from microgradopt.optim.schedules import (
    Plateau,
    PlateauState,
    Schedule,
    constant,
    cosine,
    cyclical,
    every,
    exponential,
    geometric,
    inverse_sqrt,
    inverse_time,
    join,
    lift,
    linear,
    multistep,
    one_cycle,
    piecewise,
    polynomial,
    product,
    step_decay,
    warm_restarts,
    warmup,
)

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "schedules.json").read_text(encoding="utf-8")
)
NAMES = {name: getattr(schedules, name) for name in schedules.__all__}


def written(text):
    """The schedule that a text describes."""
    return eval(text, {}, dict(NAMES))


def course(schedule, steps):
    return [schedule(step) for step in range(1, steps + 1)]


# torch's traces


@pytest.mark.parametrize(
    "trace", GOLDEN["traces"], ids=lambda trace: f"{trace['of']} {trace['schedule']}"
)
def test_it_follows_torch(trace):
    ours = course(written(trace["schedule"]), len(trace["values"]))
    np.testing.assert_allclose(ours, trace["values"], rtol=1e-12, atol=1e-17)


def test_the_golden_file_covers_every_schedule_with_a_counterpart():
    text = " ".join(trace["schedule"] for trace in GOLDEN["traces"])
    not_in_torch = {"geometric", "Schedule", "PlateauState", "Plateau", "product"}
    assert [n for n in schedules.__all__ if f"{n}(" not in text and n not in not_in_torch] == []
    assert sum(len(trace["values"]) >= 200 for trace in GOLDEN["traces"]) >= 40


@pytest.mark.parametrize(
    "run", GOLDEN["plateaus"], ids=lambda run: f"{run['metrics']} {run['options']}"
)
def test_plateau_follows_torch(run):
    lr = Plateau(0.1, **run["options"])
    changes, rate = [], lr(1)
    for i, metric in enumerate(GOLDEN["metrics"][run["metrics"]]):
        lr.update(metric)
        if lr(i + 1) != rate:
            rate = lr(i + 1)
            changes.append([i, rate])
    assert [i for i, _ in changes] == [i for i, _ in run["changes"]]
    np.testing.assert_allclose(changes, run["changes"], rtol=1e-12) if changes else None


def test_the_plateaus_of_the_golden_file_do_something():
    assert sum(bool(run["changes"]) for run in GOLDEN["plateaus"]) > 50
    assert any(math.isnan(m) for m in GOLDEN["metrics"]["broken"])


# Every schedule


KINDS = [
    kind for kind in NAMES.values() if issubclass(kind, Schedule) and not inspect.isabstract(kind)
]
EXAMPLES = [
    pytest.param(example, id=f"{kind.__name__}{i}")
    for kind in KINDS
    for i, example in enumerate(kind.examples())
]
every_example = pytest.mark.parametrize("schedule", EXAMPLES)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
STEPS = [*range(1, 41), 1000, 10**6, 10**9 - 1, 10**9]


def test_every_schedule_of_the_modules_is_exported():
    def below(kind):
        return {kind, *(k for child in kind.__subclasses__() for k in below(child))}

    ours = {k for k in below(Schedule) if k.__module__.startswith("microgradopt.")}
    assert {k for k in ours if not inspect.isabstract(k)} == set(KINDS)
    assert len(KINDS) >= 21


@every_kind
def test_examples_are_of_their_kind_and_differ(kind):
    examples = kind.examples()
    assert all(type(example) is kind for example in examples)
    assert all(a != b for i, a in enumerate(examples) for b in examples[:i] if kind is not Plateau)
    assert inspect.getdoc(kind)


@every_example
def test_values_are_finite_plain_floats_at_every_step(schedule):
    values = [schedule(step) for step in STEPS]
    assert all(type(value) is float and math.isfinite(value) for value in values)


@every_example
def test_it_is_a_function_of_the_step_alone(schedule):
    forward, backward = course(schedule, 40), [schedule(step) for step in range(40, 0, -1)]
    assert forward == backward[::-1] == course(copy.deepcopy(schedule), 40)
    assert [schedule(np.int64(step)) for step in range(1, 41)] == forward
    assert type(schedule(np.int32(3))) is float


@every_example
def test_it_is_pickled(schedule):
    other = pickle.loads(pickle.dumps(schedule))
    assert other == schedule
    assert course(other, 40) == course(schedule, 40)


@every_example
def test_its_repr_evaluates_to_it(schedule):
    other = written(repr(schedule))
    if isinstance(schedule, Plateau):  # the repr holds its settings, state_dict what it remembers
        other.load_state_dict(schedule.state_dict())
    assert other == schedule
    assert repr(other) == repr(schedule)


@every_example
@pytest.mark.parametrize("bad", [0, -1, 1.0, 1.5, "1", None, True, np.float64(2.0), [1], math.nan])
def test_a_bad_step_is_refused(schedule, bad):
    with pytest.raises(UsageError, match="the step must be an int, counted from 1, got") as caught:
        schedule(bad)
    assert repr(bad) in str(caught.value)
    assert str(caught.value).startswith(type(schedule).__name__)


@every_example
def test_it_cannot_be_changed(schedule):
    if isinstance(schedule, Plateau):
        return  # it remembers
    with pytest.raises(AttributeError):
        setattr(schedule, next(iter(vars(schedule))), 1.0)
    assert hash(schedule) == hash(copy.deepcopy(schedule))


@every_example
def test_past_its_length_the_value_stays(schedule):
    if schedule.length is not None:
        assert type(schedule.length) is int
        assert len({schedule(schedule.length + more) for more in (1, 2, 50, 10**6)}) == 1


@every_example
def test_what_it_remembers_goes_through_a_state(schedule):
    state = json.loads(json.dumps(schedule.state_dict()))
    other = copy.deepcopy(schedule)
    other.load_state_dict(state)
    assert other == schedule
    for bad in ({"nonsense": 1}, [], {**state, "more": 1}, *([None] if state else [])):
        with pytest.raises(UsageError, match="a saved state holds"):
            other.load_state_dict(bad)
    assert other == schedule


@every_example
def test_it_composes(schedule):
    head = schedule.for_steps(6)
    joined = head >> warmup(0.1, 3) >> 0.5
    assert course(joined, 9)[:6] == course(schedule, 6)
    assert joined(7) == warmup(0.1, 3)(1)
    assert joined(10) == 0.5
    for twice in (schedule * 2, 2.0 * schedule, np.float64(2) * schedule, schedule * constant(2)):
        assert type(twice) is product
        assert course(twice, 20) == [2.0 * value for value in course(schedule, 20)]
    assert course(schedule.every(3), 30) == [v for v in course(schedule, 10) for _ in range(3)]
    assert (schedule.every(3).length is None) == (schedule.length is None)


@every_example
def test_an_optimizer_takes_it(schedule):
    p = Value(0.0)
    optimizer = SGD([p], lr=schedule)
    for step in range(1, 12):
        before, p.grad = p.data, -1.0
        optimizer.step()
        assert p.data == before + schedule(step)


@every_example
def test_it_is_drawn(schedule):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert plot.schedule(schedule, steps=30, ax=axes, label="it") is axes
    xs, ys = axes.lines[0].get_data()
    assert list(xs) == list(range(1, 31))
    assert list(ys) == course(schedule, 30)


NUMBERS = [
    pytest.param(kind.examples()[0], argument, id=f"{kind.__name__}-{argument}")
    for kind in KINDS
    for argument in inspect.signature(kind).parameters
]


@pytest.mark.parametrize(("schedule", "argument"), NUMBERS)
@pytest.mark.parametrize("bad", [math.nan, "x", 1j, {"a": 1}, object], ids=repr)
def test_a_bad_argument_is_refused_by_name(schedule, argument, bad):
    kind = type(schedule)
    others = {n: getattr(schedule, n) for n in inspect.signature(kind).parameters}
    with pytest.raises(UsageError) as caught:
        kind(**{**others, argument: bad})
    assert str(caught.value).startswith(f"{kind.__name__}: ")
    assert argument in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cosine(0.1, 0), "cosine: steps must be an int of at least 1, got 0"),
        (lambda: cosine(0.1, 10.0), "cosine: steps must be an int of at least 1, got 10.0"),
        (lambda: cosine(0.1, True), "cosine: steps must be an int of at least 1, got True"),
        (lambda: cosine(math.inf, 10), "cosine: lr must be finite"),
        (lambda: step_decay(0.1, 5, 1.5), "gamma must lie between 0 and 1, got 1.5"),
        (lambda: step_decay(0.1, 5, -0.5), "gamma must be finite, at least 0; got -0.5"),
        (lambda: multistep(0.1, 30), "multistep: milestones must be a list, got 30"),
        (lambda: multistep(0.1, [30, 0]), r"milestones\[1\] must be an int of at least 1, got 0"),
        (lambda: multistep(0.1, "30"), "milestones must be a list, got '30'"),
        (lambda: exponential(0.1), "give either k or gamma"),
        (lambda: exponential(0.1, 0.1, 0.9), "give either k or gamma"),
        (lambda: exponential(0.1, -1), "k must be finite, at least 0; got -1"),
        (lambda: inverse_time(0.1, -1), "k must be finite, at least 0; got -1"),
        (lambda: geometric(0.0, 1.0, 5), "geometric: start must be above 0, got 0.0"),
        (lambda: polynomial(0.1, 5, 0), "polynomial: power must be above 0, got 0"),
        (lambda: cyclical(0.1, 0.2, mode="square"), r"mode must be one of \['triangular', "),
        (lambda: one_cycle(0.1, 10, anneal_strategy="sin"), r"must be one of \['cos', 'linear'\]"),
        (lambda: one_cycle(0.1, 10, three_phase=1), "three_phase must be True or False, got 1"),
        (lambda: one_cycle(0.1, 10, 0.6, three_phase=True), "pct_start must be at most 0.5"),
        (lambda: one_cycle(0.1, 10, div_factor=1e-320), "must be finite"),
        (lambda: piecewise({2: 0.1}), "values needs step 1"),
        (lambda: piecewise([(1, 0.1), (1, 0.2)]), "each step once"),
        (lambda: piecewise({}), "values needs step 1"),
        (lambda: piecewise({0: 0.1}), "each step in values must be an int of at least 1, got 0"),
        (lambda: piecewise({1: "x"}), r"values\[1\] must be a number, got 'x'"),
        (lambda: piecewise([0.1, 0.2]), "must be a dict step -> value"),
        (lambda: lift(0.1), "lift: f must be a function of the step, got 0.1"),
        (lambda: lift(cosine), "lift: f must be a function of the step, got <class"),
        (lambda: join([], []), "schedules is empty"),
        (lambda: join([0.1, 0.2], []), "2 schedules need 1 boundaries, .* got 0"),
        (lambda: join([0.1, 0.2, 0.3], [5, 5]), r"boundaries must rise, got \[5, 5\]"),
        (lambda: join([0.1, "x"], [5]), r"schedules\[1\] must be a schedule, .* got 'x'"),
        (lambda: join([0.1, cosine], [5]), r"schedules\[1\] must be a schedule, .* got <class"),
        (lambda: constant(0.1) * "x", r"factors\[1\] must be a schedule, .* got 'x'"),
        (lambda: Value(2.0) * constant(0.1), "cannot|must be"),
        (lambda: constant(0.1) >> "x", "what follows must be a schedule, .* got 'x'"),
        (lambda: constant(0.1) >> cosine(0.1, 5), r"has no end.*write schedule\.for_steps\(n\)"),
        (lambda: constant(0.1).for_steps(0), "for_steps: steps must be an int of at least 1"),
        (lambda: constant(0.1).every(1.5), "every: steps must be an int of at least 1"),
        (lambda: Plateau(0.1, "up"), r"Plateau: mode must be one of \['min', 'max'\], got 'up'"),
        (lambda: Plateau(0.1, factor=1.0), "factor must be finite, at least 0 and below 1; got 1"),
        (lambda: Plateau(0.1, patience=-1), "patience must be an int of at least 0, got -1"),
    ],
)
def test_it_says_what_is_wrong(make, message):
    with pytest.raises((UsageError, TypeError), match=message):
        make()


@pytest.mark.parametrize("bad", [math.nan, math.inf, "0.1", None, 1j, np.zeros(2)])
def test_a_lifted_function_must_give_a_finite_number(bad):
    schedule = lift(lambda step: 0.1 if step < 3 else bad)
    assert schedule(2) == 0.1
    with pytest.raises(UsageError, match="at step 3 must be"):
        schedule(3)


def test_a_named_function_is_pickled_with_its_schedule():
    schedule = lift(math.sqrt) * 0.1
    assert course(pickle.loads(pickle.dumps(schedule)), 5) == course(schedule, 5)


def test_numpy_numbers_become_plain_ones():
    assert repr(cosine(np.float32(0.5), np.int64(10))) == repr(cosine(0.5, 10))
    assert repr(multistep(1, np.array([30, 10]))) == repr(multistep(1.0, [10, 30]))
    assert cosine(1, 10) == cosine(1.0, 10)


# Laws


def examples():
    return st.sampled_from([p.values[0] for p in EXAMPLES])


def finite():
    return st.one_of(
        st.builds(warmup, st.floats(0.01, 1.0), st.integers(1, 9)),
        st.builds(cosine, st.floats(0.01, 1.0), st.integers(1, 9), st.floats(0.0, 0.01)),
        st.builds(Schedule.for_steps, examples(), st.integers(1, 9)),
        st.builds(every, st.builds(linear, st.floats(0, 1), st.floats(0, 1), st.integers(1, 4)),
                  st.integers(1, 4)),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(finite(), finite(), examples())
def test_following_is_associative(a, b, c):
    assert (a >> b) >> c == a >> (b >> c)
    joined = a >> b >> c
    n, m = a.length, b.length
    assert course(joined, n + m + 20) == course(a, n) + course(b, m) + course(c, 20)
    assert joined == join([a, b, c], [n, n + m]) or isinstance(c, join)
    assert joined.length == (None if c.length is None else n + m + c.length)


@settings(max_examples=60, deadline=None)
@given(finite(), examples(), st.floats(0.0, 10.0))
def test_scaling_distributes_over_following(a, b, factor):
    assert course((a >> b) * factor, 40) == course((a * factor) >> (b * factor), 40)


@settings(max_examples=60, deadline=None)
@given(examples(), examples(), examples())
def test_multiplying_is_associative(a, b, c):
    assert (a * b) * c == a * (b * c)
    assert course(a * b, 30) == course(b * a, 30)


@settings(max_examples=60, deadline=None)
@given(examples(), st.integers(1, 6), st.integers(1, 6))
def test_holding_twice_is_holding_longer(a, m, n):
    assert course(a.every(m).every(n), 50) == course(a.every(m * n), 50)
    assert course(a.for_steps(m).for_steps(n), 20) == course(a.for_steps(min(m, n)), 20)
    assert course(a.every(n).for_steps(m * n), 50) == course(a.for_steps(m).every(n), 50)


def test_the_length_of_a_product_is_that_of_its_longest_factor():
    assert (warmup(0.1, 5) * cosine(1, 9) * 0.5).length == 9
    assert (0.5 * warmup(0.1, 5)).length == 5
    assert (warmup(0.1, 5) * exponential(1, gamma=0.5)).length is None
    assert (constant(2) * 3).length is None


RATES = st.floats(1e-6, 10.0)
FALLING = st.one_of(
    st.builds(step_decay, RATES, st.integers(1, 50), st.floats(0, 1)),
    st.builds(multistep, RATES, st.lists(st.integers(1, 300)), st.floats(0, 1)),
    st.builds(exponential, RATES, st.floats(0, 5)),
    st.builds(lambda lr, g: exponential(lr, gamma=g), RATES, st.floats(0, 1)),
    st.builds(inverse_time, RATES, st.floats(0, 5)),
    st.builds(linear, RATES, st.just(0.0), st.integers(1, 300)),
    st.builds(geometric, RATES, st.just(1e-7), st.integers(1, 300)),
    st.builds(polynomial, RATES, st.integers(1, 300), st.floats(0.1, 5.0)),
    st.builds(cosine, RATES, st.integers(1, 300), st.floats(0.0, 1e-6)),
    st.builds(inverse_sqrt, RATES, st.just(1)),
)


@settings(max_examples=100, deadline=None)
@given(FALLING, st.integers(1, 300), st.integers(1, 300))
def test_decays_never_rise(schedule, a, b):
    first, last = sorted((a, b))
    assert schedule(first) >= schedule(last) * (1.0 - 1e-15) >= 0.0


@settings(max_examples=60, deadline=None)
@given(RATES, st.integers(1, 300))
def test_warm_ups_rise_to_the_rate_from_above_0(lr, steps):
    for schedule in (warmup(lr, steps), inverse_sqrt(lr, steps)):
        values = course(schedule, steps)
        assert values == sorted(values)
        assert values[0] > 0.0
        assert values[-1] == lr


@settings(max_examples=60, deadline=None)
@given(RATES, st.integers(1, 60), st.sampled_from([linear, geometric, polynomial, cosine]))
def test_ways_start_and_end_where_they_say(lr, steps, kind):
    ends = {linear: (lr, 1e-7, steps), geometric: (lr, 1e-7, steps), polynomial: (lr, steps, 2.0,
            1e-7), cosine: (lr, steps, 1e-7)}  # fmt: skip
    schedule = kind(*ends[kind])
    assert schedule(1) == pytest.approx(lr, rel=1e-15)
    assert schedule(steps + 1) == schedule(10**9) == 1e-7
    assert schedule.length == steps


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 10**9))
def test_cycles_come_back(up, down, step):
    schedule = cyclical(0.01, 0.1, up, down)
    assert schedule(step + 1) == schedule(step % (up + down) + 1)
    assert schedule(up + 1) == pytest.approx(0.1, rel=1e-15)
    assert warm_restarts(0.1, up)(step + 1) == warm_restarts(0.1, up)(step % up + 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(2, 4), st.integers(0, 12))
def test_restarts_are_where_the_sums_say(first, times, restarts):
    start = first * (times**restarts - 1) // (times - 1)
    schedule = warm_restarts(0.1, first, times, 0.01)
    assert schedule(start + 1) == pytest.approx(0.1, rel=1e-15)
    if start and first > 1:
        assert schedule(start) < 0.06


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.floats(0, 0.5), st.sampled_from(["cos", "linear"]), st.booleans())
def test_one_cycle_stays_within_its_ends(steps, share, strategy, three):
    schedule = one_cycle(1.0, steps, share, strategy, three_phase=three)
    values = course(schedule, steps + 3)
    assert all(4e-6 * (1 - 1e-12) <= value <= 1.0 for value in values)
    assert values[steps - 1] == pytest.approx(4e-6, rel=1e-12)
    assert values[steps - 1 :] == [values[-1]] * 4


def test_the_first_two_tutorial_recipes():
    halve = step_decay(1.0, 5, 0.5)  # per epoch
    assert course(halve, 11) == [1.0] * 5 + [0.5] * 5 + [0.25]
    tenth = step_decay(1.0, 20).every(3)  # per step, 3 steps an epoch
    assert tenth(60) == 1.0
    assert tenth(61) == 0.1


# Plateau


def test_the_rule_of_a_plateau_is_pure():
    lr = Plateau(0.1, factor=0.5, patience=0)
    before = lr.state
    after = lr.advance(lr.advance(before, 1.0), 2.0)
    assert lr.state == before == PlateauState(0.1, math.inf, 0, 0)
    assert after == PlateauState(0.05, 1.0, 0, 0)
    assert lr(1) == 0.1


@pytest.mark.parametrize(
    "metric", [1.0, 1, np.float32(1.0), np.array(1.0), np.array([1.0]), Value(1.0), Tensor(1.0)]
)
def test_a_plateau_takes_numbers_of_all_kinds(metric):
    lr = Plateau(0.1)
    lr.update(metric)
    assert lr.state == PlateauState(0.1, 1.0, 0, 0)
    assert type(lr.state.best) is float


@pytest.mark.parametrize("bad", ["1.0", None, 1j, True, [1.0], np.zeros(2), Tensor([1.0, 2.0])])
def test_a_bad_metric_changes_nothing(bad):
    lr = Plateau(0.1)
    before = lr.state
    with pytest.raises(UsageError, match="Plateau: metric must be a number, got"):
        lr.update(bad)
    assert lr.state == before


def test_a_metric_that_is_nan_is_a_bad_one():
    lr = Plateau(0.1, patience=1, factor=0.5)
    for metric in (1.0, math.nan, math.nan):
        lr.update(metric)
    assert lr(1) == 0.05
    assert lr.state.best == 1.0


def test_a_plateau_goes_on_where_it_was_saved():
    metrics = GOLDEN["metrics"]["falling"]
    straight, first = Plateau(0.1, factor=0.9, patience=2), Plateau(0.1, factor=0.9, patience=2)
    for metric in metrics[:100]:
        straight.update(metric)
        first.update(metric)
    second = Plateau(0.1, factor=0.9, patience=2)
    second.load_state_dict({k: np.asarray(v) for k, v in first.state_dict().items()})
    for metric in metrics[100:]:
        straight.update(metric)
        second.update(metric)
    assert second == straight
    assert second(1) < first(1) < 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"lr": math.nan},
        {"lr": "x"},
        {"best": math.nan},
        {"bad": -1},
        {"bad": 1.5},
        {"cooldown": None},
        {"cooldown": [1, 2]},
    ],
)
def test_a_damaged_state_changes_nothing(change):
    lr = Plateau(0.1)
    other = warmup(0.1, 5) >> lr * 0.5
    before = lr.state
    damaged = {**lr.state_dict(), **change}
    with pytest.raises(UsageError, match=f"Plateau: {next(iter(change))} must"):
        lr.load_state_dict(damaged)
    with pytest.raises(UsageError, match=f"Plateau: {next(iter(change))} must"):
        other.load_state_dict({"0": damaged})
    assert lr.state == before


def test_a_plateau_within_other_schedules_is_remembered():
    def make():
        lr = Plateau(0.1, patience=0, factor=0.5)
        return lr, (warmup(0.1, 2) >> lr * 0.5).every(2)

    (lr, schedule), (_, other) = make(), make()
    for metric in (1.0, 2.0, 3.0):
        lr.update(metric)
    assert schedule(5) == 0.0125
    assert schedule.state_dict() == {"0": lr.state_dict()}
    other.load_state_dict(schedule.state_dict())
    assert other == schedule
    assert other(5) == 0.0125


def test_an_optimizer_saves_what_its_schedules_remember():
    def make():
        p, lr = Value(0.0, name="p"), Plateau(0.5, patience=0, factor=0.5)
        return p, lr, SGD([p], lr=warmup(0.5, 2) >> lr, momentum=linear(0.5, 0.9, 9))

    (p, lr, optimizer), (q, other, resumed) = make(), make()
    for metric in (1.0, 2.0, 3.0):
        p.grad = -1.0
        optimizer.step()
        lr.update(metric)
    resumed.load_state_dict(optimizer.state_dict())
    q.data = p.data
    assert other == lr
    assert other(1) == 0.125
    for x, o in ((p, optimizer), (q, resumed)):
        x.grad = -1.0
        o.step()
    assert p.data == q.data


def test_a_plateau_can_drive_an_optimizer():
    p = Value(0.0)
    lr = Plateau(0.5, mode="max", factor=0.5, patience=0)
    optimizer = SGD([p], lr=warmup(0.5, 1) >> lr)
    for accuracy in (0.5, 0.4):
        p.grad = -1.0
        optimizer.step()
        lr.update(accuracy)
    p.grad = -1.0
    optimizer.step()
    assert p.data == 1.25


def test_a_plain_function_may_follow_a_schedule():
    joined = schedules.constant(0.5).for_steps(2) >> (lambda step: 0.1 / step)
    assert [joined(step) for step in (1, 2, 3, 4)] == [0.5, 0.5, 0.1, 0.05]
    with pytest.raises(UsageError, match="what follows must be a schedule, a finite number or"):
        schedules.constant(0.5).for_steps(2) >> "cosine"
