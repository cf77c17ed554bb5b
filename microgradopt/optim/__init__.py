"""Optimizers, and the transforms they are made of."""

from microgradopt.optim.adam import Adam, AdamW, scale_by_adam
from microgradopt.optim.clipping import clip_by_global_norm, clip_by_norm, clip_by_value
from microgradopt.optim.optimizer import Optimizer
from microgradopt.optim.sgd import SGD, momentum
from microgradopt.optim.transforms import (
    Transform,
    add_decayed_weights,
    chain,
    scale,
    scale_by_learning_rate,
    stateless,
    transform_of,
)
from microgradopt.optim.wrappers import accumulate, ema, masked, partition

__all__ = [
    "SGD", "Adam", "AdamW", "Optimizer", "Transform", "accumulate", "add_decayed_weights", "chain",
    "clip_by_global_norm", "clip_by_norm", "clip_by_value", "ema", "masked", "momentum",
    "partition", "scale", "scale_by_adam", "scale_by_learning_rate", "stateless", "transform_of",
]  # fmt: skip
