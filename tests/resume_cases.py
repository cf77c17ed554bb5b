"""Trainings that are stopped, saved and gone on with; run as a script, it goes on with them.

Each case is a function that builds a model, an optimizer, perhaps a schedule and a generator for
the order of the data, all as a program would at its start.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import microgradopt as mg
from microgradopt import nn, optim
from microgradopt.engine.structure import leaves
from microgradopt.optim import schedules

HALF = 20
SAMPLES = 12


class Training:
    """A model with what trains it; ``things`` are what a user would save."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        inputs: tuple[Any, ...],
        plateau: schedules.Plateau | None = None,
    ) -> None:
        self.inputs = inputs
        self.plateau = plateau
        self.things = {"model": model, "optimizer": optimizer, "order": np.random.default_rng(7)}

    def go_on(self, steps: int) -> None:
        model, optimizer, order = self.things.values()
        for _ in range(steps):
            scale = float(order.uniform(0.5, 1.5))  # as a shuffled batch would differ

            def closure(scale: float = scale) -> Any:
                optimizer.zero_grad()
                outputs = leaves(model(*self.inputs))
                loss = sum(mg.mean((x - scale) ** 2) for x in outputs)
                loss.backward()
                return loss

            loss = optimizer.step(closure)
            if self.plateau is not None:
                self.plateau.update(loss.item())


def network(matrices_only: bool = False, dtype: Any = np.float64) -> tuple[nn.Module, Any]:
    bias = not matrices_only
    model = nn.Sequential(
        nn.Linear(3, 4, bias=bias, rng=0, dtype=dtype),
        mg.tanh,
        nn.Linear(4, 2, bias=bias, rng=1, dtype=dtype),
    )
    return model, (np.random.default_rng(2).normal(size=(SAMPLES, 3)).astype(dtype),)


def with_optimizer(kind: Any, options: dict[str, Any], dtype: Any) -> Training:
    model, inputs = network(kind.only_matrices, dtype)
    return Training(model, kind(model.named_parameters(), **options), inputs)


def with_schedule(kind: Any, place: int) -> Training:
    """A schedule of its own for each training: some remember."""
    model, inputs = network()
    schedule = 0.1 * kind.examples()[place]
    plateau = next(iter(schedule._remembering()), None)
    optimizer = optim.SGD(model.named_parameters(), lr=schedule, momentum=0.5)
    return Training(model, optimizer, inputs, plateau)


def with_layer(kind: Any, place: int, dtype: Any) -> Training:
    layer, inputs, *_ = kind.samples(dtype)[place]
    return Training(layer, optim.AdamW(layer.named_parameters(), lr=0.01), inputs)


def exported(namespace: Any, base: type) -> list[Any]:
    things = [getattr(namespace, name) for name in namespace.__all__]
    return [x for x in things if inspect.isclass(x) and issubclass(x, base) and x is not base]


def cases() -> dict[str, Callable[[], Training]]:
    found: dict[str, Callable[[], Training]] = {}
    for kind in exported(optim, optim.Optimizer):
        for i, options in enumerate(kind.samples):
            for name, given, dtype in (
                ("", options, np.float64),
                ("-scheduled", {**options, "lr": schedules.cosine(0.1, 30)}, np.float64),
                ("-float32", options, np.float32),
            ):
                found[f"{kind.__name__}{i}{name}"] = lambda k=kind, o=given, d=dtype: (
                    with_optimizer(k, o, d)
                )
    for kind in exported(schedules, schedules.Schedule):
        for i in range(len(kind.examples())):
            found[f"schedule-{kind.__name__}{i}"] = lambda k=kind, i=i: with_schedule(k, i)
    for kind in exported(nn, nn.Module):
        for i, sample in enumerate(kind.samples(np.float64)):
            if next(iter(sample.layer.parameters()), None) is not None:
                for dtype in (np.float64, np.float32):
                    name = f"layer-{kind.__name__}{i}-{np.dtype(dtype).name}"
                    found[name] = lambda k=kind, i=i, d=dtype: with_layer(k, i, d)
    return found


def main(folder: Path) -> None:
    """Go on with every training saved in a folder, and save it again."""
    known = cases()
    for path in sorted(folder.glob("*.half")):
        training = known[path.stem]()
        mg.load(path, **training.things)
        training.go_on(HALF)
        mg.save(path.with_suffix(".resumed"), **training.things)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
