"""The same training step as written and compiled: the same weights, in a fraction of the time.

The step of a 2–16–1 network on two moons, with momentum. Its source and its picture have the names
of the parameters; the picture reads from the arguments on the left to what is written back.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import microgradopt as mg
from microgradopt import datasets, nn, optim

STEPS = 1000
LINES_SHOWN = 16


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


def timed(step: Callable, X, y) -> tuple[list[float], list[float]]:
    """The losses, and the seconds that each step took."""
    losses, seconds = [], []
    for _ in range(STEPS):
        start = perf_counter()
        loss = step(X, y)
        seconds.append(perf_counter() - start)
        losses.append(loss.item())
    return losses, seconds


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, float]:
    X, labels = datasets.moons(200, noise=0.1, rng=seed)
    y = 2.0 * labels - 1.0
    model, step = make_step(seed)
    losses, seconds = timed(step, X, y)
    twin, same_step = make_step(seed)
    jitted = mg.jit(same_step)
    its_losses, its_seconds = timed(jitted, X, y)

    usual, fast = median(seconds), median(its_seconds)
    print(f"as written {1e6 * usual:6.0f} µs a step, loss {losses[-1]:.6f}")
    print(f"compiled   {1e6 * fast:6.0f} µs a step, loss {its_losses[-1]:.6f}")
    print(f"{usual / fast:.1f} times as fast; "
          f"tracing took {1e3 * sum(its_seconds[:3]):.0f} ms in the first three calls")  # fmt: skip

    source = jitted.source().splitlines()
    first = next(i for i, line in enumerate(source) if line.startswith("def "))
    print("\n" + "\n".join(source[first : first + LINES_SHOWN]))
    print(f"    … {len(source) - first - LINES_SHOWN} more lines\n")

    out.mkdir(parents=True, exist_ok=True)
    drawing = mg.draw(jitted, title="a training step, compiled")
    print("drawn in", drawing.save(out / "jit_training.svg"))
    apart = max(
        float(np.abs(p.data - q.data).max())
        for p, q in zip(model.parameters(), twin.parameters(), strict=True)
    )
    accuracy = float(np.mean((twin(X).numpy()[:, 0] > 0) == (labels == 1)))
    return {"apart": apart, "accuracy": accuracy, "speedup": usual / fast}


if __name__ == "__main__":
    main()
