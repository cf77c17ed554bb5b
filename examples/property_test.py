"""A wrong derivative, found by random points and random graphs, and shrunk until it fits on a line.

Needs Hypothesis: pip install 'microgradopt[check]'
"""

from pathlib import Path

import numpy as np
from hypothesis import find, settings

import microgradopt as mg
from microgradopt import check
from microgradopt.errors import GradientError

# The derivative of x·σ(x) is σ(x) + x·σ(x)·(1 − σ(x)); here the last factor was forgotten.
swish = mg.elementwise(
    "swish",
    array=lambda x: x / (1.0 + np.exp(-x)),
    partials=lambda out, x: (mg.sigmoid(x) * (1.0 + x),),
    sample=((-4.0, 4.0),),
)
test_swish = check.property(swish, (-4.0, 4.0), derandomize=True)


def is_wrong(expression) -> bool:
    try:
        check.check_grads(expression, *expression.inputs)
    except GradientError:
        return True
    return False


def main(out: Path = Path("demo")) -> str:
    try:
        test_swish()
    except GradientError as error:
        print("As a property of the function:\n")
        print(*str(error).splitlines()[:3], *error.__notes__[:1], sep="\n")

    rows = [mg.add, mg.multiply, mg.tanh, mg.exp, swish]
    quiet = settings(derandomize=True, database=None, max_examples=200, deadline=None)
    smallest = find(check.strategies.graphs(rows), is_wrong, settings=quiet)
    print("\nThe smallest random graph with a wrong gradient:\n")
    print(smallest)

    out.mkdir(parents=True, exist_ok=True)
    nodes = [mg.Value(x) if isinstance(x, float) else mg.Tensor(x) for x in smallest.inputs]
    drawn = mg.draw(smallest(*nodes), title="the smallest wrong graph")
    print("\ndrawn in", drawn.save(out / "property_test.svg"))
    return smallest.source()


if __name__ == "__main__":
    main()
