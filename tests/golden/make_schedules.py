"""Write schedules.json: traces of torch's schedulers. Needs torch; run it from anywhere.

Each trace is the rate (or momentum) in the optimizer steps 1, 2, … It stands beside the schedule,
as written here, that must give the same.
"""

import json
import math
import warnings
from pathlib import Path

import torch
from torch.optim import lr_scheduler as lrs

STEPS = 250
LR = 0.1

# our schedule, how many steps are compared, and torch's on an optimizer of rate LR
RATES = [
    ("constant(0.1)", STEPS, lambda o: lrs.ConstantLR(o, 1.0)),
    ("constant(0.1 / 3).for_steps(5) >> 0.1", STEPS, lambda o: lrs.ConstantLR(o)),
    ("constant(0.025).for_steps(40) >> 0.1", STEPS, lambda o: lrs.ConstantLR(o, 0.25, 40)),
    ("step_decay(0.1, 20)", STEPS, lambda o: lrs.StepLR(o, 20)),
    ("step_decay(0.1, 5, 0.5)", STEPS, lambda o: lrs.StepLR(o, 5, 0.5)),
    ("step_decay(0.1, 1, 0.97)", STEPS, lambda o: lrs.StepLR(o, 1, 0.97)),
    ("multistep(0.1, [30, 80])", STEPS, lambda o: lrs.MultiStepLR(o, [30, 80])),
    ("multistep(0.1, [80, 7, 80], 0.3)", STEPS, lambda o: lrs.MultiStepLR(o, [80, 7, 80], 0.3)),
    ("exponential(0.1, gamma=0.98)", STEPS, lambda o: lrs.ExponentialLR(o, 0.98)),
    ("exponential(0.1, k=0.03)", STEPS, lambda o: lrs.ExponentialLR(o, math.exp(-0.03))),
    ("exponential(0.1, 0.03)", STEPS, lambda o: lrs.LambdaLR(o, lambda e: math.exp(-0.03 * e))),
    ("inverse_time(0.1, 0.03)", STEPS, lambda o: lrs.LambdaLR(o, lambda e: 1 / (1 + 0.03 * e))),
    ("lift(lambda step: 0.1 / step)", STEPS, lambda o: lrs.LambdaLR(o, lambda e: 1 / (1 + e))),
    ("exponential(0.1, gamma=0.95)", STEPS, lambda o: lrs.MultiplicativeLR(o, lambda e: 0.95)),
    ("linear(0.1 / 3, 0.1, 5)", STEPS, lambda o: lrs.LinearLR(o)),
    ("linear(0.1, 0.002, 230)", STEPS, lambda o: lrs.LinearLR(o, 1.0, 0.02, 230)),
    ("warmup(0.1, 1)", STEPS, lambda o: lrs.ConstantLR(o, 1.0)),
    ("warmup(0.1, 120)", STEPS, lambda o: lrs.LinearLR(o, 1 / 120, 1.0, 119)),
    ("polynomial(0.1, 5)", STEPS, lambda o: lrs.PolynomialLR(o)),
    ("polynomial(0.1, 240, 2)", STEPS, lambda o: lrs.PolynomialLR(o, 240, 2.0)),
    ("polynomial(0.1, 210, 0.5)", STEPS, lambda o: lrs.PolynomialLR(o, 210, 0.5)),
    ("cosine(0.1, 250)", STEPS, lambda o: lrs.CosineAnnealingLR(o, 250)),
    ("cosine(0.1, 400, 0.03)", STEPS, lambda o: lrs.CosineAnnealingLR(o, 400, 0.03)),
    ("cosine(0.1, 30, 0.001)", 31, lambda o: lrs.CosineAnnealingLR(o, 30, 0.001)),
    ("warm_restarts(0.1, 40)", STEPS, lambda o: lrs.CosineAnnealingWarmRestarts(o, 40)),
    ("warm_restarts(0.1, 10, 2, 0.01)", STEPS,
     lambda o: lrs.CosineAnnealingWarmRestarts(o, 10, 2, 0.01)),
    ("warm_restarts(0.1, 1, 3)", STEPS, lambda o: lrs.CosineAnnealingWarmRestarts(o, 1, 3)),
    ("cyclical(0.01, 0.1, 20)", STEPS, lambda o: lrs.CyclicLR(o, 0.01, 0.1, 20)),
    ("cyclical(0.01, 0.1)", STEPS, lambda o: lrs.CyclicLR(o, 0.01, 0.1)),
    ("cyclical(0.01, 0.1, 7, 13)", STEPS, lambda o: lrs.CyclicLR(o, 0.01, 0.1, 7, 13)),
    ("cyclical(0.01, 0.1, 13, 7, 'triangular2')", STEPS,
     lambda o: lrs.CyclicLR(o, 0.01, 0.1, 13, 7, "triangular2")),
    ("cyclical(0.01, 0.1, 20, mode='exp_range', gamma=0.99)", STEPS,
     lambda o: lrs.CyclicLR(o, 0.01, 0.1, 20, mode="exp_range", gamma=0.99)),
    ("one_cycle(0.1, 250)", STEPS, lambda o: lrs.OneCycleLR(o, 0.1, 250)),
    ("one_cycle(0.1, 33)", 33, lambda o: lrs.OneCycleLR(o, 0.1, 33)),
    ("one_cycle(0.1, 250, 0.45, 'linear')", STEPS,
     lambda o: lrs.OneCycleLR(o, 0.1, 250, pct_start=0.45, anneal_strategy="linear")),
    ("one_cycle(0.1, 250, 0.3, 'cos', 10, 100)", STEPS,
     lambda o: lrs.OneCycleLR(o, 0.1, 250, div_factor=10, final_div_factor=100)),
    ("one_cycle(0.1, 250, three_phase=True)", STEPS,
     lambda o: lrs.OneCycleLR(o, 0.1, 250, three_phase=True)),
    ("one_cycle(0.1, 250, 0.5, 'linear', three_phase=True)", STEPS,
     lambda o: lrs.OneCycleLR(o, 0.1, 250, pct_start=0.5, anneal_strategy="linear",
                              three_phase=True)),
    ("one_cycle(0.1, 250, 0.0)", STEPS, lambda o: lrs.OneCycleLR(o, 0.1, 250, pct_start=0.0)),
    ("one_cycle(0.1, 250, 1.0)", STEPS, lambda o: lrs.OneCycleLR(o, 0.1, 250, pct_start=1.0)),
    ("one_cycle(0.1, 3)", 3, lambda o: lrs.OneCycleLR(o, 0.1, 3)),
    ("inverse_sqrt((64 * 50) ** -0.5, 50)", STEPS, lambda o: lrs.LambdaLR(
        o, lambda e: 64**-0.5 * min((e + 1) ** -0.5, (e + 1) * 50**-1.5) / LR)),
    ("piecewise({1: 0.01, 21: 0.1, 101: 0.02})", STEPS, lambda o: lrs.LambdaLR(
        o, lambda e: 0.1 if e < 20 else 1.0 if e < 100 else 0.2)),
    ("step_decay(0.1, 3, 0.9).every(10)", STEPS, lambda o: lrs.StepLR(o, 30, 0.9)),
    ("warmup(0.1, 50) >> cosine(0.1, 200)", STEPS, lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 1 / 50, 1.0, 49), lrs.CosineAnnealingLR(o, 200)], [50])),
    ("join([constant(0.01), exponential(0.1, gamma=0.9), step_decay(0.1, 7, 0.5)], [20, 60])",
     STEPS, lambda o: lrs.SequentialLR(
        o, [lrs.ConstantLR(o, 0.1, 1000), lrs.ExponentialLR(o, 0.9), lrs.StepLR(o, 7, 0.5)],
        [20, 60])),
    ("(constant(0.5).for_steps(20) >> 1) * exponential(0.1, gamma=0.9)", STEPS,
     lambda o: lrs.ChainedScheduler(
        [lrs.ConstantLR(o, 0.5, 20), lrs.ExponentialLR(o, 0.9)])),
    ("0.1 * linear(0.1, 1, 30) * step_decay(1, 50, 0.3)", STEPS, lambda o: lrs.ChainedScheduler(
        [lrs.LinearLR(o, 0.1, 1.0, 30), lrs.StepLR(o, 50, 0.3)])),
]  # fmt: skip

