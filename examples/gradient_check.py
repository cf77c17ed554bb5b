"""The bug of a well-known tutorial, caught by a gradient check: the wrong slope under a ReLU.

The backward pass of its two-layer network multiplies the ReLU's gradient by σ(y)(1 − σ(y)), which
is the slope of a sigmoid. The network still learns, only worse: nothing but a check shows it.

The check is made at random biases. With biases of 0, the spiral's innermost points, which are 0
too, would sit exactly on the kink of the ReLU, where there is no derivative to compare with.
"""

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import datasets, nn, optim, plot
from microgradopt.engine.graph import Primitive

REG = 1e-3


def declare_relu(name: str, slope) -> Primitive:
    Primitive.table.pop(name, None)  # so that this file can be run twice in one process
    return mg.elementwise(name, array=lambda x: np.maximum(x, 0.0), partials=(slope,))


def bell(s):
    return s * (1.0 - s)


def network(activation, seed: int, init=None) -> nn.MLP:
    return nn.MLP(2, [100, 3], activation=activation, init=init, rng=seed)


def loss_of(model, X, y):
    return nn.cross_entropy(model(X), y) + nn.l2_penalty([model[0].weight, model[2].weight], REG)


def train(model, X, y, steps: int) -> list[float]:
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    losses = []
    for _ in range(steps):
        loss = loss_of(model, X, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(out: Path = Path("demo"), seed: int = 0, steps: int = 600) -> dict[str, object]:
    X, y = datasets.spiral(100, 3, rng=seed)
    out.mkdir(parents=True, exist_ok=True)
    wrong = declare_relu("tutorial_relu", lambda out, x: mg.greater(x, 0.0) * bell(mg.sigmoid(x)))
    right = declare_relu("right_relu", lambda out, x: mg.greater(x, 0.0))

    def loss(model):
        return loss_of(model, X, y)

    messages = {}
    for method in ("central", "taylor"):
        try:
            mg.check.check_grads(loss, network(wrong, seed), method=method)
        except mg.errors.GradientError as error:
            messages[method] = str(error)
            print(f"{method}:\n{error}\n")
    for method in ("central", "taylor"):
        mg.check.check_grads(loss, network(right, seed), method=method)
    print("with the right slope both checks pass")

    small = partial(nn.init.normal, std=0.01)
    curves = {
        "slope σ(1 − σ)": train(network(wrong, seed, small), X, y, steps),
        "right slope": train(network(right, seed, small), X, y, steps),
    }
    for name, losses in curves.items():
        print(f"{name}: loss {losses[-1]:.3f} after {steps} steps")
    figure = Figure(figsize=(6, 4), layout="constrained")
    plot.loss_curve(curves, ax=figure.subplots())
    figure.savefig(out / "gradient_check.png", dpi=120)
    print("drawn in", out / "gradient_check.png")
    return {**messages, **{name: losses[-1] for name, losses in curves.items()}}


if __name__ == "__main__":
    main()
