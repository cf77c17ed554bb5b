"""Write optimizers/*.json: trajectories of every optimizer that ``optim`` exports and its presets.

Needs torch, keras and optax; run it from anywhere, with names to write those files only. A class
with a twin of its name in ``torch.optim`` is compared with that, in every option the two share; the
options torch lacks, and the classes it lacks, with the NumPy of ``reference_*.py``. A new optimizer
with a twin needs no new line here.

Everything is float64. torch's Muon orthogonalizes in bfloat16, whatever it is given, and keras's
mean rounds to float32; here both are replaced, so that formulas are compared and not roundings.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # with torch, ScheduleFreeAdamW reads what it has written

import jax
import keras
import numpy as np
import optax
import torch
from golden_presets import KERAS, NO_SCHEDULES, OPTAX
from golden_problem import COLUMNS, KEPT, START, STEPS, Arrays, X, gradient
from reference_optimizers import REFERENCES as MODERN
from reference_variants import REFERENCES as VARIANTS

from microgradopt import Tensor, Value, optim
from microgradopt.errors import MicrogradoptError

torch.set_default_dtype(torch.float64)
torch.Tensor.bfloat16 = torch.Tensor.clone  # see above
keras.config.set_floatx("float64")
jax.config.update("jax_enable_x64", True)
keras.src.ops.mean = lambda x, axis=None, keepdims=False: jax.numpy.mean(
    keras.ops.convert_to_tensor(x), axis, keepdims=keepdims
)

FOLDER = Path(__file__).with_name("optimizers")
NOT_OPTIONS = {"params", "no_decay", "nonfinite"}
REFERENCES = {**VARIANTS, **MODERN}

Options = dict[str, Any]
Rate = Callable[[int], float]
Gradient = Callable[[Arrays, int], Arrays]
Run = dict[str, Any]  # options, source, trained, trajectory

# An option ``falling`` of f stands for a rate of lr / (1 + f·t) in step t.


# Which options


def kinds() -> list[type[optim.Optimizer]]:
    """The optimizers that ``optim`` exports."""
    things = [getattr(optim, name) for name in optim.__all__]
    found = [x for x in things if inspect.isclass(x) and issubclass(x, optim.Optimizer)]
    return [kind for kind in found if kind is not optim.Optimizer]


def defaults_of(kind: type) -> Options:
    """The options of an optimizer's class, with their defaults."""
    parameters = inspect.signature(kind).parameters
    return {k: p.default for k, p in parameters.items() if k not in NOT_OPTIONS}


def samples_of(kind: type) -> list[Options]:
    """The class's own samples, but for the rate, and except those with other functions."""
    found = [{k: v for k, v in o.items() if k != "lr"} for o in kind.samples]
    return [o for o in found if not any(map(callable, o.values()))]


def rate_of(make: Callable[..., Any], name: str) -> float | None:
    """The default rate of an optimizer, None where it has none."""
    default = inspect.signature(make).parameters[name].default
    return None if default is inspect.Parameter.empty else default


def usual_rate(default: float) -> Options:
    """A rate with which parameters move, but not so far that they jump about."""
    return {"lr": 0.02 if default < 0.5 else 0.2 * default}


def others(name: str, default: Any) -> list[Any]:
    """Values of an option besides its default: one that shows, or those of anybody's samples."""
    if SHOWING.get(name, default) != default:
        return [SHOWING[name]]
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int) and default:
        return [default + 1]
    if isinstance(default, float):
        return [1e-3 if name == "eps" else _other(default)]
    if isinstance(default, tuple):
        return [tuple(1e-3 if x is None else _other(x) for x in default)]
    seen = [o[name] for k in kinds() for o in k.samples if name in o]
    return [x for i, x in enumerate(seen) if x != default and x not in seen[:i]]


def _other(default: float) -> float:
    return round(0.9 * default, 12) or 0.1


# From so near that rounding decides a difference of two points, a path is known to few digits.
NEARER = {"Prodigy": {"d0": 1e-2}}
SHOWING = {
    "momentum": 0.8,
    "weight_decay": 0.1,
    "t0": 10.0,
    "threshold": 20.0,
    "step_sizes": (1e-3, 0.08),
    "d": 1.5,
    "d0": 1e-3,
    "d_coef": 4.0,
    "trust_coefficient": 0.01,
    "max_ratio": 0.005,
}


