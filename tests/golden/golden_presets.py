"""Which of keras's and optax's optimizers are compared with presets, and with which options."""

from __future__ import annotations

from typing import Any, TypeAlias

Options: TypeAlias = dict[str, Any]
Known: TypeAlias = dict[str, tuple[str, list[tuple[Options, Options]]]]

# By our name: theirs, and pairs of our options and the same as theirs.
MOMENTUM = [
    ({"momentum": 0.8}, {"momentum": 0.8}),
    ({"momentum": 0.8, "nesterov": True}, {"momentum": 0.8, "nesterov": True}),
]
KERAS_BETAS = ({"betas": (0.8, 0.9), "eps": 1e-3}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3})
OPTAX_BETAS = ({"betas": (0.8, 0.9), "eps": 1e-3}, {"b1": 0.8, "b2": 0.9, "eps": 1e-3})
DECAYED = ({"weight_decay": 0.1}, {"weight_decay": 0.1})
AMSGRAD = ({"amsgrad": True}, {"amsgrad": True})
INSIDE = ({"eps": 1e-3, "eps_mode": "inside"}, {"eps": 0.0, "eps_root": 1e-3})
CENTERED = ({"centered": True, "eps": 1e-3}, {"centered": True, "epsilon": 1e-3})
RMS = [
    ({"eps": 1e-3, "eps_mode": "outside"}, {"eps": 1e-3, "eps_in_sqrt": False}),
    ({"initial_accumulator_value": 0.2}, {"initial_scale": 0.2}),
    ({"centered": True, "eps": 1e-3}, {"centered": True, "eps": 1e-3}),
    ({"bias_correction": True}, {"bias_correction": True}),
    (
        {"centered": True, "bias_correction": True, "eps": 1e-3},
        {"centered": True, "bias_correction": True, "eps": 1e-3},
    ),
]
TRUST = ({"trust_coefficient": 0.01, "eps": 0.1}, {"trust_coefficient": 0.01, "eps": 0.1})
PRODIGY = [
    ({"d0": 1e-2}, {"estim_lr0": 1e-2}),
    ({"d0": 1e-2, "weight_decay": 0.1}, {"estim_lr0": 1e-2, "weight_decay": 0.1}),
    ({"d0": 1e-2, "safeguard_warmup": True}, {"estim_lr0": 1e-2, "safeguard_warmup": True}),
    ({"d0": 1e-2, "d_coef": 0.5}, {"estim_lr0": 1e-2, "estim_lr_coef": 0.5}),
]

KERAS: Known = {
    "SGD": ("SGD", MOMENTUM),
    "Adagrad": ("Adagrad", [DECAYED]),
    "Adadelta": ("Adadelta", [DECAYED, ({"rho": 0.8}, {"rho": 0.8})]),
    "RMSprop": ("RMSprop", [MOMENTUM[0], CENTERED, DECAYED]),
    "Adam": ("Adam", [KERAS_BETAS, DECAYED, AMSGRAD]),
    "AdamW": ("AdamW", [KERAS_BETAS, DECAYED, AMSGRAD]),
    "Adamax": ("Adamax", [KERAS_BETAS, DECAYED]),
    "NAdam": ("Nadam", [KERAS_BETAS, DECAYED]),
    "LAMB": ("Lamb", [KERAS_BETAS]),
    "Lion": ("Lion", [DECAYED, ({"betas": (0.8, 0.9)}, {"beta_1": 0.8, "beta_2": 0.9})]),
    "Adafactor": ("Adafactor", []),
    "AdamWScheduleFree": ("ScheduleFreeAdamW", [KERAS_BETAS]),
}
OPTAX: Known = {
    "SGD": ("sgd", MOMENTUM),
    "Adagrad": ("adagrad", [({"eps": 1e-3}, {"eps": 1e-3})]),
    "Adadelta": ("adadelta", [DECAYED, ({"rho": 0.8}, {"rho": 0.8})]),
    "RMSprop": ("rmsprop", [*MOMENTUM, *RMS]),
    "Adam": ("adam", [OPTAX_BETAS, INSIDE]),
    "AdamW": ("adamw", [OPTAX_BETAS, DECAYED, INSIDE]),
    "Adamax": ("adamax", [OPTAX_BETAS]),
    "NAdam": ("nadam", [OPTAX_BETAS, INSIDE]),
    "RAdam": ("radam", [OPTAX_BETAS, INSIDE, ({"threshold": 20.0}, {"threshold": 20.0})]),
    "LAMB": ("lamb", [OPTAX_BETAS, DECAYED]),
    "LARS": ("lars", [DECAYED, MOMENTUM[1], TRUST]),
    "SignSGD": ("sign_sgd", []),
    "Lion": ("lion", [DECAYED, ({"betas": (0.8, 0.9)}, {"b1": 0.8, "b2": 0.9})]),
    "SGDScheduleFree": ("schedule_free_sgd", [DECAYED, ({"momentum": 0.8}, {"b1": 0.8})]),
    "AdamWScheduleFree": ("schedule_free_adamw", [OPTAX_BETAS, DECAYED]),
    "Prodigy": ("prodigy", PRODIGY),
}
NO_SCHEDULES = {"SGDScheduleFree", "AdamWScheduleFree"}  # in optax they count steps in two ways
