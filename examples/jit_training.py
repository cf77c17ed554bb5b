"""The same training step as written and compiled: the same weights, in a fraction of the time.

The step of a 2–16–1 network on two moons, with momentum. Source and picture have the names of the
parameters; the picture reads from the arguments on the left to what is written back on the right.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import microgradopt as mg
from microgradopt import datasets, nn, optim

STEPS = 1000
LINES_SHOWN = 24
COMPILERS: dict[str, Callable[[Callable], Callable]] = {
    "as written": lambda step: step,
    "compiled to NumPy": lambda step: mg.jit(step, backend="numpy"),
    "compiled": mg.jit,  # to machine code, where llvmlite is installed
}


def make_step(seed: int) -> tuple[nn.Module, Callable]:
    model = nn.Sequential(nn.Linear(2, 16, rng=seed), nn.Tanh(), nn.Linear(16, 1, rng=seed + 1))
    optimizer = optim.SGD(model.named_parameters(), lr=0.5, momentum=0.9)

    def step(X, y):
        margin = y * model(X)[:, 0]
        loss = mg.mean(mg.softplus(-margin))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def timed(step: Callable, X, y) -> list[float]:
    """The seconds that each of many steps takes."""
    seconds = []
    for _ in range(STEPS):
        start = perf_counter()
        step(X, y)
        seconds.append(perf_counter() - start)
    return seconds


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, float]:
    X, labels = datasets.moons(200, noise=0.1, rng=seed)
    y = 2.0 * labels - 1.0
    models, steps, usual = [], {}, 0.0
    for how, compiled in COMPILERS.items():
        model, step = make_step(seed)
        models.append(model)
        steps[how] = compiled(step)
        seconds = timed(steps[how], X, y)
        usual = usual or median(seconds)
        print(f"{how:17} {1e6 * median(seconds):6.0f} µs a step, {usual / median(seconds):4.1f}×; "
              f"the first three calls took {1e3 * sum(seconds[:3]):4.0f} ms")  # fmt: skip

    jitted = steps["compiled to NumPy"]
    source = jitted.source().splitlines()
    first = next(i for i, line in enumerate(source) if line.startswith("def "))
    print("\n" + "\n".join(source[first : first + LINES_SHOWN]))
    print(f"    … {len(source) - first - LINES_SHOWN} more lines\n")

    out.mkdir(parents=True, exist_ok=True)
    drawing = mg.draw(jitted, title="a training step, compiled")
    print("drawn in", drawing.save(out / "jit_training.svg"))
    written, *others = [[p.data for p in model.parameters()] for model in models]
    apart = max(float(np.abs(a - b).max()) for weights in others for a, b in zip(written, weights))
    print(f"the weights of all three differ by {apart:.1g} at most")
    accuracy = float(np.mean((models[-1](X).numpy()[:, 0] > 0) == (labels == 1)))
    return {"apart": apart, "accuracy": accuracy}


if __name__ == "__main__":
    main()
