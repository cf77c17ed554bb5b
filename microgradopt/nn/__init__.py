"""Layers, activations, initialisers and losses."""

from microgradopt.nn import init, scalar
from microgradopt.nn.activations import ELU, LeakyReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from microgradopt.nn.layers import MLP, Linear, Sequential
from microgradopt.nn.losses import (
    cross_entropy,
    cross_entropy_from_probabilities,
    half_squared_error,
    hinge,
    l1_penalty,
    l2_penalty,
    mse,
)
from microgradopt.nn.module import Module

__all__ = [
    "ELU",
    "MLP",
    "LeakyReLU",
    "Linear",
    "Module",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "cross_entropy",
    "cross_entropy_from_probabilities",
    "half_squared_error",
    "hinge",
    "init",
    "l1_penalty",
    "l2_penalty",
    "mse",
    "scalar",
]
