"""Every function of linalg: it has a case, NumPy's arguments, and NumPy hands nodes over to it."""

import inspect

import numpy as np
import pytest
from function_cases.linalg import CASES

import microgradopt as mg
from microgradopt import linalg
from microgradopt.engine.graph import Node

WITHOUT_DERIVATIVE = {"LinAlgError", "eig", "eigvals", "matrix_rank"}


def test_every_function_has_a_case():
    tested = {case.name.removeprefix("linalg.") for case in CASES}
    assert tested == set(linalg.__all__) - WITHOUT_DERIVATIVE


def test_what_numpy_has_is_there():
    theirs = {name for name in np.linalg.__all__ if callable(getattr(np.linalg, name))}
    assert theirs == set(linalg.__all__)


@pytest.mark.parametrize("name", sorted(set(linalg.__all__) - {"LinAlgError"}))
def test_arguments_and_defaults_are_those_of_numpy(name):
    ours = inspect.signature(getattr(linalg, name)).parameters
    theirs = inspect.signature(getattr(np.linalg, name)).parameters
    meaningless = {"out", "dtype"}  # for an array to write into, and another precision
    kept = {n: p.default for n, p in theirs.items() if n not in meaningless}
    if list(ours) != list(kept):  # positional only: their names say nothing
        assert len(ours) == len(kept)
    assert [p.default for p in ours.values()] == list(kept.values())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numpy_hands_nodes_over(case):
    nodes = [mg.Tensor(x) for x in case.args]
    ours, theirs = case.f(*nodes), case.reference(*nodes)
    for a, b in zip(*((x if isinstance(x, list) else [x]) for x in (ours, theirs)), strict=True):
        assert isinstance(b, Node)
        np.testing.assert_array_equal(a.data, b.data)
