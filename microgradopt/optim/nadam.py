"""NAdam and RAdam: Adam with Nesterov's momentum, and Adam that mistrusts its first averages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microgradopt.engine.ops.elementwise import sqrt
from microgradopt.optim.adam import EPS_MODES, averages, root_of
from microgradopt.optim.optimizer import Optimizer, given
from microgradopt.optim.options import Exclusion, check_choice
from microgradopt.optim.sgd import downhill
from microgradopt.optim.transforms import Hyper, Transform, transform_of, zeros_like


def scale_by_nadam(
    beta1: Hyper = 0.9,
    beta2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    momentum_decay: Hyper = 4e-3,
    *,
    momentum_warmup: bool = True,
    eps_mode: str = "outside",
) -> Transform:
    """Adam's direction, of this step's gradient and of the next step's share of m.

    ((1 − μₜ)g/(1 − μ₁⋯μₜ) + μₜ₊₁·m/(1 − μ₁⋯μₜ₊₁))/(√v̂ + eps) with the averages m and v of Adam
    (Dozat 2016, section 2.2).

    Args:
        momentum_decay: ψ in μₜ = β₁·(1 − ½·0.96^(ψt)), which rises from about ½β₁.
        momentum_warmup: whether μₜ does rise; else it is β₁.
        eps_mode: as in :func:`scale_by_adam`.
    """
    check_choice("scale_by_nadam", "eps_mode", eps_mode, EPS_MODES)

    def mu(step: Any, beta1: float, momentum_decay: float) -> Any:
        if not momentum_warmup:
            return beta1
        return beta1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))

    def apply(
        g: Any,
        state: Any,
        x: Any,
        beta1: float,
        beta2: float,
        eps: float,
        momentum_decay: float,
        scale: float = 1.0,
    ) -> tuple[Any, dict[str, Any]]:
        step = state["step"] + 1
        m, v = averages(g, state, beta1, beta2)
        now, following = mu(step, beta1, momentum_decay), mu(step + 1, beta1, momentum_decay)
        product = state["mu_product"] * now
        missing = 1.0 - beta2**step
        scale *= sqrt(missing)
        update = (scale * (1.0 - now) / (1.0 - product)) * g
        update += (scale * following / (1.0 - product * following)) * m
        update /= root_of(v, missing, eps, eps_mode)
        return update, {"exp_avg": m, "exp_avg_sq": v, "mu_product": product, "step": step}

    def start(x: Any) -> dict[str, Any]:
        zeros = {"exp_avg": zeros_like(x), "exp_avg_sq": zeros_like(x)}
        return {**zeros, "mu_product": 1.0, "step": 0}

    return transform_of(
        "scale_by_nadam",
        apply,
        start,
        entrywise=True,
        scales=True,
        flags={"momentum_warmup": momentum_warmup, "eps_mode": eps_mode},
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        momentum_decay=momentum_decay,
    )


def scale_by_radam(
    beta1: Hyper = 0.9,
    beta2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
    eps_mode: str = "hat",
) -> Transform:
    """r·m̂/√v̂, or m̂ alone in the first steps (Liu et al. 2020, algorithm 2).

    v̂ averages ρ = ρ∞ − 2tβ₂ᵗ/(1 − β₂ᵗ) squares or so, where ρ∞ = 2/(1 − β₂) − 1; the factor
    r = √((ρ − 4)(ρ − 2)ρ∞/((ρ∞ − 4)(ρ∞ − 2)ρ)) makes up for the variance of 1/√v̂.

    Args:
        threshold: the ρ above which v̂ is trusted; at least 4 counts, where the variance exists.
        nesterov: the next step's share of m and this step's gradient for m̂, as NAdam.
        eps_mode: as in :func:`scale_by_adam`.
    """
    check_choice("scale_by_radam", "eps_mode", eps_mode, EPS_MODES)

    def apply(
        g: Any,
        state: Any,
        x: Any,
        beta1: float,
        beta2: float,
        eps: float,
        threshold: float,
        scale: float = 1.0,
    ) -> tuple[Any, dict[str, Any]]:
        step = state["step"] + 1
        m, v = averages(g, state, beta1, beta2)
        missing = 1.0 - beta2**step
        longest = 2.0 / (1.0 - beta2) - 1.0
        length = longest - 2.0 * step * beta2**step / missing
        trusted = length > max(threshold, 4.0)
        if trusted:
            scale *= rectification(length, longest) * sqrt(missing)
        if nesterov:
            update = (scale * beta1 / (1.0 - beta1 ** (step + 1))) * m
            update += (scale * (1.0 - beta1) / (1.0 - beta1**step)) * g
        else:
            update = (scale / (1.0 - beta1**step)) * m
        if trusted:
            update /= root_of(v, missing, eps, eps_mode)
        return update, {"exp_avg": m, "exp_avg_sq": v, "step": step}

    return transform_of(
        "scale_by_radam",
        apply,
        lambda x: {"exp_avg": zeros_like(x), "exp_avg_sq": zeros_like(x), "step": 0},
        entrywise=True,
        scales=True,
        flags={"nesterov": nesterov, "eps_mode": eps_mode},
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        threshold=threshold,
    )


def rectification(length: Any, longest: Any) -> Any:
    """RAdam's r, for an average of ``length`` squares that will be one of ``longest``."""
    now = (length - 4.0) * (length - 2.0) / length
    return sqrt(now * longest / ((longest - 4.0) * (longest - 2.0)))


