"""``check.property``: a function as a property test that finds where it is wrong, and says so."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import strategies as st

import microgradopt as mg
from microgradopt import check
from microgradopt.check import strategies
from microgradopt.errors import GradientError, MissingExtraError, UsageError

few = {"max_examples": 10, "derandomize": True}


def points(domain, **options):
    """The arguments that a property of a function of two looks at."""
    seen = []

    def noted(x, y):
        seen.append((x, y))
        return mg.sum(x) + (mg.sum(y) if isinstance(y, mg.engine.graph.Node) else 0.0)

    check.property(noted, domain, order=1, max_examples=60, derandomize=True, **options)()
    return seen


test_tanh = check.property(mg.tanh, (-3.0, 3.0), **few)  # pytest finds it and runs it
test_arctan2 = check.property(mg.arctan2, [(-2, -1), (0.5, 2.0)], shapes=[(2, 3), (3,)], **few)


@check.property(domain={"x": (-3.0, 3.0), "y": (0.5, 2.0)}, **few)
def test_a_decorated_function(x, y):
    return mg.sin(x) / y


def test_it_is_a_test_of_no_arguments_with_a_name():
    prop = check.property(mg.exp, (-1, 1))
    assert prop.__name__ == "test_exp"
    assert test_a_decorated_function.__name__ == "test_a_decorated_function"
    assert prop() is None


def wrong_above_two():
    return lambda x: mg.where(x < 2.0, mg.square(x), 3.0 * mg.square(mg.stop_gradient(x)) + x)


def test_a_failure_shows_the_simplest_arguments_and_the_error():
    def bent(x, power):
        return wrong_above_two()(x) ** power

    prop = check.property(bent, {"x": (2.5, 5.0), "power": st.just(1)}, shapes=(), order=1, **few)
    with pytest.raises(GradientError, match="reverse mode") as caught:
        prop()
    assert "bent(x=2.5, power=1)" in caught.value.__notes__


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [((), {((), ())}), ((2,), {((2,), (2,))}), ([(2, 1), (3,)], {((2, 1), (3,))})],
)
def test_shapes_as_given(shapes, expected):
    found = points((0.5, 2.0), shapes=shapes)
    assert {(np.shape(x.data), np.shape(y.data)) for x, y in found} == expected
    assert {type(x) for x, _ in found} == {mg.Tensor if shapes else mg.Value}


def test_shapes_as_drawn_are_numbers_and_arrays_that_broadcast():
    found = points((0.5, 2.0))
    kinds = {(type(x), type(y)) for x, y in found}
    assert kinds >= {(mg.Value, mg.Value), (mg.Tensor, mg.Tensor)}
    assert any(x.shape != y.shape for x, y in found)
    near = [x.data for x, _ in found if np.size(x.data)]  # differences go a little beyond
    assert all(np.min(x) > 0.2 and np.max(x) < 2.5 for x in near)


def test_what_is_not_made_of_floats_is_handed_over():
    for y in ("mean", 3, None, (1, 2), np.array([0, 1]), True):
        found = points({"x": (0, 1), "y": st.just(y)})
        assert all(given is y for _, given in found)


def test_structures_of_floats_are_differentiated():
    def total(weights):
        return mg.sum(weights["w"] * weights["b"])

    drawn = strategies.arrays(2).map(lambda xs: {"w": xs[0], "b": xs[1]})
    check.property(total, drawn, **few)()
    check.property(lambda v: v * v, strategies.values(), **few)()


def test_options_reach_check_grads():
    bent, there = wrong_above_two(), {"x": st.just(2.5)}
    with pytest.raises(GradientError):
        check.property(bent, there, order=1, **few)()
    check.property(bent, there, order=1, rtol=100.0, atol=100.0, **few)()
    with pytest.raises(GradientError, match="forward mode"):
        check.property(bent, there, order=1, modes=["forward"], **few)()


@pytest.mark.parametrize(
    ("f", "domain", "message"),
    [
        ((-3, 3), None, r"\(-3, 3\) is not a function; give a domain as domain="),
        (mg.arctan2, [(0, 1)], r"does not fit arctan2\(x0, x1\)"),
        (mg.exp, None, r"domain=None does not fit exp\(x\)"),
        (lambda x: x, {"x": 3.0}, r"the domain of 'x' must be an interval"),
        (lambda x: x, {"x": ("a", "b")}, r"the domain of 'x' must be an interval"),
        (lambda: 1.0, (0, 1), "no argument to draw"),
        (type("Odd", (), {"__call__": lambda *a: 1, "__signature__": 3})(), (0, 1), "give a dict"),
    ],
)
def test_a_domain_that_does_not_fit_is_refused(f, domain, message):
    with pytest.raises(UsageError, match=message):
        check.property(f, domain)


def test_without_hypothesis_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from microgradopt import check\n"
        "from microgradopt.errors import MissingExtraError\n"
        "for name in ('strategies', 'property'):\n"
        "    try:\n"
        "        getattr(check, name)\n"
        "    except MissingExtraError as error:\n"
        "        print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.count("pip install 'microgradopt[check]'") == 2
    assert issubclass(MissingExtraError, ImportError)