# a momentum, cycled by torch beside the rate
MOMENTA = [
    ("cyclical(0.9, 0.8, 20)", STEPS, lambda o: lrs.CyclicLR(o, 0.01, 0.1, 20)),
    ("cyclical(0.95, 0.7, 7, 13, 'triangular2')", STEPS, lambda o: lrs.CyclicLR(
        o, 0.01, 0.1, 7, 13, "triangular2", base_momentum=0.7, max_momentum=0.95)),
    ("one_cycle(0.85, 250, div_factor=0.85 / 0.95, final_div_factor=1)", STEPS,
     lambda o: lrs.OneCycleLR(o, 0.1, 250)),
    ("one_cycle(0.85, 250, 0.3, 'linear', 0.85 / 0.95, 1, three_phase=True)", STEPS,
     lambda o: lrs.OneCycleLR(o, 0.1, 250, anneal_strategy="linear", three_phase=True)),
]  # fmt: skip

PLATEAUS = [
    {},
    {"factor": 0.5, "patience": 3},
    {"mode": "max", "factor": 0.5, "patience": 2},
    {"patience": 0, "cooldown": 4},
    {"patience": 2, "cooldown": 3, "min_lr": 0.004, "factor": 0.7},
    {"patience": 1, "threshold": 0.05},
    {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "factor": 0.9},
    {"mode": "max", "patience": 1, "threshold": 0.05, "threshold_mode": "abs", "factor": 0.9},
    {"mode": "max", "patience": 1, "threshold": 0.05, "factor": 0.9},
    {"patience": 0, "factor": 0.5, "eps": 0.01},
    {"patience": 0, "factor": 0.0, "min_lr": 0.05},
    {"patience": 1, "threshold": 1.0, "factor": 0.8},
]


