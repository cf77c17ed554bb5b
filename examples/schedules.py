"""Every schedule of the learning rate in one picture, and what they do to the same network.

The last row trains a 2–32–3 network on the spiral with five of them: a large rate in the middle of
the run and a small one at its end beat a constant one.
"""

from pathlib import Path

from matplotlib.figure import Figure

from microgradopt import datasets, nn, optim, plot
from microgradopt.optim.schedules import (
    Plateau,
    Schedule,
    constant,
    cosine,
    cyclical,
    exponential,
    geometric,
    inverse_sqrt,
    inverse_time,
    lift,
    linear,
    multistep,
    one_cycle,
    piecewise,
    polynomial,
    step_decay,
    warm_restarts,
    warmup,
)

STEPS = 200
FAMILIES = {
    "steps": {
        "constant": constant(0.5),
        "step_decay": step_decay(1.0, 30, 0.5),
        "multistep": multistep(0.9, [50, 120, 160], 0.3),
        "piecewise": piecewise({1: 0.1, 21: 0.8, 81: 0.6, 151: 0.05}),
    },
    "decays": {
        "exponential": exponential(1.0, k=0.03),
        "inverse_time": inverse_time(1.0, k=0.05),
        "inverse_sqrt": inverse_sqrt(1.0, warmup_steps=20),
        "lift": lift(lambda step: 1.0 / step),
    },
    "from one value to another": {
        "linear": linear(1.0, 0.05, 150),
        "polynomial": polynomial(1.0, 150, power=3.0),
        "cosine": cosine(1.0, 150),
        "geometric": geometric(0.001, 1.0, STEPS),
    },
    "cycles": {
        "triangular": cyclical(0.1, 1.0, 25),
        "triangular2": cyclical(0.1, 1.0, 25, mode="triangular2"),
        "exp_range": cyclical(0.1, 1.0, 25, mode="exp_range", gamma=0.99),
    },
    "waves": {
        "warm_restarts": warm_restarts(1.0, 28, T_mult=2),
        "one_cycle": one_cycle(1.0, STEPS),
        "one_cycle, three phases": one_cycle(1.0, STEPS, 0.4, "linear", three_phase=True),
    },
    "put together": {
        "warmup >> cosine": warmup(1.0, 30) >> cosine(1.0, STEPS - 30),
        "step_decay.every(10)": step_decay(0.8, 4, 0.5).every(10),
        "cyclical * cosine": cyclical(0.3, 1.0, 10) * cosine(1.0, STEPS),
    },
}
BUDGET = 300  # steps of training


def rates_to_try() -> dict[str, Schedule]:
    return {  # made anew for each run, since a Plateau remembers the metrics it has seen
        "constant": constant(1.0),
        "step_decay": step_decay(1.0, 60, 0.5),
        "warmup >> cosine": warmup(2.0, 40) >> cosine(2.0, BUDGET - 40),
        "one_cycle": one_cycle(2.0, BUDGET),
        "plateau": Plateau(2.0, factor=0.5, patience=5),
    }


def train(lr: Schedule, X, y) -> tuple[list[float], list[float]]:
    """The loss after each step, and the rate of each step."""
    model = nn.MLP(2, [32, 3], rng=0)
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses, rates = [], []
    for step in range(1, BUDGET + 1):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(X), y)
        loss.backward()
        rates.append(lr(step))
        optimizer.step()
        losses.append(loss.item())
        if isinstance(lr, Plateau):
            lr.update(losses[-1])
    return losses, rates


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, float]:
    out.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(14, 13), layout="constrained")
    panels = figure.subplots(4, 2).ravel()
    for axes, (title, family) in zip(panels, FAMILIES.items()):
        plot.schedule(family, STEPS, ax=axes)
        axes.set_title(title)
    X, y = datasets.spiral(60, 3, rng=seed)
    runs = {name: train(lr, X, y) for name, lr in rates_to_try().items()}
    plot.loss_curve({name: rates for name, (_, rates) in runs.items()}, ax=panels[6],
                    ylabel="learning rate")  # fmt: skip
    panels[6].set_title("the rates of five runs")
    plot.loss_curve({name: losses for name, (losses, _) in runs.items()}, ax=panels[7], log=True)
    panels[7].set_title("their losses: 2–32–3 on the spiral")
    figure.savefig(out / "schedules.png", dpi=100)
    for name, (losses, rates) in runs.items():
        print(f"{name:17} last rate {rates[-1]:.4f}, last loss {losses[-1]:.4f}")
    print("drawn in", out / "schedules.png")
    return {name: losses[-1] for name, (losses, _) in runs.items()}


if __name__ == "__main__":
    main()
