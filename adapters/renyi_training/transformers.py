"""Hugging Face Trainer: an entropy bonus, or another term, in the loss, with a weight that may follow a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from renyi_core._numbers import finite, number
from renyi_core.regularizers import DivergenceTerm, Term, TermSum
from renyi_core.regularizers._entropy import Distributions
from renyi_core.schedules import _Schedule

try:
    import torch
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from .torch import entropy_and_log_prob
except ImportError as error:
    msg = "renyi_training.transformers needs transformers and torch: pip install renyi-core[transformers]"
    raise ImportError(msg) from error

import renyi_core as renyi

if TYPE_CHECKING:
    from transformers import Trainer as Base
else:
    Base = object

Tensor = Any

__all__ = ["RenyiTrainer", "RenyiTrainerMixin", "entropy_loss"]

IGNORED = -100


class RenyiTrainerMixin(Base):
    r"""Adds −β · mean(H_α) of what the model predicts to the loss of a :class:`transformers.Trainer`.

    The distributions are those of ``outputs["logits"]`` along the last axis: the next tokens of a language model, or
    the classes of a classifier. The mean is that of the positions that have a label: −100 marks those that have none,
    and the labels of causal models are shifted as the model's own loss shifts them.

    Parameters
    ----------
    *args, **kwargs
        Those of the trainer that it is mixed into.
    entropy_weight : float, or callable of the step
        β, finite: a number, or a schedule of ``state.global_step``, such as those of :mod:`renyi_core.schedules`.
    entropy_alpha : float, or callable of the step, default 1.0
        The order, >= 0, ``math.inf`` included; 1 is Shannon's entropy.
    regularizer : Term or TermSum, optional
        What takes the place of −H_α: a term of :mod:`renyi_core.regularizers` that has a value for each row of logits,
        such as ``LabelSmoothing()``, or a sum of them. ``entropy_weight`` multiplies it.
    shift_labels : bool, optional
        Whether the distribution at a position is that of the next label, rather than of its own. By default it is where
        Transformers lists the model's class among the causal ones. The inputs' own ``shift_labels`` are never shifted.

    Raises
    ------
    TypeError
        If the weight or the order is not a number, nor a schedule of numbers, or the regularizer is no such term.
    ValueError
        If both an order and a regularizer are given, the weight is not finite, or the order is negative or NaN, of a
        schedule at step 0 too; with ``use_liger_kernel``, which leaves no logits; and with several GPUs in one process
        (``DataParallel``). In training, if the batch has no labels, the output no logits or ones without a gradient, or
        the shapes do not fit.

    Notes
    -----
    The bonus is divided by what Trainer divides the loss by: all labels of an optimizer step, so that it does not
    matter how the step is cut into micro-batches and processes; or, for models without ``num_items_in_batch``, those of
    the micro-batch, the mean of which Trainer takes. Of some causal models, GPT-2 among them, Trainer counts the label
    of the first position too, which nothing predicts (Transformers 5.24): loss and bonus are then a little smaller.

    A weight of 0 leaves the step to the trainer alone, at no cost. So does evaluation: ``eval_loss`` has no bonus.
    Nothing of the size of the logits is kept but the logits. Those at positions without a label must be finite all the
    same.

    At logging steps ``entropy``, the mean since the last one over all processes, and the ``entropy_weight`` and
    ``entropy_alpha`` of the last step are logged beside ``loss``, of which the bonus is a part; of another term
    ``regularizer``, its mean before the weight, in the place of entropy and order. All of it follows from the global
    step, so that a run resumed from a checkpoint goes on as it would have.

    Examples
    --------
    >>> from renyi_training.transformers import RenyiTrainerMixin
    >>> from transformers import Seq2SeqTrainer
    >>> class RenyiSeq2SeqTrainer(RenyiTrainerMixin, Seq2SeqTrainer):
    ...     pass
    """

    def __init__(
        self,
        *args: Any,
        entropy_weight: float | Callable[[int], float],
        entropy_alpha: float | Callable[[int], float] = 1.0,
        regularizer: Term | TermSum | None = None,
        shift_labels: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.entropy_weight, self.entropy_alpha = entropy_weight, entropy_alpha
        self.regularizer: Any = None if regularizer is None else _summed(regularizer)
        if regularizer is not None and entropy_alpha != 1:
            msg = f"`entropy_alpha` is of the entropy that `regularizer` replaces, got {entropy_alpha!r} with both"
            raise ValueError(msg)
        self._entropy_coefficients(0)
        self._entropy_sums: Tensor | None = None
        super().__init__(*args, **kwargs)
        if self.args.use_liger_kernel:
            msg = "`use_liger_kernel` leaves no logits to take an entropy of"
            raise ValueError(msg)
        if self.args.n_gpu > 1:
            msg = f"one process must have one GPU (start it with torchrun or accelerate), got {self.args.n_gpu}"
            raise ValueError(msg)
        if shift_labels is None:
            # Trainer's own attribute knows of GPT-2 no better than its class does
            names = {kind.__name__ for kind in type(self._entropy_model()).__mro__}
            shift_labels = not names.isdisjoint(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
        self._entropy_shifts = shift_labels

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as the trainer does."""
        self._entropy_sums = None
        return super().train(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the trainer's loss with the bonus added while the model trains."""
        weight, alpha = self._entropy_coefficients(self.state.global_step)
        if weight == 0 or not model.training:
            return super().compute_loss(
                model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
            )
        # label smoothing takes the labels out of the inputs
        labels, aligned = inputs.get("labels"), inputs.get("shift_labels")
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        given = labels if aligned is None else aligned
        logits, labels = _predictions(outputs, given, shift=aligned is None and self._entropy_shifts)
        valid = labels != IGNORED
        if self.regularizer is None:
            total = -torch.where(valid, _entropies(logits, alpha), 0.0).sum()
        else:
            total = self.regularizer(_wide(logits), sample_weight=valid)
        count = valid.sum()
        sums = torch.stack([total.detach().to(torch.float32), count.to(torch.float32)])
        self._entropy_sums = sums if self._entropy_sums is None else self._entropy_sums + sums
        self._entropy_logged = weight, alpha
        term = weight * self._entropy_mean(total, count, num_items_in_batch)
        loss = loss + term.to(loss.device)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the mean entropy and its coefficients where the training loss is logged."""
        if "loss" in logs and self._entropy_sums is not None:
            total, count = self.accelerator.reduce(self._entropy_sums, reduction="sum").tolist()
            mean = total / count if count else math.nan
            weight, alpha = self._entropy_logged
            if self.regularizer is None:
                logs["entropy"], logs["entropy_alpha"] = -mean, alpha
            else:
                logs["regularizer"] = mean
            logs["entropy_weight"] = weight
            self._entropy_sums = None
        super().log(logs, *args, **kwargs)

    def _entropy_model(self) -> Any:
        """Return the model without what wraps it."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    def _entropy_coefficients(self, step: int) -> tuple[float, float]:
        """Return β and α at a step."""
        weight, alpha = (
            value(step) if callable(value) else value for value in (self.entropy_weight, self.entropy_alpha)
        )
        return finite(weight, "entropy_weight"), _order(alpha, "entropy_alpha")

    def _entropy_mean(self, total: Tensor, count: Tensor, items: Any) -> Tensor:
        """Return the share of the micro-batch in the mean, in the scale that Trainer expects of its loss."""
        custom = self.compute_loss_func is not None
        counted = items is not None and (self.model_accepts_loss_kwargs or custom)
        scaled = self.loss_is_scaled_for_ga
        if scaled is None:
            scaled = counted or custom
        if scaled and counted:
            mean = total / (items.to(total.device) if isinstance(items, torch.Tensor) else items)
            if self.args.average_tokens_across_devices:
                # all processes' labels were counted, and their gradients will be averaged
                mean = mean * (self.accelerator.num_processes // self.get_tp_size())
            return mean
        mean = total / count.clamp(min=1)
        return mean / self.current_gradient_accumulation_steps if scaled else mean


def _summed(regularizer: Any) -> Term | TermSum:
    """Return the term, or the sum of terms, as a sum over rows."""
    terms = regularizer.terms if isinstance(regularizer, TermSum) else (regularizer,)
    for term in terms:
        # a divergence takes a second distribution
        if not isinstance(term, Distributions) or isinstance(term, DivergenceTerm) or term.source != "logits":
            msg = f"`regularizer` must be a term with a value for each row of logits, got {term!r}"
            raise TypeError(msg)
    summed = tuple(term.replace(reduction="sum") for term in terms)
    return summed[0] if len(summed) == 1 else TermSum(summed)


def _order(alpha: Any, name: str) -> float:
    order = number(alpha, name)
    if not order >= 0:
        msg = f"`{name}` must be >= 0, got {alpha!r}"
        raise ValueError(msg)
    return order


def _predictions(outputs: Any, labels: Any, *, shift: bool) -> tuple[Tensor, Tensor]:
    """Return the logits, and the label of each distribution."""
    logits = outputs.get("logits") if isinstance(outputs, dict) else None
    if logits is None:
        msg = "the model returned no `logits` to take an entropy of, as with a fused head"
        raise ValueError(msg)
    if not logits.requires_grad and torch.is_grad_enabled():
        msg = "the `logits` that the trainer returned have no gradient: the loss was computed without them"
        raise ValueError(msg)
    if labels is None:
        msg = "the inputs have no `labels`, which say at which positions the entropy is taken"
        raise ValueError(msg)
    if shift:
        # a slice of the logits would cost another gradient of their size
        labels = torch.nn.functional.pad(labels, (0, 1), value=IGNORED)[..., 1:]
    if labels.shape != logits.shape[:-1]:
        msg = f"`labels` of shape {tuple(labels.shape)} do not fit distributions of shape {tuple(logits.shape[:-1])}"
        raise ValueError(msg)
    return logits, labels.to(logits.device)


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in {torch.float16, torch.bfloat16} else logits


def _entropies(logits: Tensor, alpha: float) -> Tensor:
    if logits.dtype in {torch.float16, torch.bfloat16}:
        # in float32, where the entropy of 16-bit logits would have three digits
        return entropy_and_log_prob(logits, alpha).entropy
    return renyi.entropy_from_logits(logits, alpha)


class RenyiTrainer(RenyiTrainerMixin, transformers.Trainer):
    """:class:`transformers.Trainer` with an entropy bonus: see :class:`RenyiTrainerMixin`.

    Examples
    --------
    >>> from renyi_training.transformers import RenyiTrainer
    >>> from renyi_core.schedules import Cosine
    >>> trainer = RenyiTrainer(
    ...     model=model,
    ...     args=arguments,
    ...     train_dataset=dataset,
    ...     entropy_alpha=2.0,
    ...     entropy_weight=Cosine(0.01, 0.0, 10_000, warmup=500),
    ... )  # doctest: +SKIP
    """


def entropy_loss(
    alpha: float | Callable[[], float], weight: float | Callable[[], float], *, shift_labels: bool = True
) -> Callable[..., Tensor]:
    r"""Return the cross-entropy of the labels − β · mean(H_α), for the ``compute_loss_func`` of a Trainer.

    That makes any :class:`transformers.Trainer`, of whatever subclass, train with the bonus. :class:`RenyiTrainer` does
    more: it logs the entropy, knows the step, and adds to the loss that the model itself has.

    Parameters
    ----------
    alpha : float, or callable without arguments
        The order, >= 0, ``math.inf`` included; 1 is Shannon's entropy. What a callable returns counts for that call,
        such as ``lambda: schedule(trainer.state.global_step)``.
    weight : float, or callable without arguments
        β, finite. With 0 no entropy is computed.
    shift_labels : bool, default True
        Whether the distribution at a position is that of the next label, as in causal models, rather than of its own,
        as in masked models and classifiers.

    Returns
    -------
    callable of (outputs, labels, num_items_in_batch=None)
        Which returns the loss, a tensor of shape (). Positions of the label −100 do not count: neither do they have a
        part in it, nor a gradient. The sum over the others is divided by ``num_items_in_batch``, all labels of an
        optimizer step, or by their own number. Where gradients are off, as in evaluation, it is the cross-entropy.

    Raises
    ------
    TypeError
        If the order or the weight is not a number; of a callable, at the call.
    ValueError
        If the order is negative or NaN or the weight is not finite; at the call, if there are no labels, the output has
        no logits or ones without a gradient, or the shapes do not fit.

    Notes
    -----
    It takes the place of the model's own loss, and of whatever is a part of that, such as the balance of experts; and
    of ``label_smoothing_factor``.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.transformers import entropy_loss
    >>> loss = entropy_loss(alpha=2.0, weight=0.1, shift_labels=False)
    >>> logits = torch.zeros(3, 4, requires_grad=True)
    >>> found = loss({"logits": logits}, torch.tensor([0, 3, -100]))
    >>> round(found.item() / torch.log(torch.tensor(4.0)).item(), 4)
    0.9
    """
    given: dict[str, Any] = {"alpha": alpha, "weight": weight}
    for name, value in given.items():
        if isinstance(value, _Schedule):
            msg = f"a loss does not know the step: `{name}` must be lambda: schedule(trainer.state.global_step)"
            raise TypeError(msg)

    if not callable(alpha):
        _order(alpha, "alpha")
    if not callable(weight):
        finite(weight, "weight")

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Tensor:
        order = _order(alpha() if callable(alpha) else alpha, "alpha")
        beta = finite(weight() if callable(weight) else weight, "weight")
        logits, labels = _predictions(outputs, labels, shift=shift_labels)
        valid = labels != IGNORED
        rows = _wide(logits).flatten(0, -2)
        total = torch.nn.functional.cross_entropy(rows, labels.flatten(), ignore_index=IGNORED, reduction="sum")
        if beta != 0 and torch.is_grad_enabled():
            total = total - beta * torch.where(valid, _entropies(logits, order), 0.0).sum()
        count = valid.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        return total / torch.as_tensor(count, device=total.device)

    return loss