def optimizer() -> torch.optim.SGD:
    parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    return torch.optim.SGD([parameter], lr=LR, momentum=0.9)


def trace(make, steps: int, key: str) -> list[float]:
    o = optimizer()
    scheduler = make(o)
    found = []
    for step in range(steps):
        found.append(o.param_groups[0][key])
        o.step()
        if step < steps - 1:
            scheduler.step()
    return found


def metrics() -> dict[str, list[float]]:
    """Courses a metric may take: down with noise, up with noise, around 0, and broken ones."""
    noise = torch.randn(STEPS, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    time = torch.arange(STEPS, dtype=torch.float64)
    falling = (torch.exp(-time / 40) + 0.03 * noise + 0.2).tolist()
    broken = falling.copy()
    broken[0], broken[9], broken[30], broken[31] = math.inf, math.nan, -math.inf, math.nan
    return {
        "falling": falling,
        "rising": [1.0 - x for x in falling],
        "around 0": noise.tolist(),
        "broken": broken,
        "NaN first": [math.nan, *falling[1:]],
        "constant": [1.0] * STEPS,
    }


def plateau(course: list[float], options: dict) -> list[tuple[int, float]]:
    """The metrics, by their number, that changed the rate, and the new rate."""
    o = optimizer()
    scheduler = lrs.ReduceLROnPlateau(o, **options)
    changes, rate = [], LR
    for i, metric in enumerate(course):
        scheduler.step(metric)
        if o.param_groups[0]["lr"] != rate:
            rate = o.param_groups[0]["lr"]
            changes.append((i, rate))
    return changes


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    courses = metrics()
    golden = {
        "torch": torch.__version__,
        "traces": [
            {"schedule": ours, "of": key, "values": trace(make, steps, key)}
            for key, table in (("lr", RATES), ("momentum", MOMENTA))
            for ours, steps, make in table
        ],
        "metrics": courses,
        "plateaus": [
            {"options": options, "metrics": name, "changes": plateau(course, options)}
            for options in PLATEAUS
            for name, course in courses.items()
        ],
    }
    Path(__file__).with_name("schedules.json").write_text(json.dumps(golden), encoding="utf-8")