def grid(kind: type, common: set[str], trained: list[str]) -> list[Options]:
    """Runs in which every option, and every two, are both the default and not.

    ``common`` are the options that torch has too. None, one, all but one and all of them are
    changed; then each option of ours alone, with another of ours, and with all of torch's.
    """
    changes = {k: others(k, d) for k, d in defaults_of(kind).items() if k != "lr"}
    shared = [{k: v[0]} for k, v in changes.items() if k in common and v] + [{"falling": 0.1}]
    more = [{k: x} for k, v in changes.items() if k in common for x in v[1:]]
    own = [{k: x} for k, v in changes.items() if k not in common for x in v]
    every = merged(shared)
    most = [{k: v for k, v in every.items() if k not in one} for one in shared]
    near = NEARER.get(kind.__name__, {})
    base = {**usual_rate(defaults_of(kind)["lr"]), **near}
    together = [every] if valid(kind, trained, {**base, **every}) else most
    runs = [{}, *shared, *more, *most, *together]
    for i, one in enumerate(own):
        runs += [one, *({**run, **one} for run in together)]
        runs += [{**other, **one} for other in own[:i] if other.keys() != one.keys()]
    found: list[Options] = []
    for run in [near, *({**base, **run} for run in [*runs, *samples_of(kind)])]:
        if run not in found and valid(kind, trained, run):
            found.append(run)
    return found


def valid(kind: type, trained: list[str], options: Options) -> bool:
    """Whether a class takes these options together."""
    given = {k: v for k, v in options.items() if k != "falling"}
    try:
        kind([Tensor(START[k]) for k in trained], **given)
    except MicrogradoptError:
        return False
    return True


def merged(options: list[Options]) -> Options:
    """All of them in one."""
    return {k: v for one in options for k, v in one.items()}


# Trajectories: each of these gives the parameters after every step


def with_torch(name: str) -> Callable[..., Iterator[Arrays]]:
    def steps(x: Arrays, gradient: Gradient, rate: Rate, **options: Any) -> Iterator[Arrays]:
        nodes = {k: torch.tensor(v) for k, v in x.items()}
        optimizer = getattr(torch.optim, name)(list(nodes.values()), lr=rate(1), **options)
        for t in range(1, STEPS + 1):
            optimizer.param_groups[0]["lr"] = rate(t)
            for k, g in gradient({k: p.numpy() for k, p in nodes.items()}, t).items():
                nodes[k].grad = torch.tensor(g)
            optimizer.step()
            yield {k: p.numpy().copy() for k, p in nodes.items()}

    return steps


def with_keras(name: str) -> Callable[..., Iterator[Arrays]]:
    def steps(x: Arrays, gradient: Gradient, rate: Rate, **options: Any) -> Iterator[Arrays]:
        nodes = {k: keras.Variable(v) for k, v in x.items()}
        optimizer = in_keras(name)(learning_rate=rate(1), **options)
        for t in range(1, STEPS + 1):
            optimizer.learning_rate = rate(t)
            g = gradient({k: np.asarray(p.value) for k, p in nodes.items()}, t)
            optimizer.apply([jax.numpy.asarray(g[k]) for k in nodes], list(nodes.values()))
            yield {k: np.array(p.value) for k, p in nodes.items()}

    return steps


def with_optax(name: str) -> Callable[..., Iterator[Arrays]]:
    def steps(x: Arrays, gradient: Gradient, rate: Rate, **options: Any) -> Iterator[Arrays]:
        scheduled = rate(1) != rate(2)  # its steps count from 0
        optimizer = in_optax(name)(
            learning_rate=(lambda t: rate(t + 1)) if scheduled else rate(1), **options
        )
        nodes = {k: jax.numpy.asarray(v) for k, v in x.items()}
        state = optimizer.init(nodes)
        for t in range(1, STEPS + 1):
            g = gradient({k: np.asarray(p) for k, p in nodes.items()}, t)
            updates, state = optimizer.update(g, state, nodes)
            nodes = optax.apply_updates(nodes, updates)
            yield {k: np.asarray(p) for k, p in nodes.items()}

    return steps


def with_numpy(name: str) -> Callable[..., Iterator[Arrays]]:
    return lambda *args, **options: islice(REFERENCES[name](*args, **options), STEPS)


