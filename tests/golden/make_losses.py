"""Write losses.json: values and gradients of torch's losses. Needs torch; run it from anywhere.

Each case has a loss, its operands (floats are differentiated by, labels not), options, the value,
and the gradients of Σ value·cos(1 + 0.7·place).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as torchs

SHAPES = [(1, 1), (1, 3), (4, 3), (3, 31), (3, 32), (3, 33)]
REDUCTIONS = ("mean", "sum", "none")
THEIRS = {"mse": "mse_loss"}
GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return 2.0 * torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


def uniform(*shape: int) -> torch.Tensor:
    return 0.05 + 0.9 * torch.rand(shape, generator=GENERATOR, dtype=torch.float64)


def labels(classes: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, classes, shape, generator=GENERATOR)


def signs(*shape: int) -> torch.Tensor:
    return 2.0 * labels(2, *shape).to(torch.float64) - 1.0


def distributions(*shape: int) -> torch.Tensor:
    positive = uniform(*shape)
    return positive / positive.sum(1, keepdim=True)


def evaluate(f: Any, operands: list[torch.Tensor]) -> dict[str, Any]:
    leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in operands]
    value = f(*leaves)
    places = torch.arange(value.numel(), dtype=torch.float64).reshape(value.shape)
    (value * torch.cos(1.0 + 0.7 * places)).sum().backward()
    gradients = [None if x.grad is None else x.grad.tolist() for x in leaves]
    return {"value": value.tolist(), "gradients": gradients}


def case(name: str, operands: list[torch.Tensor], **options: Any) -> dict[str, Any]:
    theirs = getattr(torchs, THEIRS.get(name, name))
    tensors = {
        k: torch.tensor(v, dtype=torch.float64) if isinstance(v, list) else v
        for k, v in options.items()
    }
    found = evaluate(lambda *xs: theirs(*xs, **tensors), operands)
    given = [x.tolist() for x in operands]
    return {"loss": name, "operands": given, "options": options, **found}


def choices(**options: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Every combination of options."""
    for values in itertools.product(*options.values()):
        yield dict(zip(options, values))


def of_classes() -> Iterator[dict[str, Any]]:
    weights = [0.5, 2.0, 0.0]
    for shape in ((4, 3), (3,), (2, 3, 2), (2, 3, 2, 2)):
        batch = shape[:1] + shape[2:] if len(shape) > 1 else ()
        target = labels(3, *batch)
        if not bool((target != 2).any()):  # some weight must be left
            target = target * 0
        soft = distributions(*shape) if len(shape) > 1 else distributions(1, 3)[0]
        x = normal(*shape)
        some = [None, weights]
        for options in choices(
            weight=tuple(some), label_smoothing=(0.0, 0.3), reduction=REDUCTIONS
        ):
            yield case("cross_entropy", [x, target], **options)
            yield case("cross_entropy", [x, soft], **options)
        for options in choices(weight=tuple(some), ignore_index=(1, -7), reduction=REDUCTIONS):
            marked = target.clone()
            if options["ignore_index"] == -7 and len(shape) > 1:
                marked[0] = -7
            some_left = marked[marked != options["ignore_index"]]
            if not some_left.numel() or not bool((some_left != 2).any()):
                continue
            for smoothing in (0.0, 0.3):
                yield case("cross_entropy", [x, marked], label_smoothing=smoothing, **options)
            yield case("nll_loss", [x, marked], **options)
        for options in choices(weight=tuple(some), reduction=REDUCTIONS):
            yield case("nll_loss", [x, target], **options)


def of_probabilities() -> Iterator[dict[str, Any]]:
    weight = [[0.5], [2.0], [1.0]]
    for options in choices(weight=(None, weight), reduction=REDUCTIONS):
        yield case("binary_cross_entropy", [uniform(3, 4), uniform(3, 4)], **options)
        for positive in (None, [0.3, 1.0, 2.0, 5.0]):
            yield case(
                "binary_cross_entropy_with_logits",
                [10.0 * normal(3, 4), uniform(3, 4)],
                pos_weight=positive,
                **options,
            )
    for options in choices(log_target=(False, True), reduction=(*REDUCTIONS, "batchmean")):
        target = normal(3, 4) if options["log_target"] else distributions(3, 4)
        yield case("kl_div", [normal(3, 4), target], **options)


def of_numbers() -> Iterator[dict[str, Any]]:
    for reduction in REDUCTIONS:
        for name in ("mse", "l1_loss"):
            yield case(name, [normal(3, 4), normal(3, 4)], reduction=reduction)
            yield case(name, [normal(5), normal(5)], reduction=reduction)
        for size in (0.5, 1.0, 3.0):
            operands = [normal(3, 4), normal(3, 4)]
            yield case("huber_loss", operands, delta=size, reduction=reduction)
            yield case("smooth_l1_loss", operands, beta=size, reduction=reduction)
        yield case("smooth_l1_loss", [normal(3, 4), normal(3, 4)], beta=0.0, reduction=reduction)
        for options in choices(full=(False, True), log_input=(True, False)):
            rate = normal(3, 4) if options["log_input"] else uniform(3, 4)
            counts = labels(5, 3, 4).to(torch.float64)
            found = case("poisson_nll_loss", [rate, counts], reduction=reduction, **options)
            found["gradients"][1] = None  # torch's leaves Stirling's term out of it
            yield found


def of_margins() -> Iterator[dict[str, Any]]:
    for reduction, margin in itertools.product(REDUCTIONS, (0.1, 0.4)):
        options = {"reduction": reduction, "margin": margin}
        for name, shape in (("margin_ranking_loss", (5,)), ("cosine_embedding_loss", (5, 3))):
            found = case(name, [normal(*shape), normal(*shape), signs(5)], **options)
            found["gradients"][2] = None  # signs are data here
            yield found
        for p, swap in itertools.product((1.0, 2.0, 3.0), (False, True)):
            operands = [normal(4, 3), normal(4, 3), normal(4, 3)]
            yield case("triplet_margin_loss", operands, p=p, swap=swap, **options)


def run(shape: tuple[int, int]) -> dict[str, Any]:
    """The losses at the sizes where kernels change their layout."""
    n, classes = shape
    logits, target = 1.5 * normal(*shape), labels(classes, n)
    soft = distributions(*shape)

    def numbers(f: Any) -> dict[str, Any]:
        x = logits.clone().requires_grad_()
        y = f(x)
        y.backward()
        return {"value": y.item(), "gradient": x.grad.tolist()}

    return {
        "logits": logits.tolist(),
        "labels": target.tolist(),
        "soft": soft.tolist(),
        "cross_entropy": numbers(lambda x: torchs.cross_entropy(x, target)),
        "soft_cross_entropy": numbers(lambda x: torchs.cross_entropy(x, soft)),
        "mse": numbers(lambda x: torchs.mse_loss(x, soft)),
        "half_squared_error": numbers(lambda x: 0.5 * torchs.mse_loss(x, soft, reduction="sum")),
        "hinge": numbers(  # torch also divides by the number of classes
            lambda x: classes * torchs.multi_margin_loss(x, target)
        ),
    }


if __name__ == "__main__":
    families = (of_classes(), of_probabilities(), of_numbers(), of_margins())
    golden = {
        "torch": torch.__version__,
        "runs": [run(shape) for shape in SHAPES],
        "cases": list(itertools.chain(*families)),
    }
    Path(__file__).with_name("losses.json").write_text(json.dumps(golden), encoding="utf-8")
