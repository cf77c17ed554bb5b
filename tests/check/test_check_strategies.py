"""Strategies: what they give, that all of it occurs, and that it shrinks to something readable."""

import math

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings, strategies as st

import microgradopt as mg
from microgradopt import check
from microgradopt.check import strategies
from microgradopt.check.expressions import EVERY_LAYOUT, laid_out, library_rows, literal
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import Elementwise
from microgradopt.errors import UsageError

quick = settings(max_examples=60, derandomize=True, database=None, deadline=None)


def seen(strategy, what, count=400):
    """What ``count`` examples have been, by ``what``."""
    found = set()

    @settings(quick, max_examples=count, phases=[Phase.generate])
    @given(strategy)
    def look(x):
        found.add(what(x))

    look()
    return found


def smallest(strategy, condition):
    return find(strategy, condition, settings=settings(quick, max_examples=2000))


# Numbers


@pytest.mark.parametrize(
    ("low", "high"), [(-3, 3), (0.02, 7.0), (2.0, 2.0), (-1e-9, 1e-9), (-1e12, -5.0), (-0.3, 0.95)]
)
def test_numbers_stay_in_their_interval(low, high):
    @quick
    @given(strategies.numbers(low, high))
    def stays(x):
        assert type(x) is float
        assert low <= x <= high

    stays()


def test_numbers_shrink_to_short_ones():
    assert smallest(strategies.numbers(-3, 3), lambda x: x > 2) == 2.001
    assert smallest(strategies.numbers(-3, 3), lambda x: True) == 0.0


def test_special_numbers_come_up():
    found = seen(strategies.numbers(special=(-0.0, 1e-300, math.inf)), repr)
    assert {"-0.0", "1e-300", "inf"} <= found


@pytest.mark.parametrize("interval", [(1.0, 0.0), (0.0, math.inf), (math.nan, 1.0)])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(UsageError, match="no interval to draw from"):
        strategies.numbers(*interval)
    with pytest.raises(UsageError, match="no interval to draw from"):
        strategies.arrays(elements=interval)


def test_values_are_leaves():
    assert seen(strategies.values(1, 2), lambda v: (type(v), v.op, v.requires_grad)) == {
        (mg.Value, None, True)
    }


# Arrays


def layout_of(x):
    if x.ndim < 2 or 1 in x.shape or x.size == 0:
        return "any"
    flags = x.flags
    if not flags.writeable:
        return "read-only"
    if flags.c_contiguous:
        return "C"
    return "Fortran" if flags.f_contiguous else "reversed" if min(x.strides) < 0 else "strided"


def test_every_shape_dtype_and_layout_comes_up():
    drawn = strategies.arrays(dtypes=(np.float32, np.float64))
    shapes = seen(drawn, lambda x: x.shape, 500)
    assert {(), (0,), (1,), (3,)} <= shapes
    assert {len(s) for s in shapes} == {0, 1, 2, 3}
    square = strategies.arrays(shapes=(2, 3), dtypes=(np.float32, np.float64))
    found = seen(square, lambda x: (layout_of(x), x.dtype.name), 150)
    assert {layout for layout, _ in found} == set(EVERY_LAYOUT)
    assert {dtype for _, dtype in found} == {"float32", "float64"}


@quick
@given(strategies.arrays(3, elements=[(-1, 1), (2, 3), st.just(7.0)]))
def test_several_arrays_broadcast_together(xs):
    assert len(xs) == 3
    np.broadcast_shapes(*(x.shape for x in xs))
    for x, (low, high) in zip(xs, [(-1, 1), (2, 3), (7, 7)]):
        assert ((low <= x) & (x <= high)).all()


def test_arrays_of_given_shapes_and_layouts():
    drawn = strategies.arrays(2, shapes=[(2, 2), (3,)], layouts=["Fortran"])
    found = seen(drawn, lambda xs: (xs[0].shape, xs[1].shape, xs[0].flags.f_contiguous), 20)
    assert found == {((2, 2), (3,), True)}


def test_an_array_shrinks_to_one_entry_that_matters():
    x = smallest(strategies.arrays(min_side=1), lambda x: (x > 1.5).any())
    assert x.tolist() == 1.501


def test_wrong_options_of_arrays_are_refused():
    with pytest.raises(UsageError, match=r"layouts must be some of .*'F'"):
        strategies.arrays(layouts=["F"])
    with pytest.raises(UsageError, match="a list of 1, for 2 array"):
        strategies.arrays(2, elements=[(0, 1)])