def nadam(
    lr: Hyper,
    betas: tuple[Hyper, Hyper],
    eps: Hyper,
    weight_decay: Hyper,
    momentum_decay: Hyper,
    decoupled_weight_decay: bool,
    maximize: bool,
    momentum_warmup: bool,
    eps_mode: str,
) -> Transform:
    """The chain of :class:`NAdam`."""
    direction = scale_by_nadam(
        *betas, eps, momentum_decay, momentum_warmup=momentum_warmup, eps_mode=eps_mode
    )
    return downhill([direction], lr, weight_decay, maximize, decoupled_weight_decay)


def radam(
    lr: Hyper,
    betas: tuple[Hyper, Hyper],
    eps: Hyper,
    weight_decay: Hyper,
    decoupled_weight_decay: bool,
    maximize: bool,
    threshold: Hyper,
    nesterov: bool,
    eps_mode: str,
) -> Transform:
    """The chain of :class:`RAdam`."""
    direction = scale_by_radam(*betas, eps, threshold, nesterov=nesterov, eps_mode=eps_mode)
    return downhill([direction], lr, weight_decay, maximize, decoupled_weight_decay)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016), with torch's names and defaults.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. It and every other number may be schedules.
        betas: how much the averages of the gradient and of its square keep.
        eps: keeps the division finite; see ``eps_mode``.
        weight_decay: adds weight_decay·x to the gradient, or with ``decoupled_weight_decay`` to
            the direction, where the averages do not see it.
        momentum_decay: how fast the momentum rises to β₁; keras's is 1.
        maximize: goes up instead of down.
        momentum_warmup: whether it rises at all; in optax's it does not.
        eps_mode: see :func:`scale_by_adam`.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.NAdam([x], lr=0.1, momentum_warmup=False)
    >>> (x * x).backward()
    >>> optimizer.step()  # by lr·(1 + 0.9·0.1/(1 − 0.9²))
    >>> round(x.data, 6)
    0.852632
    """

    samples = (
        {"lr": 0.1},
        {"lr": 0.1, "betas": (0.8, 0.99), "weight_decay": 1e-4, "momentum_decay": 1.0},
        {"lr": 0.1, "weight_decay": 1e-4, "decoupled_weight_decay": True},
        {"lr": 0.1, "momentum_warmup": False},
        {"lr": 0.1, "eps_mode": "inside"},
        {"lr": 0.1, "eps_mode": "hat"},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 2e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        momentum_decay: Hyper = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        momentum_warmup: bool = True,
        eps_mode: str = "outside",
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, nadam, **given(locals()))


class RAdam(Optimizer):
    """Adam that divides by √v̂ only once v̂ is of enough squares (Liu et al. 2020), as in torch.

    Args:
        params: parameters, pairs (name, parameter), or groups.
        lr: the learning rate. It and every other number may be schedules.
        betas: how much the averages of the gradient and of its square keep.
        eps: keeps the division finite; see ``eps_mode``.
        weight_decay: adds weight_decay·x to the gradient, or with ``decoupled_weight_decay`` to
            the direction, where the averages do not see it.
        maximize: goes up instead of down.
        threshold, nesterov, eps_mode: see :func:`scale_by_radam`; optax's mode is ``"outside"``.
        no_decay, nonfinite: see :class:`Optimizer`.

    >>> import microgradopt as mg
    >>> x = mg.Value(1.0)
    >>> optimizer = mg.optim.RAdam([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()  # v is not used before step 6
    >>> round(x.data, 6)
    0.8
    """

    samples = (
        {"lr": 0.1},
        {"lr": 0.1, "betas": (0.8, 0.99), "weight_decay": 1e-4},
        {"lr": 0.1, "weight_decay": 1e-4, "decoupled_weight_decay": True},
        {"lr": 0.1, "threshold": 4.0, "nesterov": True},
        {"lr": 0.1, "eps_mode": "outside"},
        {"lr": 0.1, "eps_mode": "inside"},
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: Hyper = 1e-3,
        betas: tuple[Hyper, Hyper] = (0.9, 0.999),
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        threshold: Hyper = 5.0,
        nesterov: bool = False,
        eps_mode: str = "hat",
        no_decay: Exclusion = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(params, radam, **given(locals()))
