"""Write losses.json: values and gradients of torch's losses. Needs torch; run it from anywhere."""

import json
from pathlib import Path

import torch
from torch.nn import functional as torchs

SHAPES = [(1, 1), (1, 3), (4, 3), (3, 31), (3, 32), (3, 33)]


def evaluate(loss, x: torch.Tensor) -> dict:
    x = x.clone().requires_grad_()
    y = loss(x)
    y.backward()
    return {"value": y.item(), "gradient": x.grad.tolist()}


def run(shape: tuple[int, int], generator: torch.Generator) -> dict:
    n, classes = shape
    logits = 3.0 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (n,), generator=generator)
    soft = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
    soft = soft / soft.sum(1, keepdim=True)
    return {
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "soft": soft.tolist(),
        "cross_entropy": evaluate(lambda x: torchs.cross_entropy(x, labels), logits),
        "soft_cross_entropy": evaluate(lambda x: torchs.cross_entropy(x, soft), logits),
        "mse": evaluate(lambda x: torchs.mse_loss(x, soft), logits),
        "half_squared_error": evaluate(
            lambda x: 0.5 * torchs.mse_loss(x, soft, reduction="sum"), logits
        ),
        "hinge": evaluate(  # torch also divides by the number of classes
            lambda x: classes * torchs.multi_margin_loss(x, labels), logits
        ),
    }


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(0)
    golden = {"torch": torch.__version__, "runs": [run(shape, generator) for shape in SHAPES]}
    Path(__file__).with_name("losses.json").write_text(json.dumps(golden), encoding="utf-8")