@pytest.mark.parametrize("layout", EVERY_LAYOUT)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (2, 0), (2, 1, 3)])
def test_a_layout_keeps_the_entries(layout, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y = laid_out(x, layout)
    assert type(y) is np.ndarray
    assert y.dtype == x.dtype
    assert y.shape == shape
    np.testing.assert_array_equal(x, y)
    assert not np.shares_memory(x, y)


def test_tensors_are_leaves():
    one, several = strategies.tensors(shapes=(2,)), strategies.tensors(2)
    assert seen(one, lambda t: (type(t), t.shape), 20) == {(mg.Tensor, (2,))}
    assert seen(several, lambda ts: tuple(map(type, ts)), 20) == {(mg.Tensor, mg.Tensor)}


# Indices


def kinds_of(key):
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        if isinstance(part, np.ndarray):
            yield "mask" if part.dtype == bool else "repeats" if repeats(part) else "array"
        elif isinstance(part, slice):
            yield "backwards" if part.step and part.step < 0 else "slice"
        else:
            yield part if part in (None, Ellipsis) else "int"
    yield "tuple" if isinstance(key, tuple) else "alone"
    if len({isinstance(part, np.ndarray) for part in parts}) > 1:
        yield "mixed"


def repeats(part):
    return len(np.unique(part)) < part.size


def test_every_kind_of_index_comes_up():
    found = {kind for kinds in seen(strategies.indices((3, 2, 4)), lambda k: frozenset(kinds_of(k)))
             for kind in kinds}  # fmt: skip
    assert found == {
        "mask", "array", "repeats", "backwards", "slice", "int", None, Ellipsis, "tuple", "alone",
        "mixed",
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 0), (1,), (3, 2), (2, 3, 2)])
def test_indices_are_valid_and_differentiable(shape):
    x = np.arange(math.prod(shape), dtype=float).reshape(shape)

    @settings(quick, max_examples=150)
    @given(strategies.indices(shape))
    def valid(key):
        expected = x[key]
        t = mg.Tensor(x)
        picked = t[key]
        np.testing.assert_array_equal(picked.data, expected)
        picked.backward(np.ones(picked.shape))
        counted = np.zeros(shape)
        np.add.at(counted, key, 1.0)
        np.testing.assert_array_equal(t.grad, counted)

    valid()


# Graphs


def test_graphs_have_everything_that_makes_a_graph():
    looks = {
        "fan-out": lambda e: any(e.source().count(f"{name}") > 3 for name in e.steps),
        "several results": lambda e: len(e.results) > 1,
        "one result": lambda e: len(e.results) == 1 and len(e.steps) > 2,
        "a number": lambda e: any(isinstance(x, float) for x in e.inputs),
        "an array": lambda e: any(isinstance(x, np.ndarray) for x in e.inputs),
        "empty": lambda e: any(np.size(x) == 0 for x in e.inputs),
        "0-d": lambda e: any(isinstance(x, np.ndarray) and not x.ndim for x in e.inputs),
        "squashed": lambda e: "mg.sigmoid(0.5 * " in e.source(),
        "nudged": lambda e: "0.1 * mg.sin(" in e.source(),
        "shifted": lambda e: "(0.37 + " in e.source() or "-0.61 + " in e.source(),
    }
    found = seen(
        strategies.graphs(), lambda e: frozenset(k for k, look in looks.items() if look(e))
    )
    assert set().union(*found) == set(looks)


def test_every_row_of_the_library_can_be_drawn():
    for row in library_rows():
        drawn = strategies.graphs([row], max_steps=2)
        assert True in seen(drawn, lambda e, row=row: row in e.rows, 6), row


def test_the_rows_are_those_of_the_library_alone():
    mg.elementwise("of_a_test", array=np.abs, partials=(1.0,), sample=((1.0, 2.0),))
    names = {row.name for row in library_rows()}
    assert {"add", "sum", "matmul", "softmax", "affine"} <= names
    assert "of_a_test" not in names


@settings(quick, max_examples=100)
@given(strategies.graphs(max_steps=10, inputs=2))
def test_graphs_keep_to_their_limits_and_domains(expression):
    assert 1 <= len(expression.steps) <= 10
    assert 1 <= len(expression.inputs) <= 2
    results = []

    def watch(row, args, params):
        if isinstance(row, Elementwise):
            for x, (low, high), rule in zip(args, row.sample, row.partials):
                inside = rule is None or row.name in OPEN or np.all((low <= x) & (x <= high))
                assert inside, (row, x)
        if row.kinks is not None:
            assert (np.abs(row.kinks(*args, **params)) > 0.01).all()
        results.append(row(*args, **params))
        return results[-1]

    expression.run([np.asarray(x) for x in expression.inputs], watch)
    assert all(np.isfinite(y).all() for y in results)


OPEN = {"add", "multiply", "sigmoid", "sin"}  # also used in place, on what has no limits


@settings(quick, max_examples=25)
@given(strategies.graphs(max_steps=5))
def test_the_library_passes_on_its_own_graphs(expression):
    check.check_grads(expression, *expression.inputs, order=1)


@quick
@given(strategies.graphs(scalars=True))
def test_graphs_of_numbers(expression):
    assert {type(x) for x in expression.inputs} == {float}
    out = expression(*map(mg.Value, expression.inputs))
    assert {type(y) for y in (out if isinstance(out, tuple) else (out,))} == {mg.Value}


