"""TRL: GRPO whose entropy, in the bonus, the mask of tokens and the metric, is of any order."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from renyi_core._numbers import finite, number

try:
    import torch
    import trl

    from .torch import linear_entropy
except ImportError as error:
    msg = "renyi_training.trl needs trl and torch: pip install renyi-core[trl]"
    raise ImportError(msg) from error

__all__ = ["RenyiGRPOTrainer"]

TRIED = "1.16"
"""The version of TRL that the tests run with."""
USED = {
    "__init__": {"_entropy_bonus_enabled", "add_fused_lm_head", "entropy_coef", "use_adaptive_entropy"},
    "_get_per_token_logps_and_entropies": {"entropy"},
    "_compute_loss": {"_entropy_bonus_enabled", "entropy_coef"},
}
"""What the methods of TRL's trainer refer to and this one replaces, none of it a public interface."""
SCALES = ("logit_scale", "output_multiplier", "lm_head_multiplier")
"""What models call the factor of their logits: Cohere, Muse and Falcon-H1."""


def _after_head(config: Any) -> dict[str, Any]:
    """Return what a model does to its logits after the head, by its configuration, as TRL's own head reads it."""
    scales = [getattr(config, name, None) for name in SCALES]
    divisor = getattr(config, "logits_scaling", None)
    if divisor is not None:
        # HyperCLOVA X multiplies by what Granite and MiniCPM3 divide by
        scales.append(divisor if config.model_type == "hyperclovax" else 1 / divisor)
    scale = next((value for value in scales if value is not None), 1.0)
    return {"softcap": getattr(config, "final_logit_softcapping", None), "scale": scale}


def _lacking(method: str, names: set[str]) -> set[str]:
    """Return which of the names a method of TRL's trainer does not refer to: all, if there is no such method."""
    function = getattr(trl.GRPOTrainer, method, None)
    if function is None:
        return names
    code = getattr(inspect.unwrap(function), "__code__", None)
    # a compiled one does not tell
    return set() if code is None else names - set(code.co_names)


def _check_version() -> None:
    """Raise where TRL has nothing to replace, which would train without the entropy; warn where nobody has looked."""
    lacking = set().union(*(_lacking(method, names) for method, names in USED.items()))
    cure = f"pip install 'trl=={TRIED}.*'"
    if lacking:
        msg = f"the GRPOTrainer of TRL {trl.__version__} has no {', '.join(sorted(lacking))} to replace: {cure}"
        raise ImportError(msg)
    if not trl.__version__.startswith(f"{TRIED}."):
        msg = (
            f"renyi_training.trl is tested with TRL {TRIED}, not with {trl.__version__}: "
            f"if the entropy that it logs is not what you expect, {cure}"
        )
        warnings.warn(msg, stacklevel=2)


_check_version()


