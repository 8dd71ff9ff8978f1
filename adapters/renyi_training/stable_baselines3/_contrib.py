"""The algorithms of sb3-contrib."""

from __future__ import annotations

from sb3_contrib import TQC, CrossQ, MaskablePPO, RecurrentPPO

from ._algorithms import OffPolicy, OnPolicy


class RenyiMaskablePPO(OnPolicy, MaskablePPO):
    r"""PPO with masks of actions, and the bonus ``ent_coef`` · H_α on the entropy of the actions that are allowed.

    .. math:: L = L^{\text{clip}} + c_v L^{\text{value}} - \beta \operatorname{mean}_s H_\alpha(\pi(\cdot | s, m_s))

    All that :class:`RenyiPPO` says of ``alpha``, ``ent_coef``, errors, schedules and files holds here, of
    ``sb3_contrib.MaskablePPO``.

    Notes
    -----
    sb3-contrib gives a forbidden action a logit of −1e8. Here its mask counts: the action has probability 0 at every
    order, and no gradient, so that H_0 is the logarithm of how many are allowed. A state that allows none, such as
    padding, has the entropy 0.

    With α = 1, and with ``ent_coef=0``, training is that of ``sb3_contrib.MaskablePPO`` bit for bit.

    References
    ----------
    S. Huang and S. Ontañón, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms", 2022,
    arXiv:2006.14171.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiMaskablePPO
    >>> from sb3_contrib.common.envs import InvalidActionEnvDiscrete
    >>> env = InvalidActionEnvDiscrete(dim=6, n_invalid_actions=4)
    >>> model = RenyiMaskablePPO("MlpPolicy", env, alpha=2.0, ent_coef=0.01, n_steps=64, seed=0, device="cpu")
    >>> model = model.learn(128)
    """


class RenyiRecurrentPPO(OnPolicy, RecurrentPPO):
    """PPO of a policy with a memory (LSTM), with the bonus ``ent_coef`` · H_α on its entropy.

    All that :class:`RenyiPPO` says holds here, of ``sb3_contrib.RecurrentPPO``. Its batches are padded sequences: what
    is padding has no part in the mean.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiRecurrentPPO
    >>> options = {"ent_coef": 0.01, "n_steps": 32, "seed": 0, "device": "cpu"}
    >>> model = RenyiRecurrentPPO("MlpLstmPolicy", "CartPole-v1", alpha=2.0, **options).learn(32)
    """


class RenyiTQC(OffPolicy, TQC):
    """Truncated Quantile Critics with the Rényi entropy of order α of the policy.

    The soft value of a state is as in :class:`RenyiSAC`, and all that it says holds here, of ``sb3_contrib.TQC``: each
    quantile of the value that the critics learn has β H_α added, and the actor maximizes their mean plus β H_α.

    References
    ----------
    A. Kuznetsov, P. Shvechikov, A. Grishin and D. Vetrov, "Controlling Overestimation Bias with Truncated Mixture of
    Continuous Distributional Quantile Critics", ICML 2020, arXiv:2005.04269.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiTQC
    >>> model = RenyiTQC("MlpPolicy", "Pendulum-v1", alpha=2.0, learning_starts=20, seed=0, device="cpu").learn(30)
    """


class RenyiCrossQ(OffPolicy, CrossQ):
    """CrossQ, of critics with batch normalization and no targets, with the Rényi entropy of order α of the policy.

    The soft value of a state is as in :class:`RenyiSAC`, and all that it says holds here, of ``sb3_contrib.CrossQ``.

    References
    ----------
    A. Bhatt et al., "CrossQ: Batch Normalization in Deep Reinforcement Learning for Greater Sample Efficiency and
    Simplicity", ICLR 2024, arXiv:1902.05605.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiCrossQ
    >>> model = RenyiCrossQ("MlpPolicy", "Pendulum-v1", alpha=2.0, learning_starts=20, seed=0, device="cpu").learn(30)
    """
