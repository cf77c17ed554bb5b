"""K-FAC: natural gradients of networks, from the Kronecker factors of their layers' curvature."""

from __future__ import annotations

from functools import partial
from typing import Any

from microgradopt.engine import modes
from microgradopt.engine.graph import Node
from microgradopt.errors import TraceError, UsageError
from microgradopt.optim.kronecker.step import NaturalStep, adapted
from microgradopt.optim.kronecker.watching import Closure, Pass
from microgradopt.optim.optimizer import Optimizer
from microgradopt.optim.options import by_name
from microgradopt.optim.transforms import Hyper, State, Transform
from microgradopt.randomness import (
    RandomSource,
    as_generator,
    check_generator_state,
    generator_state,
)

USUAL_RATE = 0.1


class _Descent(Optimizer):
    """What makes the steps; messages and saved states call it KFAC."""

    def damp(self, damping: float) -> None:
        """Go on with another damping."""
        (group,) = self._groups
        group.set_state({**group.state(), "damping": damping})


_Descent.__name__ = "KFAC"


def _transform(seen: Pass, rng: Any, **options: Any) -> Transform:
    return NaturalStep(seen, rng, **options).transform()


class KFAC:
    """Natural gradient descent with Kronecker-factored curvature (Martens & Grosse 2015).

    For each layer with a weight matrix, its gradient V, that of the bias as the last column, gives
    the direction Δ = −(G + √λ/π·I)⁻¹ V (A + π√λ·I)⁻¹; the step is δ ← μδ + lr·Δ. A and G are
    averages of āāᵀ and ggᵀ: ā are the layer's inputs with a 1 for the bias, g the derivatives of
    −log p(y|z) by its outputs, for targets y drawn from what the model itself predicts with its
    outputs z. π² is the ratio of the mean eigenvalues of A and G. A convolution counts as many uses
    of its kernel, one for each window (Grosse & Martens 2016), and so do several calls of a layer.

    Whatever has no such factors takes a plain step, with −∇ as Δ: norms, embeddings, recurrent
    layers, and layers that the outputs do not depend on or that do something else with a matrix.

    Args:
        model: the module itself; its parameters are those that it has now.
        lr: the learning rate; left out, 0.1, or 1 with ``exact``. It, ``momentum``, ``damping``,
            ``decay`` and ``clip`` may be schedules.
        momentum: μ, how much of the last step is taken again.
        damping: λ, a curvature: small against that of the loss.
        decay: what the averages keep, at most; at the k-th measurement it is 1 − 1/k.
        update_every: every how many steps A and G are measured and inverted anew.
        clip: how large lr²·ΔᵀFΔ may be, with F = A ⊗ G of all layers, damped; about twice the
            Kullback–Leibler divergence of a step. A longer Δ is shortened (Ba et al. 2017).
        adapt: after every 5th step, call the closure again, and lower λ if the loss has changed as
            the quadratic model said, raise it if not (Levenberg–Marquardt; their section 6.5).
        exact: choose the factors of Δ and δ that minimize the quadratic model with the exact
            Gauss–Newton matrix of the batch, damped (sections 6.4 and 7). ``lr`` multiplies what
            comes out, and a ``momentum`` of 0 leaves out δ.
        likelihood: p(y|z): "categorical", with logits along the last axis; "gaussian", of variance
            1; "bernoulli", with a logit for each entry.
        samples: how many targets to draw for each case. None takes their expectation, by a backward
            pass for each output; it is right for cases that do not meet inside of the model.
        rng: a generator or seed.
        nonfinite: see :class:`Optimizer`.

    The method is made for losses that are the mean of −log p(y|z) over the cases, such as
    ``nn.cross_entropy(z, y)`` or ``nn.half_squared_error(z, y) / len(y)``. Another factor, as that
    of ``nn.mse``, multiplies the steps, but for those of ``exact``.

    ``param_groups``, ``zero_grad`` and the states are as those of :class:`Optimizer`; a run that is
    gone on with is the same bit for bit.

    Raises:
        UsageError: for options out of range, or parameters in the place of the model.

    >>> import microgradopt as mg
    >>> X, y = mg.datasets.spiral(rng=0)
    >>> model = mg.nn.MLP(2, [20, 3], rng=0)
    >>> optimizer = mg.optim.KFAC(model, exact=True, adapt=True, rng=0)
    >>> for _ in range(30):
    ...     loss = optimizer.step(lambda: mg.nn.cross_entropy(model(X), y))
    >>> loss.item() < 0.2
    True
    """

    def __init__(
        self,
        model: Any,
        lr: Hyper | None = None,
        momentum: Hyper = 0.9,
        damping: Hyper = 1e-2,
        decay: Hyper = 0.95,
        update_every: int = 1,
        clip: Hyper | None = None,
        *,
        adapt: bool = False,
        exact: bool = False,
        likelihood: str = "categorical",
        samples: int | None = 1,
        rng: RandomSource = None,
        nonfinite: str = "raise",
    ) -> None:
        if isinstance(model, type) or not hasattr(model, "register_forward_hook"):
            raise UsageError(
                "KFAC: needs the model itself, since it watches the layers, got "
                f"{type(model).__name__}; write KFAC(model, ...)"
            )
        nodes = by_name(model.named_parameters(), "KFAC", {})
        self.rng = as_generator(rng)
        self._seen = Pass(model, {p: name for name, p in nodes.items()})
        options: dict[str, Any] = {
            "lr": (1.0 if exact else USUAL_RATE) if lr is None else lr,
            "momentum": momentum,
            "damping": damping,
            "decay": decay,
            "update_every": update_every,
            "clip": clip,
            "adapt": adapt,
            "exact": exact,
            "likelihood": likelihood,
            "samples": samples,
        }
        rule = partial(_transform, self._seen, self.rng)
        self._descent = _Descent(nodes.items(), rule, nonfinite=nonfinite, **options)

    @property
    def params(self) -> dict[str, Node]:
        """All parameters by name."""
        return self._descent.params

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """One dict: ``params``, their ``names``, and options to read or assign."""
        return self._descent.param_groups

    @property
    def state(self) -> State:
        """The factors and their inverses by layer, the last step by parameter, and the damping."""
        return self._descent.state[0]

    @property
    def steps(self) -> int:
        """How many steps have been taken."""
        return self._descent.steps

    @property
    def skipped(self) -> int:
        """How many were left out, with ``nonfinite="skip"``."""
        return self._descent.skipped

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        self._descent.zero_grad()

    def step(self, closure: Closure | None = None) -> Any:
        """Take one step.

        Args:
            closure: calls the model once and returns the loss. It may zero the gradients and call
                backward() itself; if it does not, that is done here.

        Returns:
            What the closure returned.

        Raises:
            NonFiniteError: if a gradient, or what a layer has seen, is NaN or infinite; nothing is
                changed then.
            LinAlgError: if a factor has no inverse, which only happens with hardly any damping;
                nothing is changed then.
            UsageError: without a closure, if it does not call the model once, or if the outputs are
                not those of the likelihood.
        """
        if closure is None:
            raise UsageError(
                "KFAC: step needs a closure that calls the model and returns the loss, such as "
                "step(lambda: nn.cross_entropy(model(X), y)): layers are watched during that call"
            )
        if modes.tracer() is not None:
            raise TraceError("takes a step of KFAC, which watches the layers as they are called")
        try:
            loss = self._descent.step(partial(self._seen.watch, closure, self.zero_grad))
            predicted = self._seen.predicted
        finally:
            self._seen.forget()
        if predicted is not None:
            change = self._loss_now(closure) - loss.item()
            damping = adapted(self.state["damping"], change, predicted)
            self._descent.damp(damping)
        return loss

    def _loss_now(self, closure: Closure) -> float:
        """The loss where the step has led; gradients stay those of before it."""
        before = [(p, p.grad) for p in self.params.values()]
        try:
            return closure().item()  # type: ignore[no-any-return]
        finally:
            for p, g in before:
                p.grad = g

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on bit for bit, the generator's state included."""
        return {**self._descent.state_dict(), "generator": generator_state(self.rng)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; see :meth:`Optimizer.load_state_dict`.

        Raises:
            UsageError: where something does not fit; nothing is changed then.
            StateError: where the generator's state does not.
        """
        if not isinstance(state, dict) or "generator" not in state:
            raise UsageError("KFAC: a state has that of the random generator; this one does not")
        check_generator_state(self.rng, state["generator"])
        self._descent.load_state_dict({k: v for k, v in state.items() if k != "generator"})
        self.rng.bit_generator.state = state["generator"]

    def __repr__(self) -> str:
        return repr(self._descent)
