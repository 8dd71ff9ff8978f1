"""Terms of a divergence: from a reference distribution, or from the uniform one, in either direction."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from renyi_core._advice import explained
from renyi_core._arrays import Arguments, coefficient, prepare_pair, rectangular
from renyi_core._kernels.divergence import DIVERGENCE
from renyi_core._kernels.dtypes import cast
from renyi_core._kernels.entropy import ENTROPIES
from renyi_core._kernels.family import Call, Family, run
from renyi_core._kernels.jensen_pair import JENSEN_PAIR
from renyi_core._kernels.measures import ENTROPY
from renyi_core._numbers import check_choice
from renyi_core._typing import Alpha, ArrayOf, ArrayT

from ._calls import TermCall, in_rows
from ._entropy import Distributions

Array = Any

__all__ = ["ConfidencePenalty", "DivergenceTerm", "JensenTerm", "LabelSmoothing"]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class _OfDivergence(Distributions):
    """A term that is the divergence of each row and another distribution, the second array."""

    _forward: ClassVar[bool] = True

    @property
    def _first(self) -> bool:
        """Whether the first array is P in D(P‖Q)."""
        return self._forward

    _family: ClassVar[Family] = DIVERGENCE

    def _arrays(self, batch: TermCall) -> tuple[Array, ...]:
        x, reference = batch.arrays
        return (x, reference) if self._first else (reference, x)

    def _run(self, batch: TermCall, wrt: tuple[int | str, ...] = (), factor: Any = None) -> Any:
        # of the reverse direction the first array is the second
        places = tuple(1 - name if isinstance(name, int) and not self._first else name for name in wrt)
        return super()._run(batch, places, factor)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class _OfPair(Distributions):
    """A term of each row and its reference, given at the call."""

    wrt: ClassVar[tuple[int | str, ...]] = (0, 1, "alpha", "weight")

    def __call__(  # type: ignore[override]
        self,
        x: ArrayOf[ArrayT],
        /,
        reference: ArrayOf[Any],
        *,
        axis: int | tuple[int, ...] | None = -1,
        where: ArrayOf[Any] | None = None,
        sample_weight: ArrayOf[Any] | None = None,
        alpha: Alpha | None = None,
        weight: Any = None,
    ) -> ArrayT:
        """Return the term's value, to be added to a loss.

        Parameters
        ----------
        x, reference : array
            Logits, or for ``source="probs"`` probabilities, of one dtype and of shapes (..., n) that broadcast.
        axis, where, sample_weight, alpha, weight
            As for :class:`EntropyBonus`.

        Returns
        -------
        array
            A scalar, or the values of the rows for ``reduction="none"``.
        """
        options = {"axis": axis, "where": where, "sample_weight": sample_weight, "alpha": alpha, "weight": weight}
        return self._evaluate(self._checked(x, reference, **options))

    def _checked(  # type: ignore[override]
        self,
        x: Array,
        /,
        reference: Array,
        *,
        axis: Any = -1,
        where: Any = None,
        sample_weight: Any = None,
        alpha: Any = None,
        weight: Any = None,
    ) -> TermCall:
        alpha = self.alpha if alpha is None else alpha
        names = (self.source, "reference")
        arguments = prepare_pair(x, reference, alpha, names=names, axis=axis, where=where, base=None, keepdims=False)
        return self._batch(arguments, (x, reference), weight=weight, alpha=alpha, sample_weight=sample_weight)


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class DivergenceTerm(_OfPair, _OfDivergence):
    r"""A penalty on the distance from a reference policy or a teacher, weight · mean D_α.

    ``"forward"`` is D_α(p‖reference), the penalty of RLHF and of trust regions at α = 1: it punishes mass where the
    reference has little. ``"reverse"`` is D_α(reference‖p), that of distillation: it punishes a lack of mass where the
    reference has some.

    Parameters
    ----------
    alpha : float or array, default 1
        The order, ≥ 0; 1 is Kullback–Leibler's divergence. Larger orders punish the largest ratios.
    direction : {"forward", "reverse"}, default "forward"
        Which of the two comes first.
    weight, reduction, source
        As in :class:`EntropyBonus`; ``source`` is that of both arrays.

    Raises
    ------
    TypeError, ValueError
        As :class:`EntropyBonus`, and for a ``reference`` that is not an array of the library and dtype of the first
        argument or does not broadcast with it; for another ``direction``.

    See Also
    --------
    ConfidencePenalty : From the uniform distribution.
    LabelSmoothing : Of the uniform one.
    renyi_core.divergence : What it averages.

    Notes
    -----
    See :func:`renyi_core.divergence_from_logits` for accuracy; +inf where that is. Automatic differentiation goes
    through the reference, too: detach it where it is fixed. ``grad`` and ``value_and_grad`` take ``wrt=0``, ``1`` (the
    reference), ``"alpha"`` and ``"weight"``.

    References
    ----------
    G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015, and J. Schulman, S. Levine,
    P. Abbeel, M. Jordan and P. Moritz, "Trust region policy optimization", ICML 2015, for α = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import DivergenceTerm
    >>> term = DivergenceTerm(alpha=2.0, weight=0.1, direction="reverse")
    >>> term
    DivergenceTerm(alpha=2.0, direction='reverse', weight=0.1)
    >>> policy, reference = np.asarray([[0.0, 0.0, 1.0]]), np.zeros((1, 3))
    >>> print(f"{term(policy, reference):.6f} {term(reference, policy):.6f}")
    0.021621 0.023527
    """

    direction: str = "forward"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_choice(self.direction, "direction", ("forward", "reverse"))

    @property
    def _first(self) -> bool:
        return self.direction == "forward"


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class JensenTerm(_OfPair):
    r"""A penalty on the distance from a teacher that is bounded, weight · mean J_α of student and teacher.

    .. math:: J_\alpha = H_\alpha((1 - m)\, p + m\, q) - (1 - m)\, H_\alpha(p) - m\, H_\alpha(q)

    p is the student, q the teacher, ``reference``, and m the ``mixture``. At α = 1 it is the generalized
    Jensen–Shannon divergence of distillation, (1 − m) D_1(p‖M) + m D_1(q‖M) of the mixture M = (1 − m) p + m q: at most
    the entropy of (m, 1 − m), where the supports differ, too. Divided by m it tends to D_1(q‖p) as m → 0, divided by
    1 − m to D_1(p‖q) as m → 1: those are :class:`DivergenceTerm`.

    Parameters
    ----------
    alpha : float or array, default 1
        The order, ≥ 0. Up to 1, J is 0 where the two are equal and positive elsewhere; above, it may be negative, and
        equal distributions need not be the best.
    mixture : float or array, default 0.5
        m, the share of the reference in the mixture: a number between 0 and 1, the ends excluded, or an array of
        shape ().
    weight, reduction, source
        As in :class:`EntropyBonus`; ``source`` is that of both arrays.

    Raises
    ------
    TypeError, ValueError
        As :class:`DivergenceTerm`; for a ``mixture`` that is no such number or array.

    See Also
    --------
    DivergenceTerm : From the teacher, or from the student.
    renyi_core.jensen_divergence : Of any number of distributions.

    Notes
    -----
    See :func:`renyi_core.jensen_divergence` for accuracy; logits are made probabilities first, whose rounding remains.
    Automatic differentiation goes through the reference, too: detach it where it is fixed. ``grad`` and
    ``value_and_grad`` take ``wrt=0``, ``1`` (the reference), ``"alpha"`` and ``"weight"``.

    References
    ----------
    R. Agarwal, N. Vieillard, Y. Zhou, P. Stanczyk, S. Ramos, M. Geist and O. Bachem, "On-policy distillation of
    language models: learning from self-generated mistakes", ICLR 2024, for α = 1, whose β is m; A. Ben Hamza and
    H. Krim, "Jensen-Rényi divergence measure: theoretical and computational perspectives", ISIT 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import JensenTerm
    >>> term = JensenTerm(mixture=0.1)
    >>> term
    JensenTerm(mixture=0.1, weight=1.0)
    >>> student, teacher = np.asarray([[0.0, 0.0, 1.0]]), np.zeros((1, 3))
    >>> print(f"{term(student, teacher):.6f} {term(teacher, teacher):.6f}")
    0.010749 0.000000
    """

    mixture: Any = 0.5

    _family: ClassVar[Family] = JENSEN_PAIR

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        number = coefficient(self.mixture, "mixture")
        if number is None and self.mixture.ndim != 0:
            msg = f"`mixture` must be a number or an array of shape (), got shape {tuple(self.mixture.shape)}"
            raise ValueError(msg)
        if number is not None and not 0 < number < 1:
            msg = f"`mixture` must be between 0 and 1, got {self.mixture!r}; the ends are `DivergenceTerm`"
            raise ValueError(msg)

    def _arrays(self, batch: TermCall) -> tuple[Array, ...]:
        mixture = self.mixture
        if hasattr(mixture, "ndim"):
            mixture = cast(mixture, batch.arguments.sums, batch.arguments.xp)
        return *batch.arrays, mixture if hasattr(mixture, "ndim") else float(mixture)


def _uniform(arguments: Arguments, source: str) -> Array:
    """Return the uniform distribution, in the shape of one row where the lengths are known."""
    x, xp = arguments.x, arguments.xp
    known = all(isinstance(n, int) for n in x.shape)
    one_row = tuple(slice(None) if i in arguments.axis or n == 0 else slice(1) for i, n in enumerate(x.shape, -x.ndim))
    uniform = xp.zeros_like(x[one_row] if known else x)
    return uniform if source == "logits" else uniform + 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class _OfUniform(_OfDivergence):
    """A term that is the divergence of each row and the uniform distribution on the outcomes that ``where`` leaves."""

    def _run(self, batch: TermCall, wrt: tuple[int | str, ...] = (), factor: Any = None) -> Any:
        return super()._run(self._with_uniform(batch), wrt, factor)

    def _checked(self, x: Array, /, **kwargs: Any) -> TermCall:
        batch = super()._checked(x, **kwargs)
        rectangular(x, self.source, batch.arguments.axis)
        return batch

    def _with_uniform(self, batch: TermCall) -> TermCall:
        return batch._replace(arrays=(*batch.arrays, _uniform(batch.arguments, self.source)))


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ConfidencePenalty(_OfUniform):
    r"""A penalty on sure predictions, weight · mean D_α(p‖u) = weight · mean (log n − H_α(p)).

    u is uniform on the n outcomes, those that ``where`` leaves. It has the gradient of :class:`EntropyBonus`, and is 0
    where that is least; it is exact near there, but takes more time, and outside NumPy and torch's CPU more memory.

    Parameters
    ----------
    alpha, weight, reduction, source
        As in :class:`EntropyBonus`.

    Raises
    ------
    TypeError, ValueError
        As :class:`EntropyBonus`.

    See Also
    --------
    LabelSmoothing : The divergence the other way round.
    EntropyBonus : Which has the same gradient, in less time.
    DivergenceTerm : From any distribution.

    Notes
    -----
    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"alpha"`` and ``"weight"``.

    References
    ----------
    G. Pereyra, G. Tucker, J. Chorowski, Ł. Kaiser and G. Hinton, "Regularizing neural networks by penalizing confident
    output distributions", 2017, for α = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import ConfidencePenalty
    >>> logits = np.asarray([[0.0, 0.0, 1e-7], [0.0, 0.0, 1.0]])
    >>> for value in ConfidencePenalty(alpha=2.0, reduction="none")(logits):
    ...     print(f"{value:.6e}")
    2.222222e-15
    2.352676e-01
    """

    def _run(self, batch: TermCall, wrt: tuple[int | str, ...] = (), factor: Any = None) -> Any:
        if 0 not in wrt:
            return super()._run(batch, wrt, factor)
        arguments = batch.arguments
        # the derivative of −H is the same one, of a kernel that every adapter has
        scale = in_rows(-1 if factor is None else -factor, batch)
        options = {"source": self.source, "measure": ENTROPY, "axis": arguments.axis}
        call = Call(ENTROPIES, (arguments.x,), arguments.order, arguments.where, options, arguments.xp)
        gradient = run(call, (0,), scale)[1]
        rest = tuple(name for name in wrt if name != 0)
        rows, *others = super()._run(batch, rest, factor) if rest else (super()._run(batch),)
        found = dict(zip((0, *rest), (gradient, *others), strict=True))
        return rows, *(found[name] for name in wrt)


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class LabelSmoothing(_OfUniform):
    r"""A penalty on outcomes that are given up, weight · mean D_α(u‖p), u uniform on the outcomes.

    Label smoothing at α = 1: cross-entropy with targets (1 − ε) y + ε u is exactly
    (1 − ε) CE(y, p) + ε D_1(u‖p) + ε log n. A logit of −inf is an outcome given up, and makes it +inf for α ≥ 1: leave
    such outcomes out by ``where``, which takes them from u as well.

    Parameters
    ----------
    alpha, weight, reduction, source
        As in :class:`EntropyBonus`.

    Raises
    ------
    TypeError, ValueError
        As :class:`EntropyBonus`.

    See Also
    --------
    ConfidencePenalty : The divergence the other way round.
    DivergenceTerm : From any distribution.

    Notes
    -----
    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"alpha"`` and ``"weight"``.

    References
    ----------
    C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception architecture for computer
    vision", CVPR 2016, section 7.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import LabelSmoothing
    >>> logits = np.asarray([[0.0, 0.0, 1.0]])
    >>> term = LabelSmoothing(weight=0.1)
    >>> term
    LabelSmoothing(weight=0.1)
    >>> print(f"{term(logits):.6f}")
    0.011950
    """

    _forward: ClassVar[bool] = False
