"""What happens at special points, here and elsewhere: the tables of docs/special-points.md.

``python -m benchmarks.special_points`` prints them; ``--write`` puts them into the page. Each point
is an expression that every library evaluates and differentiates in its own functions.
"""

from __future__ import annotations

import argparse
import ast
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import microgradopt as mg

PAGE = Path(__file__).parent.parent / "docs" / "special-points.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
SAME, NONE = "same", "none"
INF, NAN = np.inf, np.nan

Functions = Mapping[str, Any]


class Point(NamedTuple):
    """An expression in x and perhaps y, and where it is evaluated: numbers, lists, matrices."""

    expression: str
    x: Any
    y: Any = None

    @property
    def at(self) -> tuple[Any, ...]:
        return (self.x,) if self.y is None else (self.x, self.y)

    def evaluate(self, functions: Functions, *operands: Any) -> Any:
        return eval(self.expression, {**functions, **dict(zip("xy", operands))})


class Outcome(NamedTuple):
    """The value, and the derivative of its sum by each operand."""

    value: Any
    slopes: tuple[Any, ...]


# fmt: off
TABLES: dict[str, list[Point]] = {
    "Kinks, ties and jumps": [
        Point("abs(x)", 0.0),
        Point("relu(x)", 0.0),
        Point("sign(x)", 0.0),
        Point("maximum(x, y)", 2.0, 2.0),
        Point("minimum(x, y)", 2.0, 2.0),
        Point("maximum(x, 0.0)", 0.0),
        Point("clip(x, 0.0, 1.0)", 0.0),
        Point("clip(x, 0.0, 1.0)", 1.0),
        Point("max(x)", [1.0, 3.0, 3.0]),
        Point("min(x)", [1.0, 1.0, 3.0]),
        Point("maximum(x, y)", NAN, 1.0),
        Point("sort(x)[0]", [1.0, 1.0, 3.0]),
        Point("remainder(x, y)", 6.0, 3.0),
    ],
    "Bends of activations": [
        Point("leaky_relu(x)", 0.0),
        Point("elu(x)", 0.0),
        Point("selu(x)", 0.0),
        Point("relu6(x)", 0.0),
        Point("relu6(x)", 6.0),
        Point("hardtanh(x)", -1.0),
        Point("hardtanh(x)", 1.0),
        Point("hardsigmoid(x)", 3.0),
        Point("hardswish(x)", -3.0),
        Point("hardswish(x)", 3.0),
        Point("softshrink(x)", 0.5),
        Point("hardshrink(x)", 0.5),
        Point("threshold(x, 0.1, 20.0)", 0.1),
    ],
    "Roots and lengths": [
        Point("sqrt(x)", 0.0),
        Point("cbrt(x)", 0.0),
        Point("sqrt(x) ** 2", 0.0),
        Point("sqrt(x ** 2)", 0.0),
        Point("norm(x)", [0.0, 0.0]),
        Point("hypot(x, y)", 0.0, 0.0),
        Point("arctan2(x, y)", 0.0, 0.0),
        Point("std(x)", [2.0, 2.0]),
        Point("std(x)", [2.0]),
        Point("var(x)", [2.0]),
    ],
    "Powers": [
        Point("x ** 0", 0.0),
        Point("x ** 1", 0.0),
        Point("x ** 2", 0.0),
        Point("x ** 2", -3.0),
        Point("x ** 3", 0.0),
        Point("x ** 3", -2.0),
        Point("x ** 0.5", 0.0),
        Point("x ** -1", 0.0),
        Point("x ** 0.5", -1.0),
        Point("0.0 ** x", 0.0),
        Point("0.0 ** x", 2.0),
        Point("x ** y", 0.0, 0.0),
        Point("x ** y", 0.0, 1.0),
        Point("x ** y", 0.0, 2.0),
        Point("x ** y", 0.0, -1.0),
        Point("x ** y", 2.0, 0.0),
        Point("x ** y", -2.0, 3.0),
    ],
    "The branch not taken": [
        Point("where(x > 0.0, sqrt(x), 0.0)", -1.0),
        Point("where(x > 0.0, sqrt(x), 0.0)", 0.0),
        Point("where(x > 0.0, log(x), x)", 0.0),
        Point("where(x > 0.0, x / y, 0.0)", -1.0, 0.0),
        Point("where(x > 0.0, y, 1.0)", -1.0, NAN),
        Point("sqrt(where(x > 0.0, x, 0.0))", -1.0),
        Point("relu(x) * y", -1.0, INF),
    ],
    "Products": [
        Point("prod(x)", [0.0, 2.0, 5.0]),
        Point("prod(x)", [0.0, 0.0, 5.0]),
        Point("cumprod(x)", [2.0, 0.0, 3.0]),
        Point("cumprod(x)", [0.0, 0.0, 3.0]),
        Point("det(x)", [[1.0, 2.0], [2.0, 4.0]]),
        Point("det(x)", [[0.0, 0.0], [0.0, 0.0]]),
    ],
    "Ends of domains and beyond": [
        Point("1.0 / x", 0.0),
        Point("x / x", 0.0),
        Point("log(x)", 0.0),
        Point("log(x)", -1.0),
        Point("sqrt(x)", -1.0),
        Point("log1p(x)", -1.0),
        Point("arcsin(x)", 1.0),
        Point("arccos(x)", -1.0),
        Point("arccosh(x)", 1.0),
        Point("arctanh(x)", 1.0),
        Point("exp(x)", 1000.0),
        Point("x * 0.0", INF),
        Point("x - x", INF),
        Point("logaddexp(x, y)", -INF, -INF),
        Point("logaddexp(x, y)", INF, 0.0),
        Point("logsumexp(x)", [-INF, 0.0]),
        Point("logsumexp(x)", [-INF, -INF]),
        Point("logsumexp(x)", [INF, 0.0]),
    ],
    "Far out and close by": [
        Point("tanh(x)", 40.0),
        Point("tanh(x)", -300.0),
        Point("sigmoid(x)", 40.0),
        Point("sigmoid(x)", -40.0),
        Point("sigmoid(x)", -1000.0),
        Point("softplus(x)", -40.0),
        Point("softplus(x)", 1000.0),
        Point("log_sigmoid(x)", -1000.0),
        Point("log_softmax(x)[0]", [0.0, 1000.0]),
        Point("log_softmax(x)[0]", [0.0, -40.0]),
        Point("logaddexp(x, y)", 1000.0, 0.0),
        Point("logaddexp(x, y)", 0.3, 710.0),
        Point("expm1(x)", 1e-20),
        Point("log1p(x)", 1e-20),
        Point("sinc(x)", 0.0),
        Point("sinc(x)", 1e-9),
        Point("arctan(x)", 1e200),
        Point("arcsinh(x)", 1e200),
        Point("arccosh(x)", 1e200),
        Point("hypot(x, y)", 3e300, 4e300),
        Point("hypot(x, y)", 3e-300, 4e-300),
        Point("arctan2(x, y)", 3e-200, 4e-200),
        Point("norm(x)", [3e200, 4e200]),
        Point("norm(x)", [3e-200, 4e-200]),
        Point("x ** 0.3", 1e-300),
        Point("var(x)", [1e9 + 1, 1e9 + 3]),
        Point("erf(x)", 1e-20),
        Point("erfc(x)", 10.0),
        Point("ndtr(x)", -10.0),
        Point("gelu(x)", -10.0),
        Point("gelu(x)", -INF),
        Point("silu(x)", -40.0),
        Point("silu(x)", -INF),
        Point("mish(x)", -40.0),
        Point("mish(x)", -INF),
        Point("softsign(x)", 1e20),
        Point("tanhshrink(x)", 1e-5),
        Point("celu(x)", -1e-20),
        Point("hardswish(x)", -INF),
    ],
}
# fmt: on


