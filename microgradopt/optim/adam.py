"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microgradopt.engine.ops.elementwise import maximum, sqrt
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion, check_choice
from microgradopt.optim.sgd import downhill
from microgradopt.optim.transforms import Hyper, Transform, transform_of, zeros_like

EPS_MODES = ("outside", "inside", "hat")


def scale_by_adam(
    beta1: Hyper = 0.9,
    beta2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    amsgrad: bool = False,
    bias_correction: bool = True,
    eps_mode: str = "outside",
) -> Transform:
    """m/(√v + eps) of the averages m ← β₁m + (1−β₁)g and v ← β₂v + (1−β₂)g².

    Kingma and Ba 2015, algorithm 1: with ``bias_correction``, m/(1−β₁ᵗ) and v/(1−β₂ᵗ) take the
    places of m and v, for the zeros they start from. ``amsgrad`` keeps the largest v so far (Reddi
    et al. 2018), in torch's form.

    Args:
        eps_mode: ``"outside"`` √v + eps, the paper's; ``"inside"`` √(v + eps); ``"hat"`` adds eps
            before v is corrected, the paper's section 2 and keras's form.
    """
    check_choice("scale_by_adam", "eps_mode", eps_mode, EPS_MODES)

    def apply(
        g: Any, state: Any, x: Any, beta1: float, beta2: float, eps: float, scale: float = 1.0
    ) -> tuple[Any, dict[str, Any]]:
        step = state["step"] + 1
        m, v = averages(g, state, beta1, beta2)
        after = {"exp_avg": m, "exp_avg_sq": v, "step": step}
        if amsgrad:
            v = after["max_exp_avg_sq"] = maximum(state["max_exp_avg_sq"], v)
        # Both corrections in one factor of the result saves passes over the arrays.
        missing_m = 1.0 - beta1**step if bias_correction else 1.0
        missing_v = 1.0 - beta2**step if bias_correction else 1.0
        update = (scale * sqrt(missing_v) / missing_m) * m
        update /= root_of(v, missing_v, eps, eps_mode)
        return update, after

    def start(x: Any) -> dict[str, Any]:
        largest = {"max_exp_avg_sq": zeros_like(x)} if amsgrad else {}
        return {"exp_avg": zeros_like(x), "exp_avg_sq": zeros_like(x), "step": 0, **largest}

    return transform_of(
        "scale_by_adam",
        apply,
        start,
        entrywise=True,
        scales=True,
        flags={"amsgrad": amsgrad, "bias_correction": bias_correction, "eps_mode": eps_mode},
        beta1=beta1,
        beta2=beta2,
        eps=eps,
    )


def averages(g: Any, state: Any, beta1: float, beta2: float) -> tuple[Any, Any]:
    """The next averages of gradients and of their squares."""
    m = beta1 * state["exp_avg"]
    m += (1.0 - beta1) * g
    squares = (1.0 - beta2) * g
    squares *= g
    v = beta2 * state["exp_avg_sq"]
    v += squares
    return m, v


def root_of(v: Any, missing: float, eps: float, eps_mode: str) -> Any:
    """The root of v/missing with eps in its place, times √missing."""
    if eps_mode == "inside":
        return sqrt(v + eps * missing)
    root = sqrt(v)
    root += eps if eps_mode == "hat" else eps * sqrt(missing)
    return root


def adam(
    lr: Hyper,
    betas: tuple[Hyper, Hyper],
    eps: Hyper,
    weight_decay: Hyper,
    amsgrad: bool,
    maximize: bool,
    decoupled_weight_decay: bool,
    bias_correction: bool,
    eps_mode: str,
) -> Transform:
    """The chain of :class:`Adam` and :class:`AdamW`."""
    direction = scale_by_adam(
        *betas, eps, amsgrad=amsgrad, bias_correction=bias_correction, eps_mode=eps_mode
    )
    return downhill([direction], lr, weight_decay, maximize, decoupled_weight_decay)


class Adam(Optimizer):
    """x ← x − lr·m̂/(√v̂ + eps): Adam (Kingma and Ba 2015), with torch's names and defaults.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. It, ``betas``, ``eps`` and ``weight_decay`` may be schedules.
        betas: how much the averages of the gradient and of its square keep.
        eps: keeps the division finite; see ``eps_mode``.
        weight_decay: adds weight_decay·x to the gradient, or with ``decoupled_weight_decay`` to
            the direction, where the averages do not see it, as in :class:`AdamW`.
        amsgrad: divides by the largest average of squares so far (Reddi et al. 2018).
        maximize: goes up instead of down.
        bias_correction, eps_mode: see :func:`scale_by_adam`.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.Adam([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    0.9
    """

    samples = (
        {"lr": 0.1},
        {"lr": 0.1, "betas": (0.8, 0.99), "weight_decay": 1e-4},
        {"lr": 0.1, "amsgrad": True},
        {"lr": 0.1, "weight_decay": 1e-4, "decoupled_weight_decay": True},
        {"lr": 0.05, "bias_correction": False},
        {"lr": 0.1, "eps_mode": "inside"},
        {"lr": 0.1, "eps_mode": "hat"},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        bias_correction: bool = True,
        eps_mode: str = "outside",
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, adam, **given(locals()))


class AdamW(Optimizer):
    """Adam whose weight decay is apart from the averages: x ← x − lr·(m̂/(√v̂ + eps) + λx).

    Loshchilov and Hutter 2019, in torch's form, where the rate scales the decay λ too. The
    arguments are those of :class:`Adam`.

    >>> import microgradopt as mg
    >>> W, b = mg.Tensor([[1.0]], name="weight"), mg.Tensor([1.0], name="bias")
    >>> optimizer = mg.optim.AdamW([W, b], lr=0.1, no_decay="biases_and_norms")
    >>> [(group["names"], group["weight_decay"]) for group in optimizer.param_groups]
    [(['weight'], 0.01), (['bias'], 0.0)]
    """

    samples = (
        {"lr": 0.1, "weight_decay": 1e-4},
        {"lr": 0.1, "betas": (0.8, 0.99), "weight_decay": 1e-4, "amsgrad": True},
        {"lr": 0.1, "weight_decay": 1e-4, "eps_mode": "hat"},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        bias_correction: bool = True,
        eps_mode: str = "outside",
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, decoupled_adam, **given(locals()))


def decoupled_adam(**options: Any) -> Transform:
    """The chain of :class:`AdamW`."""
    return adam(**options, decoupled_weight_decay=True)