def traced(
    steps: Callable[..., Iterator[Arrays]], trained: list[str], lr: float, given: Options
) -> Run:
    """The numbers of all parameters, flat, at the steps kept, and how well they are known.

    Where other roundings of the start and of the gradients lead elsewhere by more than a tenth of
    the tests' tolerance, ``rtol`` holds ten times that: such a path depends on who computes it.
    """
    options = dict(given)
    decay = options.pop("falling", 0.0)
    rng = np.random.default_rng(0)

    def rate(t: int) -> float:
        return lr / (1.0 + decay * t) if decay else lr

    def rounded(a: np.ndarray) -> np.ndarray:
        return np.asarray(a * (1.0 + 1e-15 * rng.uniform(-1.0, 1.0, a.shape)))

    def path(given: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        def given_gradient(x: Arrays, t: int) -> Arrays:
            return {k: given(g) for k, g in gradient(x, t).items()}

        start = {k: given(START[k]) for k in trained}
        found = [
            np.concatenate([at[k].ravel() for k in trained])
            for at in steps(start, given_gradient, rate, **options)
        ]
        return np.array([found[t - 1] for t in KEPT])

    exact = path(np.copy)
    others = [path(rounded) for _ in range(3)]
    spread = max(np.max(np.abs(other - exact) / (np.abs(exact) + 0.1)) for other in others)
    known = {"rtol": float(f"{10 * spread:.0e}")} if spread > 1e-13 else {}
    return {"trajectory": exact.tolist(), **known}


# Files


def trainable(kind: type) -> list[str]:
    """What a class trains: all parameters, or the matrices only, where it takes no others."""
    nodes = {k: Tensor(v) if v.ndim else Value(float(v)) for k, v in START.items()}
    for trained in (list(nodes), [k for k, v in START.items() if v.ndim == 2]):
        try:
            optimizer = kind([nodes[k] for k in trained])
            for k in trained:
                nodes[k].grad = np.ones(START[k].shape)
            optimizer.step(lambda: None)
        except MicrogradoptError:
            continue
        return trained
    raise ValueError(f"{kind.__name__} trains none of the parameters")


def runs_of(kind: type) -> list[Run]:
    """All runs of a class, each from its twin in torch or its reference."""
    name, trained = kind.__name__, trainable(kind)
    twin = getattr(torch.optim, name, None)
    common = defaults_of(kind).keys() & inspect.signature(twin).parameters.keys() if twin else set()
    runs = []
    for options in grid(kind, common or set(defaults_of(kind)), trained):
        is_torchs = twin and options.keys() <= common | {"falling"}
        if not is_torchs and name not in REFERENCES:
            continue
        source = with_torch(name) if is_torchs else with_numpy(name)
        given = dict(options)
        lr = given.pop("lr", rate_of(twin or kind, "lr"))
        found = traced(source, trained, lr, given)
        by = f"torch {torch.__version__}" if is_torchs else "the formula in NumPy"
        runs.append({"options": options, "source": by, "trained": trained, **found})
    return runs


def preset_runs(library: str) -> list[Run]:
    """The runs of a library's presets, each from the library itself."""
    package, find, make, known = PRESETS[library]
    runs = []
    for name in dir(presets := getattr(optim.presets, library)):
        if name.startswith("_"):
            continue
        preset, (theirs, variants) = getattr(presets, name), known[name]
        steps, trained, usual = make(theirs), trainable(preset), defaults_of(preset)["lr"]
        their_usual = rate_of(find(theirs), "learning_rate") or usual
        falling = {**usual_rate(usual), **({} if name in NO_SCHEDULES else {"falling": 0.1})}
        plain = [(usual_rate(usual), {}), (falling, {})]
        if name not in NEARER:
            plain.append(({}, {}))
        changed = [({**falling, **ours}, their_options) for ours, their_options in variants]
        for options, their_options in [*plain, *changed]:
            given = {"falling": options.get("falling", 0.0), **their_options}
            runs.append(
                {
                    "preset": name,
                    "options": options,
                    "source": f"{library} {package.__version__}",
                    "trained": trained,
                    **traced(steps, trained, options.get("lr", their_usual), given),
                }
            )
    return runs


def in_optax(name: str) -> Callable[..., optax.GradientTransformation]:
    return getattr(optax, name, None) or getattr(optax.contrib, name)


def in_keras(name: str) -> type[keras.optimizers.Optimizer]:
    return getattr(keras.optimizers, name)


PRESETS = {
    "keras": (keras, in_keras, with_keras, KERAS),
    "optax": (optax, in_optax, with_optax, OPTAX),
}


def write(name: str, runs: list[Run]) -> None:
    """Write a file, without the runs that roundings decide."""
    path = FOLDER / f"{name}.json"
    path.unlink(missing_ok=True)
    known = [run for run in runs if run.get("rtol", 0.0) < 1e-8]
    for run in runs:
        if run not in known:
            print(f"  {name}: left out, since roundings decide: {run['options']}")
    if not known:
        raise SystemExit(f"{name}: torch has no {name}; write its formula into REFERENCES")
    lines = ",\n".join(json.dumps(run, separators=(",", ":")) for run in known)
    path.write_text(f'{{"runs":[\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{name}: {len(known)} runs, {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    asked = sys.argv[1:]
    start = {k: v.tolist() for k, v in START.items()}
    problem = {"X": X, "columns": COLUMNS, "start": start, "kept": KEPT}
    (FOLDER / "problem.json").write_text(json.dumps(problem) + "\n", encoding="utf-8")
    for kind in kinds():
        if not asked or kind.__name__ in asked:
            write(kind.__name__, runs_of(kind))
    for library in PRESETS:
        if not asked or library in asked:
            write(library, preset_runs(library))
