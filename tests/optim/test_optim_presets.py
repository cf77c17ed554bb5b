"""Presets against trajectories of the libraries they are named after, and as callables."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from trajectories import agrees, runs, title

from microgradopt import Tensor, Value, optim
from microgradopt.errors import UsageError
from microgradopt.optim import presets

LIBRARIES = ["torch", "keras", "optax", "tutorial"]


def members(library):
    namespace = getattr(presets, library)
    return [getattr(namespace, name) for name in dir(namespace) if not name.startswith("_")]


ALL = [(library, preset) for library in LIBRARIES for preset in members(library)]
every_preset = pytest.mark.parametrize(
    "preset", [pytest.param(p, id=f"{library}-{p.__name__}") for library, p in ALL]
)
RUNS = [
    pytest.param(library, run, id=f"{library}-{run['preset']}-{title(run)}")
    for library in ("keras", "optax")
    for run in runs(library)
]


@pytest.mark.parametrize(("library", "run"), RUNS)
def test_it_follows_its_library(library, run):
    agrees(getattr(getattr(presets, library), run["preset"]), run)


@pytest.mark.parametrize("library", ["keras", "optax"])
def test_every_preset_has_a_golden_run(library):
    seen = {run["preset"] for run in runs(library)}
    assert seen == {p.__name__ for p in members(library)}, "run tests/golden/make_optimizers.py"


# The tutorials' forms, written out


def path(kind, gradients, **options):
    """Where 1 goes along given gradients."""
    x = Value(1.0)
    optimizer = kind([x], **options)
    found = []
    for g in gradients:
        x.grad = g
        optimizer.step()
        found.append(x.data)
    return found


GRADIENTS = [1.0, -0.5, 2.0, 0.25, -3.0]


def test_the_tutorials_momentum_keeps_the_rate_in_the_velocity():
    found = path(presets.tutorial.SGD, GRADIENTS, lr=lambda t: 0.1 / t, momentum=0.9)
    x, v = 1.0, 0.0
    for t, (g, seen) in enumerate(zip(GRADIENTS, found), 1):
        v = 0.9 * v - 0.1 / t * g
        x += v
        assert seen == pytest.approx(x, rel=1e-14)


def test_the_tutorials_nesterov():
    found = path(presets.tutorial.SGD, GRADIENTS, lr=0.1, momentum=0.9, nesterov=True)
    x, v = 1.0, 0.0
    for g, seen in zip(GRADIENTS, found):
        before = v
        v = 0.9 * v - 0.1 * g
        x += -0.9 * before + 1.9 * v
        assert seen == pytest.approx(x, rel=1e-14)


def test_the_tutorials_adam_takes_the_first_moment_from_the_first_moment():
    found = path(presets.tutorial.Adam, GRADIENTS, lr=0.1)
    x, m, v = 1.0, 0.0, 0.0
    for g, seen in zip(GRADIENTS, found):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        x -= 0.1 * m / (np.sqrt(v) + 1e-8)
        assert seen == pytest.approx(x, rel=1e-14)


def test_the_tutorials_adagrad():
    found = path(presets.tutorial.Adagrad, GRADIENTS, lr=0.1, eps=1e-2)
    x, cache = 1.0, 0.0
    for g, seen in zip(GRADIENTS, found):
        cache += g**2
        x -= 0.1 * g / (np.sqrt(cache) + 1e-2)
        assert seen == pytest.approx(x, rel=1e-14)


def test_the_tutorials_rmsprop_keeps_the_factor_of_the_new_square():
    found = path(presets.tutorial.RMSprop, GRADIENTS, lr=0.1, alpha=0.9, eps=1e-2)
    x, cache = 1.0, 0.0
    for g, seen in zip(GRADIENTS, found):
        cache = 0.9 * cache + 0.1 * g**2
        x -= 0.1 * g / (np.sqrt(cache) + 1e-2)
        assert seen == pytest.approx(x, rel=1e-14)


def test_the_tutorials_adadelta_has_no_rate():
    found = path(presets.tutorial.Adadelta, GRADIENTS, rho=0.9, eps=1e-2)
    x, s, moved = 1.0, 0.0, 0.0
    for g, seen in zip(GRADIENTS, found):
        s = 0.9 * s + 0.1 * g**2
        u = np.sqrt((moved + 1e-2) / (s + 1e-2)) * g
        x -= u
        moved = 0.9 * moved + 0.1 * u**2
        assert seen == pytest.approx(x, rel=1e-14)


def test_the_tutorials_lookahead_is_at_the_end_of_the_velocity():
    x = Value(1.0)
    optimizer = presets.tutorial.Nesterov([x], lr=0.1, momentum=0.9)
    asked = []

    def closure():
        asked.append(x.data)
        x.grad = 2.0 * x.data

    point, v = 1.0, 0.0
    for _ in range(5):
        optimizer.step(closure)
        ahead = point + 0.9 * v
        v = 0.9 * v - 0.1 * 2.0 * ahead
        point += v
        assert asked[-1] == pytest.approx(ahead, rel=1e-14)
        assert x.data == pytest.approx(point, rel=1e-14)


# How they are called


@every_preset
def test_it_makes_an_optimizer_of_the_class_of_its_name(preset):
    assert type(preset([Tensor(np.eye(2))])) is getattr(optim, preset.__name__)


@every_preset
def test_its_signature_says_the_defaults(preset):
    signature = inspect.signature(preset).parameters
    optimizer = preset([Tensor(np.eye(2))])
    assert "params" in signature
    assert {k: signature[k].default for k in optimizer.defaults} == optimizer.defaults


@pytest.mark.parametrize(("library", "preset"), [c for c in ALL if c[0] != "torch"])
def test_its_docstring_says_what_differs(library, preset):
    usual = inspect.signature(getattr(optim, preset.__name__)).parameters
    for name, parameter in inspect.signature(preset).parameters.items():
        differs = parameter.default != usual[name].default
        said = f" {name}={parameter.default!r}" in repr(preset)
        assert said == differs
        assert not differs or repr(preset) in preset.__doc__


def test_arguments_come_before_the_presets_own():
    x = Value(1.0)
    assert presets.keras.Adam([x], 0.25).param_groups[0]["lr"] == 0.25
    assert presets.keras.Adam([x], eps=0.5).param_groups[0]["eps"] == 0.5
    assert presets.keras.SGD([x]).param_groups[0]["lr"] == 0.01


def test_groups_start_from_the_preset():
    x, y = Value(1.0), Value(2.0)
    optimizer = presets.keras.Adam([{"params": [x], "eps": 0.5}, {"params": [y]}])
    assert [group["eps"] for group in optimizer.param_groups] == [0.5, 1e-7]


def test_the_state_is_that_of_the_class():
    x, y = Value(1.0), Value(1.0)
    saved, other = presets.keras.Adam([x]), optim.Adam([y])
    x.grad = 1.0
    saved.step()
    other.load_state_dict(saved.state_dict())
    assert other.param_groups[0]["eps_mode"] == "hat"


def test_torchs_are_the_classes_themselves():
    assert all(preset is getattr(optim, preset.__name__) for preset in members("torch"))


def test_a_bad_option_is_refused_as_by_the_class():
    with pytest.raises(UsageError, match="Adam: lr must be"):
        presets.keras.Adam([Value(1.0)], lr=-1.0)
    with pytest.raises(TypeError, match="learning_rate"):
        presets.keras.Adam([Value(1.0)], learning_rate=0.1)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_name_that_a_library_lacks_is_refused_with_those_it_has(library):
    with pytest.raises(AttributeError, match=rf"presets\.{library} has no 'Sgd'; it has SGD, "):
        getattr(presets, library).Sgd


@pytest.mark.parametrize("library", LIBRARIES)
def test_printed_a_library_says_how_it_differs(library):
    lines = repr(getattr(presets, library)).splitlines()
    assert lines[0] == f"presets.{library}"
    assert sorted(line.split(":")[0].strip() for line in lines[1:]) == sorted(
        preset.__name__ for preset in members(library)
    )