class RenyiGRPOTrainer(trl.GRPOTrainer):
    r""":class:`trl.GRPOTrainer` whose entropy is the Rényi entropy of order α.

    TRL's own bonus, −``entropy_coef`` · mean entropy of the completions' tokens, its adaptive coefficient, its mask of
    tokens of high entropy (``top_entropy_quantile``) and its metric ``entropy`` then take this entropy for Shannon's.

    Parameters
    ----------
    *args, **kwargs
        Those of :class:`trl.GRPOTrainer`.
    entropy_alpha : float, or callable of the step, default 1.0
        The order, >= 0, ``math.inf`` included: a number, or a schedule of ``state.global_step``, such as those of
        :mod:`renyi_core.schedules`.
    entropy_weight : float, or callable of the step, optional
        The coefficient of the bonus, in the place of the configuration's ``entropy_coef``.

    Raises
    ------
    TypeError
        If the order or the weight is not a number, nor a schedule of numbers.
    ValueError
        If the order is negative or NaN, or the weight is not finite; or if a weight is given beside
        ``use_adaptive_entropy``.

    Notes
    -----
    TRL computes Shannon's entropy and the log-probabilities in one kernel that never stores the logits. The entropy of
    order α is computed in the same way by :func:`renyi_training.torch.linear_entropy`, from the hidden states that the
    model has returned: a second product with the head at the tokens that have a label, and memory for a tile of logits.
    What the model does to its logits after the head is done here too: Gemma's soft cap, the scales of Cohere, Granite
    and others. The policy's part of the loss is untouched. A weight of 0 leaves the step to TRL alone, at no cost: what
    it logs, and takes a mask of, is then Shannon's entropy.

    It relies on the fused head of TRL, which is not a public interface: tested is TRL 1.16. With another version its
    import warns, or fails where that has no such head.

    Examples
    --------
    >>> from renyi_training.trl import RenyiGRPOTrainer
    >>> trainer = RenyiGRPOTrainer(
    ...     model=model,
    ...     reward_funcs=reward,
    ...     args=arguments,
    ...     train_dataset=prompts,
    ...     entropy_alpha=2.0,
    ...     entropy_weight=0.01,
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        *args: Any,
        entropy_alpha: float | Callable[[int], float] = 1.0,
        entropy_weight: float | Callable[[int], float] | None = None,
        **kwargs: Any,
    ) -> None:
        self.entropy_alpha, self.entropy_weight = entropy_alpha, entropy_weight
        self._alpha(0)
        self._weight(0)
        super().__init__(*args, **kwargs)
        if entropy_weight is not None and self.use_adaptive_entropy:
            msg = "`entropy_weight` and `use_adaptive_entropy` both set the weight: give one"
            raise ValueError(msg)
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        self._after_head = {"temperature": self.temperature, **_after_head(model.config.get_text_config())}
        self._replace_entropy(model)

    def _alpha(self, step: int) -> float:
        alpha = self.entropy_alpha(step) if callable(self.entropy_alpha) else self.entropy_alpha
        order = number(alpha, "entropy_alpha")
        if not order >= 0:
            msg = f"`entropy_alpha` must be >= 0, got {alpha!r}"
            raise ValueError(msg)
        return order

    def _weight(self, step: int) -> float | None:
        weight = self.entropy_weight(step) if callable(self.entropy_weight) else self.entropy_weight
        return None if weight is None else finite(weight, "entropy_weight")

    def _replace_entropy(self, model: Any) -> None:
        """Wrap the forward with the fused head, so that the entropy it returns is of order α."""
        fused = model.forward
        kept: list[Any] = []

        @functools.wraps(fused)
        def forward(*args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
            if not fused_lm_head or self._weight(self.state.global_step) == 0:
                return fused(*args, fused_lm_head=fused_lm_head, **kwargs)
            backbone = model.base_model.register_forward_hook(lambda *call: kept.append(call[-1].last_hidden_state))
            try:
                outputs = fused(*args, fused_lm_head=True, **kwargs)
                hidden = kept[-1]
            finally:
                backbone.remove()
                kept.clear()
            labels = kwargs.get("shift_labels")
            if labels is None:
                labels, hidden = kwargs["labels"][:, 1:], hidden[:, :-1]
            outputs["entropy"] = self._entropy(model.get_output_embeddings(), hidden, labels)
            return outputs

        model.forward = forward

    def _entropy(self, head: Any, hidden: Any, labels: Any) -> Any:
        """Return the entropy of order α at each position, 0 where there is no label."""
        # as the head of TRL, which then leaves autocast
        exact = torch.autocast(hidden.device.type, enabled=False) if self.args.cast_lm_head_to_fp32 else None
        alpha, device = self._alpha(self.state.global_step), head.weight.device
        hidden, labels = hidden.to(device, torch.float32 if exact else hidden.dtype), labels.to(device)
        with exact or contextlib.nullcontext():
            return linear_entropy(hidden, head.weight, alpha, bias=head.bias, tokens=labels, **self._after_head).entropy

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        weight = self._weight(self.state.global_step)
        if weight is not None:
            self.entropy_coef = weight
            self._entropy_bonus_enabled = weight != 0
        return super()._compute_loss(model, inputs)