@quick
@given(strategies.graphs(dtype=np.float32))
def test_graphs_of_float32(expression):
    arrays = [x for x in expression.inputs if isinstance(x, np.ndarray)]
    assert {x.dtype for x in arrays} <= {np.dtype(np.float32)}


def run_source(source):
    """The function that a source defines, and the result of its last line."""
    *lines, call = source.splitlines()
    space = {}
    exec("\n".join(lines), space)
    return space["f"], eval(call, space)


@settings(quick, max_examples=150)
@given(strategies.graphs() | strategies.graphs(dtype=np.float32))
def test_the_source_runs_and_computes_the_same(expression):
    _, found = run_source(expression.source())
    expected = expression(*expression.inputs)
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for a, b in zip(found, expected, strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def test_graphs_shrink_to_the_one_step_that_matters():
    cube = mg.elementwise(
        "cube_shrunk", array=lambda x: x * x * x,
        partials=lambda out, x: (3.0 * x * x,), sample=((-2.0, 2.0),),
    )  # fmt: skip
    rows = [*library_rows(), cube]
    found = smallest(strategies.graphs(rows), lambda e: cube in e.rows and len(e.steps) > 0)
    assert found.source() == "\n".join([
        "import numpy as np",
        "import microgradopt as mg",
        "from microgradopt.engine.graph import Primitive",
        "",
        "cube_shrunk = Primitive.table['cube_shrunk']",
        "",
        "def f(x0):",
        "    return cube_shrunk(x0)",
        "",
        "f(1.5)",
    ])  # fmt: skip


def test_a_row_that_is_called_like_the_function():
    row = mg.elementwise(
        "f", array=lambda x: x**3, partials=(lambda out, x: 3.0 * x * x,), sample=((-2.0, 2.0),)
    )
    expression = smallest(strategies.graphs([row]), lambda e: row in e.rows)
    assert "row_f = Primitive.table['f']" in expression.source()
    _, found = run_source(expression.source())
    assert found == expression(*expression.inputs)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UsageError, match=r"<primitive greater> must have a derivative"):
        strategies.graphs([mg.greater])
    with pytest.raises(UsageError, match="no row to draw from"):
        strategies.graphs([Primitive.table["sum"]], scalars=True)
    with pytest.raises(UsageError, match="must be at least 1"):
        strategies.graphs(max_steps=0)


def test_an_expression_wants_as_many_inputs_as_it_has():
    expression = smallest(strategies.graphs([mg.exp], max_steps=1), lambda e: True)
    with pytest.raises(UsageError, match=r"takes \(x0\); it got 2 argument"):
        expression(1.0, 2.0)


def test_a_row_that_nothing_fits_leaves_the_input_itself():
    never = mg.elementwise(
        "never_smooth", array=np.abs, partials=lambda out, x: (0.0 * x,),
        sample=((-1.0, 1.0),), kinks=lambda x: 0.0 * x,
    )  # fmt: skip
    expression = smallest(strategies.graphs([never], max_steps=1), lambda e: True)
    assert [row.name for row in expression.rows] == ["alias"]


def test_infinite_and_endless_results_are_left_out():
    pole = mg.elementwise(
        "pole", array=lambda x: 1.0 / (0.0 * x), partials=lambda out, x: (0.0 * x,),
        sample=((-1.0, 1.0),),
    )  # fmt: skip
    longer = mg.linear(
        "longer", array=lambda x: np.tile(x, 60), transpose=lambda g, x: mg.sum(g),
        sample=lambda rng: [((rng.normal(size=2),), {})],
    )  # fmt: skip

    def tame(expression):
        results = expression(*expression.inputs)
        results = results if isinstance(results, tuple) else (results,)
        return all(np.isfinite(y).all() and np.size(y) <= 100 for y in results)

    left = seen(strategies.graphs([pole, longer]), lambda e: (tame(e), len(e.rows)), 40)
    assert {fine for fine, _ in left} == {True}


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (1.5, "1.5"),
        (math.inf, "float('inf')"),
        (np.float32(0.1), "0.10000000149011612"),
        (np.array([0.1], np.float32), "np.array([0.1], dtype=np.float32)"),
        (np.array([[True], [False]]), "np.array([[True], [False]])"),
        (np.zeros((0, 2)), "np.zeros((0, 2), dtype=np.float64)"),
        (np.zeros((0,), bool), "np.zeros((0,), dtype=bool)"),
        ((1, [None, ...], {"a": slice(2)}), "(1, [None, Ellipsis], {'a': slice(None, 2, None)})"),
        ((3,), "(3,)"),
        (mg.Tensor([1.0]), "mg.Tensor(np.array([1.0]))"),
        (np.dtype(np.float32), "np.dtype('float32')"),
    ],
)
def test_literals(x, text):
    assert literal(x) == text


@pytest.mark.parametrize("layout", EVERY_LAYOUT)
def test_a_literal_has_the_layout(layout):
    x = laid_out(np.arange(6.0).reshape(2, 3), layout)
    y = eval(literal(x), {"np": np})
    np.testing.assert_array_equal(x, y)
    if layout != "read-only":
        assert x.strides == y.strides
