"""Derivatives inside of jitted functions and around them; rows and rules made by users."""

from __future__ import annotations

import numpy as np
import pytest
from fidelity import CALLS, World, agree, jit

import microgradopt as mg
from microgradopt import Tensor

VECTOR = np.random.default_rng(0).normal(size=3)


def calls(*args):
    return [tuple(args) for _ in range(CALLS)]


def energy(x, k):
    return mg.sum(mg.tanh(x * k) * x) + mg.exp(k)


TRANSFORMS = {
    "grad": lambda x, k: mg.grad(energy, (0, 1))(x, k),
    "value_and_grad": lambda x, k: mg.value_and_grad(energy)(x, k),
    "second": lambda x, k: mg.grad(lambda y: mg.sum(mg.grad(energy)(y, k) ** 2))(x),
    "third": lambda x, k: mg.grad(lambda c: mg.grad(lambda b: mg.grad(energy, 1)(x, b))(c))(k),
    "vjp": lambda x, k: mg.vjp(lambda y: mg.tanh(y * k), x)[1](x + 1.0),
    "jvp": lambda x, k: mg.jvp(energy, (x, k), (x + 1.0, 0.5)),
    "hvp": lambda x, k: mg.hvp(lambda y: energy(y, k), x, x),
    "jacobian": lambda x, k: mg.jacobian(lambda y: mg.stack([energy(y, k), mg.sum(y)]))(x),
    "tall": lambda x, k: mg.jacobian(lambda y: mg.concatenate([y, mg.sin(y), y * k]))(x),
    "hessian": lambda x, k: mg.hessian(lambda y: energy(y, k))(x),
    "grad of hessian": lambda x, k: mg.grad(
        lambda y: mg.sum(mg.hessian(lambda z: energy(z, k))(y) ** 2)
    )(x),
    "checkpoint": lambda x, k: mg.grad(mg.checkpoint(energy))(x, k),
    "no_grad": lambda x, k: mg.grad(lambda y: energy(y, k) * mg.no_grad()(energy)(y, k))(x),
    "nested jit": lambda x, k: mg.grad(jit(energy))(x, k),
    "structures": lambda x, k: mg.grad(lambda p: energy(p["x"], p["k"][0]))({"x": x, "k": [k]}),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_transforms_inside(name, dtype):
    given = [((VECTOR * (1.0 + 0.1 * i)).astype(dtype), 0.5 + i) for i in range(CALLS)]
    agree(lambda: World(TRANSFORMS[name], given))


def test_transforms_around():
    jitted = jit(energy)
    for i in range(4):
        k = 0.5 + i
        for take in (mg.grad, mg.value_and_grad, mg.hessian, mg.jacobian):
            expected, found = take(energy)(VECTOR, k), take(jitted)(VECTOR, k)
            for a, b in zip(expected, found):
                np.testing.assert_array_equal(a, b)
        assert energy(VECTOR, k) == jitted(VECTOR, k).item()


def test_transforms_by_leaves_from_outside():
    def make():
        w = Tensor(VECTOR)

        def f(x):
            def inner(y):
                return mg.sum(w * y * y)

            w.grad = None
            slope = mg.sum(mg.grad(inner)(Tensor(x)) * x)
            slope.backward()
            return slope

        return World(f, calls(VECTOR), w)

    agree(make)


def test_functions_with_their_own_derivatives():
    @mg.custom_gradient
    def clipped(x):
        return mg.tanh(x), lambda g: g * 3.0

    def f(x):
        return mg.value_and_grad(lambda y: mg.sum(clipped(y) * y))(x)

    agree(lambda: World(f, calls(VECTOR)))


def user_rows():
    cube = mg.elementwise(
        "cube_of_jit_tests", array=lambda x: x * x * x, scalar=lambda x: x * x * x,
        partials=(lambda out, x: 3.0 * x * x,),
    )  # fmt: skip
    swap = mg.linear("swap_of_jit_tests", array=lambda x: x[::-1], transpose=lambda g, x: swap(g))
    inner = mg.multilinear(
        "inner_of_jit_tests", array=lambda x, y: np.dot(x, y),
        transposes=(lambda g, x, y: g * y, lambda g, x, y: g * x),
    )  # fmt: skip
    plain = mg.fused(
        "fused_of_jit_tests", array=lambda x: np.exp(-x * x),
        pullback=lambda g, out, x: -2.0 * x * out * g, composite=lambda x: mg.exp(-x * x),
    )  # fmt: skip
    return cube, swap, inner, plain


def test_rows_made_by_users():
    cube, swap, inner, plain = user_rows()

    def f(x, k):
        def of(y):
            return inner(swap(cube(y)), plain(y)) + cube(k)

        return mg.value_and_grad(of)(x), mg.hessian(of)(x), mg.grad(cube)(k)

    agree(lambda: World(f, [(VECTOR, 0.5 + i) for i in range(CALLS)]))


def test_methods_and_callables_are_jitted_too():
    class Model:
        def __init__(self, start):
            self.w = Tensor(start)

        @jit
        def forward(self, x):
            return mg.sum(self.w * x)

    first, second = Model(VECTOR), Model(VECTOR + 1.0)
    for _ in range(4):
        for model in (first, second):
            assert model.forward(VECTOR).item() == mg.sum(model.w * VECTOR).item()