def names() -> set[str]:
    """Every function that some point calls."""
    expressions = [ast.parse(p.expression) for points in TABLES.values() for p in points]
    called = {n.id for tree in expressions for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return called - {"x", "y"}


def _arrays(point: Point) -> list[Any]:
    return [np.asarray(x, np.float64) for x in point.at]


def ours(point: Point) -> Outcome:
    """The outcome here: with Values where the operand is a number, with Tensors for lists."""
    functions = {name: _found((mg, mg.linalg), name) for name in names()}
    operands = [x if isinstance(x, float) else np.array(x) for x in point.at]
    nodes = [mg.Value(x) if isinstance(x, float) else mg.Tensor(x) for x in operands]
    value = point.evaluate(functions, *nodes).data
    every = tuple(range(len(operands)))
    slopes = mg.grad(lambda *xs: mg.sum(point.evaluate(functions, *xs)), every)(*operands)
    return Outcome(value, slopes)


def _by_jax() -> Callable[[Point], Outcome]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    places = (jnp, jnp.linalg, jax.nn, jax.scipy.special)
    other = {
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "hardsigmoid": jax.nn.hard_sigmoid,
        "hardswish": jax.nn.hard_swish,
        "hardtanh": jax.nn.hard_tanh,
        "softsign": jax.nn.soft_sign,
    }
    functions = {name: other.get(name, _found(places, name)) for name in names()}

    def outcome(point: Point) -> Outcome:
        operands = [jnp.asarray(x) for x in _arrays(point)]
        every = tuple(range(len(operands)))
        total = jax.grad(lambda *xs: jnp.sum(point.evaluate(functions, *xs)), every)
        return Outcome(point.evaluate(functions, *operands), total(*operands))

    return outcome


def _by_torch() -> Callable[[Point], Outcome]:
    import torch

    other = {
        "cbrt": None,
        "ndtr": torch.special.ndtr,
        "norm": torch.linalg.vector_norm,
        "std": lambda x: torch.std(x, correction=0),
        "var": lambda x: torch.var(x, correction=0),
        "sort": lambda x: torch.sort(x).values,
        "cumprod": lambda x: torch.cumprod(x, 0),
        "logsumexp": lambda x: torch.logsumexp(x, 0),
        "log_softmax": lambda x: torch.log_softmax(x, 0),
        "log_sigmoid": torch.nn.functional.logsigmoid,
        "maximum": lambda x, y: torch.maximum(x, torch.as_tensor(y, dtype=x.dtype)),
        "where": lambda c, x, y: torch.where(c, *map(torch.as_tensor, (x, y))),
    }
    places = (torch, torch.linalg, torch.nn.functional)
    functions = {name: other.get(name, _found(places, name)) for name in names()}

    def outcome(point: Point) -> Outcome:
        operands = [torch.tensor(x, requires_grad=True) for x in _arrays(point)]
        value = point.evaluate(functions, *operands)
        if value.requires_grad:
            value.sum().backward()
        slopes = tuple(0 * _arrays(point)[i] if x.grad is None else x.grad.numpy()
                       for i, x in enumerate(operands))  # fmt: skip
        return Outcome(value.detach().numpy(), slopes)

    return outcome


def _by_autograd() -> Callable[[Point], Outcome]:
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    written_out = {  # as its users write what it does not have
        "relu": lambda x: anp.maximum(x, 0.0),
        "sigmoid": lambda x: 1.0 / (1.0 + anp.exp(-x)),
        "softplus": lambda x: anp.logaddexp(x, 0.0),
        "log_sigmoid": lambda x: -anp.logaddexp(-x, 0.0),
        "logsumexp": logsumexp,
        "log_softmax": lambda x: x - logsumexp(x),
    }
    places = (anp, anp.linalg)
    functions = {name: written_out.get(name) or _found(places, name) for name in names()}

    def outcome(point: Point) -> Outcome:
        operands = _arrays(point)
        slopes = tuple(
            autograd.grad(lambda *xs: anp.sum(point.evaluate(functions, *xs)), i)(*operands)
            for i in range(len(operands))
        )
        return Outcome(point.evaluate(functions, *operands), slopes)

    return outcome


def _found(places: tuple[Any, ...], name: str) -> Any:
    return next((getattr(place, name) for place in places if hasattr(place, name)), None)


PEERS = {
    "JAX": ("jax", _by_jax),
    "PyTorch": ("torch", _by_torch),
    "HIPS autograd": ("autograd", _by_autograd),
}


def show(x: Any, digits: int = 7) -> str:
    """A number or an array as the page has it; −0 is 0."""
    x = np.asarray(x, np.float64) + 0.0
    inner = "" if x.ndim == 0 else ", ".join(show(part, digits) for part in x)
    return f"[{inner}]" if x.ndim else f"{x:.{digits}g}"


def _cells(outcome: Outcome) -> tuple[str, str]:
    return show(outcome.value), ", ".join(map(show, outcome.slopes))


def our_cells(point: Point) -> tuple[str, str, str, str]:
    """The columns that need no peer: expression, where, value, derivatives."""
    at = ", ".join(show(x, digits=12) for x in point.at)
    return f"`{point.expression}`", at, *_cells(ours(point))


def _peer_cell(outcome_of: Callable[[Point], Outcome], point: Point) -> str:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            theirs = outcome_of(point)
        except (NotImplementedError, TypeError, AttributeError, np.linalg.LinAlgError):
            return NONE  # no such function, or no derivative of it
    here = ours(point)
    pairs = zip((here.value, *here.slopes), (theirs.value, *theirs.slopes))
    if all(np.allclose(a, b, rtol=1e-9, atol=0.0, equal_nan=True) for a, b in pairs):
        return SAME
    value, slopes = _cells(theirs)
    return f"**{slopes}**" if value == show(here.value) else f"value **{value}**; {slopes}"


def rows_on(page: str) -> list[tuple[str, ...]]:
    """The columns that need no peer, of every row between the page's markers."""
    lines = page.split(BEGIN)[1].split(END)[0].splitlines()
    return [tuple(line[2:].split(" | ")[:4]) for line in lines if line.startswith("| `")]


def tables() -> Iterator[str]:
    """The lines of all tables, with every peer."""
    peers = {name: outcome_of() for name, (_, outcome_of) in PEERS.items()}
    versions = ", ".join(f"{name} {version(package)}" for name, (package, _) in PEERS.items())
    yield f"Peers: {versions}; float64 on a CPU."
    for title, points in TABLES.items():
        yield from ("", f"### {title}", "")
        yield "| expression | at | value | derivative | " + " | ".join(peers) + " |"
        yield "|---" * (4 + len(peers)) + "|"
        for point in points:
            theirs = [_peer_cell(outcome_of, point) for outcome_of in peers.values()]
            yield "| " + " | ".join([*our_cells(point), *theirs]) + " |"


def written_into(page: str, lines: str) -> str:
    """The page with ``lines`` between its markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{lines}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.special_points")
    parser.add_argument("--write", action="store_true", help="into docs/special-points.md")
    text = "\n".join(tables())
    if parser.parse_args().write:
        PAGE.write_text(written_into(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
