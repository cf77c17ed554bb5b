"""Check a function from a shell: ``python -m microgradopt.check module:function``."""

import argparse
import inspect
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from microgradopt.check.gradients import MODES, examine
from microgradopt.check.numeric import METHODS
from microgradopt.check.rules import check_rule
from microgradopt.engine.graph import Primitive
from microgradopt.errors import GradientError, UsageError

mg = import_module("microgradopt")  # for --args; this file belongs below what it offers there
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def main(argv: Sequence[str] | None = None) -> int:
    """0 where derivatives are right, 1 where they are wrong, 2 where the call makes no sense."""
    parser = _parser()
    given = parser.parse_args(argv)
    rng = np.random.default_rng(given.rng)
    try:
        target = _found(given.target)
        args = _arguments(target, given, rng)
        if not isinstance(target, Primitive):
            inspect.signature(target).bind(*args)
    except (UsageError, ImportError, TypeError) as error:
        parser.error(str(error))
    try:
        print(_checked(target, args, given, rng))
    except GradientError as error:
        print(error)
        return 1
    except UsageError as error:
        parser.error(str(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m microgradopt.check",
        description="Check the derivatives of a function, or the rule of a primitive.",
    )
    parser.add_argument("target", help="module:function; the current directory is searched too")
    points = parser.add_mutually_exclusive_group()
    points.add_argument(
        "--args",
        metavar="CODE",
        help="the arguments, as Python with np and mg: 'np.ones((2, 3)), 0.5'",
    )
    points.add_argument(
        "--shapes",
        help="random normal arguments of these shapes: '2,3; ; 4' is an array of shape (2, 3), a "
        "number and an array of shape (4,); when left out, one number per required argument",
    )
    parser.add_argument("--order", type=int, default=1, help="the highest order of derivative")
    parser.add_argument("--method", choices=METHODS, default="central")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--rng", type=int, default=0, metavar="SEED", help="of all random numbers")
    return parser


def _checked(
    target: Any, args: list[Any], given: argparse.Namespace, rng: np.random.Generator
) -> str:
    """What was looked at, as text."""
    if isinstance(target, Primitive) and not args:
        check_rule(target, rng=rng)
        return f"{target.name}: its rule is right at its sample, in both modes, orders 1 and 2"
    report = examine(
        target, args, order=given.order, modes=given.modes, method=given.method, rng=rng
    )
    return f"{given.target}: right\n{report}"


def _found(target: str) -> Any:
    """The function that ``module:function`` names."""
    module, colon, path = target.partition(":")
    if not colon or not path:
        raise UsageError(f"give module:function, such as mymodel:loss, not {target!r}")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module)
    finally:
        sys.path.remove(os.getcwd())
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(f"{module} has no {path!r}")
        found = getattr(found, name)
    if not callable(found):
        raise UsageError(f"{target} is {type(found).__name__}, which cannot be called")
    return found


def _arguments(target: Any, given: argparse.Namespace, rng: np.random.Generator) -> list[Any]:
    """The point: as given, of random numbers in the given shapes, or as many as are required."""
    if given.args is not None:
        try:
            return list(eval(f"[{given.args}]", {"np": np, "mg": mg}))
        except Exception as error:
            raise UsageError(f"--args {given.args!r}: {type(error).__name__}: {error}") from None
    if given.shapes is not None:
        shapes = [_shape(text) for text in given.shapes.split(";")]
    elif isinstance(target, Primitive):
        shapes = []
    else:
        shapes = [()] * _required(target)
    return [rng.normal(size=shape) if shape else float(rng.normal()) for shape in shapes]


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in text.split(",") if n.strip())
    except ValueError:
        raise UsageError(f"--shapes: {text.strip()!r} is not a shape; write '2,3; ; 4'") from None


def _required(target: Any) -> int:
    """How many positional arguments a function needs."""
    parameters = inspect.signature(target).parameters.values()
    return sum(p.kind in POSITIONAL and p.default is inspect.Parameter.empty for p in parameters)


if __name__ == "__main__":
    sys.exit(main())
