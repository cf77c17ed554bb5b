"""Optimizers, and the transforms they are made of."""

from microgradopt.optim.optimizer import Optimizer
from microgradopt.optim.sgd import SGD
from microgradopt.optim.transforms import Transform, chain

__all__ = ["SGD", "Optimizer", "Transform", "chain"]
