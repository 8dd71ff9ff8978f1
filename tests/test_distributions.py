"""torch.distributions of order α: against the formulas, integrals and torch itself; masks, zeros, shapes, compile."""

from __future__ import annotations

import doctest
import itertools
import math
import pickle

import numpy as np
import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from torch import distributions as td  # noqa: E402

import renyi_training.distributions as adapter  # noqa: E402
from renyi_core.schedules import Linear  # noqa: E402
from renyi_training.distributions import (  # noqa: E402
    Bernoulli,
    Beta,
    Categorical,
    Laplace,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    TanhNormal,
    distribution_entropy,
)

BACKENDS = ("torch",)
# of torch's own compiler, and of a cache that array-api-compat keeps
pytestmark = [
    pytest.mark.usefixtures("backend"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to a .functools.lru_cache:UserWarning"),
]
ORDERS = (0, 0.5, 1, 2, math.inf)
DOUBLE = torch.float64


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def formula(log_p, alpha):
    """H_α of log-probabilities, by its definition."""
    if alpha == 0:
        return log_p.isfinite().to(log_p).sum(-1).log() + 0 * log_p.exp().sum(-1)
    if alpha == 1:
        return -(log_p.exp() * torch.where(log_p.isfinite(), log_p, 0)).sum(-1)
    if alpha == math.inf:
        return -log_p.max(-1).values
    return torch.logsumexp(alpha * log_p, -1) / (1 - alpha)


def gradients(values, *leaves):
    return torch.autograd.grad(values.sum(), leaves, retain_graph=True)


def same(found, want, digits=13):
    torch.testing.assert_close(found, want, rtol=10.0**-digits, atol=10.0**-digits)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("kind", [Categorical, OneHotCategorical])
def test_categorical(kind, alpha):
    logits = draw(5, 4).requires_grad_()
    probs = torch.softmax(logits, -1).detach().requires_grad_()
    want = formula(torch.log_softmax(logits, -1), alpha)
    policy = kind(logits=logits, alpha=alpha)
    same(policy.entropy(), want)
    same(gradients(policy.entropy(), logits), gradients(want, logits))
    want = formula((probs / probs.sum(-1, keepdim=True)).log(), alpha)
    policy = kind(probs, alpha=alpha)
    same(policy.entropy(), want)
    same(gradients(policy.entropy(), probs), gradients(want, probs))
    # torch's own class, of the same parameters
    same(distribution_entropy(getattr(td, kind.__name__)(probs), alpha), want)


@pytest.mark.parametrize("alpha", ORDERS)
def test_bernoulli(alpha):
    logits = (3 * draw(6)).requires_grad_()
    want = formula(torch.nn.functional.logsigmoid(torch.stack([logits, -logits], -1)), alpha)
    for policy in (Bernoulli(logits=logits, alpha=alpha), Bernoulli(torch.sigmoid(logits), alpha=alpha)):
        same(policy.entropy(), want)
        same(gradients(policy.entropy(), logits), gradients(want, logits))
    same(distribution_entropy(td.Bernoulli(logits=logits), alpha), want)


@pytest.mark.parametrize("alpha", [0, 0.1, 1, 2, math.inf])
def test_probabilities_of_zero_are_zero(alpha):
    """torch gives a 0 a logit of −15.9: H_0 were log 3, and H_0.1 0.808."""
    probs = torch.tensor([0.5, 0.5, 0.0], requires_grad=True)
    for kind in (Categorical, OneHotCategorical):
        policy = kind(probs, alpha=alpha)
        assert policy.logits[2] == -math.inf
        for distribution in (policy, getattr(td, kind.__name__)(probs), policy.expand((2,))):
            # the logits are known before
            distribution.logits.sum()
            torch.testing.assert_close(distribution_entropy(distribution, alpha).exp().mean(), torch.tensor(2.0))
        assert gradients(policy.entropy(), probs)[0].isfinite().all()
    value = torch.tensor([0.0, 1.0, 1.0])
    certain = torch.tensor([0.0, 1.0, 0.0], requires_grad=True)
    policy = Bernoulli(certain, alpha=alpha)
    assert policy.entropy().tolist() == [0, 0, 0]
    assert policy.log_prob(value).tolist() == [0, 0, -math.inf]
    assert gradients(policy.entropy(), certain)[0].isfinite().all()
    assert gradients(policy.log_prob(value)[:2], certain)[0].tolist() == [-1, 1, 0]
    assert Bernoulli(logits=torch.tensor([-math.inf, math.inf]), alpha=alpha).entropy().tolist() == [0, 0]


def test_the_logarithms_of_probabilities():
    probs = torch.softmax(draw(5, 4), -1).requires_grad_()
    value = torch.tensor([0, 3, 1, 2, 2])
    ours, theirs = Categorical(probs), td.Categorical(probs)
    same(ours.log_prob(value), theirs.log_prob(value))
    same(gradients(ours.log_prob(value), probs), gradients(theirs.log_prob(value), probs))
    bits = torch.tensor([[0.0, 1.0, 0.0, 1.0]], dtype=DOUBLE)
    for given in ({"probs": probs}, {"logits": probs}):
        ours, theirs = Bernoulli(**given), td.Bernoulli(**given)
        same(ours.log_prob(bits), theirs.log_prob(bits))
        same(gradients(ours.log_prob(bits), probs), gradients(theirs.log_prob(bits), probs))
    # between the outcomes, as torch
    loose = [kind(probs, validate_args=False).log_prob(bits / 2 + 0.1) for kind in (Bernoulli, td.Bernoulli)]
    same(*loose)


WHERE = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]], dtype=torch.bool)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("kind", [Categorical, OneHotCategorical])
def test_masks(kind, alpha):
    """Against the outcomes that are left, whatever was given for the others."""
    logits = torch.where(WHERE, draw(3, 4), torch.tensor([math.nan, math.inf, -1e8, 5.0], dtype=DOUBLE))
    probs = torch.softmax(torch.where(WHERE, logits, 0.3), -1)
    for name, given in (("logits", logits.requires_grad_()), ("probs", probs.requires_grad_())):
        policy = kind(**{name: given}, alpha=alpha, where=WHERE)
        kept = [row[mask] if name == "logits" else row[mask].log() for row, mask in zip(given, WHERE, strict=True)]
        want = torch.stack([formula(torch.log_softmax(row, -1), alpha) for row in kept])
        same(policy.entropy(), want)
        same(gradients(policy.entropy(), given), gradients(want, given))
        assert not policy.probs[~WHERE].any()
        assert (policy.logits[~WHERE] == -math.inf).all()
        torch.manual_seed(0)
        drawn = policy.sample((2000,))
        counts = drawn.sum(0) if drawn.ndim == 3 else torch.nn.functional.one_hot(drawn, 4).sum(0)
        assert torch.equal(counts > 0, WHERE)
        left_out = policy.log_prob(policy.enumerate_support()).T[~WHERE]
        assert left_out.tolist() == [-math.inf] * 4
        # a larger batch, and independent parts of one action
        same(policy.expand((2, 3)).entropy(), want.expand(2, 3))
        same(td.Independent(policy, 1).entropy(), want.sum())
        again = pickle.loads(pickle.dumps(kind(**{name: given.detach()}, alpha=alpha, where=WHERE)))
        same(again.entropy(), want.detach())


def test_one_mask_for_all():
    policy = Categorical(logits=draw(5, 4), alpha=0, where=WHERE[0])
    same(policy.entropy().exp(), torch.full((5,), 3.0, dtype=DOUBLE))


@pytest.mark.parametrize("kind", [Categorical, OneHotCategorical])
def test_the_kullback_leibler_divergence_with_masks(kind):
    """torch's value, and the gradient of the formula on the outcomes that are left, where torch's is NaN."""
    old, new = draw(3, 4).requires_grad_(), draw(3, 4, seed=1).requires_grad_()
    p, q = kind(logits=old, where=WHERE, alpha=2), kind(logits=new, where=WHERE, alpha=0.5)
    found = td.kl_divergence(p, q)
    plain = [getattr(td, kind.__name__)(logits=policy.logits) for policy in (p, q)]
    same(found, td.kl_divergence(*plain))
    rows = zip(old, new, WHERE, strict=True)
    parts = [[torch.log_softmax(z[mask], -1) for z in (first, second)] for first, second, mask in rows]
    want = torch.stack([(first.exp() * (first - second)).sum() for first, second in parts])
    same(found, want)
    same(gradients(found, old, new), gradients(want, old, new))
    # an outcome that q leaves out
    assert td.kl_divergence(kind(logits=old), q).tolist()[:2] == [math.inf] * 2
    same(
        td.kl_divergence(kind(logits=old), getattr(td, kind.__name__)(logits=new)),
        td.kl_divergence(getattr(td, kind.__name__)(logits=old), kind(logits=new)),
    )


def test_the_kullback_leibler_divergence_of_others():
    p, q = torch.tensor([0.0, 0.3, 1.0, 0.2]), torch.tensor([0.4, 0.6, 1.0, 0.0])
    found = td.kl_divergence(Bernoulli(p.requires_grad_()), Bernoulli(q))
    torch.testing.assert_close(found[:3], td.kl_divergence(td.Bernoulli(p), td.Bernoulli(q))[:3])
    assert found[3] == math.inf
    assert gradients(found[:3], p)[0].isfinite().all()
    # torch takes 1e-12 for its eps: 7.3
    rare = td.kl_divergence(Bernoulli(torch.tensor(0.5)), Bernoulli(torch.tensor(1e-12)))
    torch.testing.assert_close(rare, torch.tensor(0.5 * math.log(0.25e12)))
    for ours, theirs in ((Normal, td.Normal), (Laplace, td.Laplace)):
        pairs = [(draw(4, seed=k), draw(4, seed=k).exp()) for k in range(2)]
        found, want = (td.kl_divergence(*(kind(*pair) for pair in pairs)) for kind in (ours, theirs))
        same(found, want)
        squashed = [TanhNormal(*pair, low=-3.0) for pair in pairs]
        if ours is Normal:
            same(td.kl_divergence(*squashed), want.sum())


def integral(distribution, alpha, edges, peak):
    """H_α by Gauss–Legendre quadrature of the density on pieces of the line."""
    if alpha == math.inf:
        return -distribution.log_prob(torch.tensor(peak, dtype=DOUBLE))
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(16))
    ends = torch.cat([torch.linspace(a, b, 400, dtype=DOUBLE) for a, b in itertools.pairwise(edges)])
    half = ends.diff()[:, None] / 2
    log_f = distribution.log_prob(ends[:-1, None] + half * (1 + nodes))
    if alpha == 1:
        return -(half * weights * log_f.exp() * log_f).sum()
    return (half * weights * (alpha * log_f).exp()).sum().log() / (1 - alpha)


def at(*values):
    return [torch.tensor(value, dtype=DOUBLE) for value in values]


AFFINE = [td.AffineTransform(1.0, -2.0), td.ComposeTransform([td.AffineTransform(0.0, *at(0.5))])]
DENSITIES = {
    "Normal": (lambda: td.Normal(*at(0.3, 0.7)), (-30.0, 30.0), 0.3),
    "HalfNormal": (lambda: td.HalfNormal(*at(0.7)), (0.0, 30.0), 0.0),
    "Laplace": (lambda: td.Laplace(*at(0.3, 0.7)), (-60.0, 0.3, 60.0), 0.3),
    "Exponential": (lambda: td.Exponential(*at(2.0)), (0.0, 50.0), 0.0),
    "Uniform": (lambda: td.Uniform(*at(-1.0, 3.0), validate_args=False), (-1.0, 3.0), 0.0),
    "affine": (lambda: td.TransformedDistribution(td.Laplace(*at(0.3, 0.7)), AFFINE), (-60.0, 0.2, 60.0), 0.2),
}


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("name", list(DENSITIES))
def test_densities(name, alpha):
    make, edges, peak = DENSITIES[name]
    if alpha == 0 and name != "Uniform":
        assert distribution_entropy(make(), alpha) == math.inf
        return
    same(distribution_entropy(make(), alpha), integral(make(), alpha, edges, peak), 11)
    if alpha == 1 and name != "affine":
        assert torch.equal(distribution_entropy(make(), 1), make().entropy())


@pytest.mark.parametrize("alpha", [0.5, 1, 2])
def test_densities_of_shapes(alpha):
    """Against integrals; on an interval that is not (0, 1), and of independent dimensions."""
    a, b = at(2.5, 4.0)
    same(Beta(a, b, alpha=alpha).entropy(), integral(td.Beta(a, b, False), alpha, (0.0, 0.3, 1.0), 0.3), 6)
    same(distribution_entropy(td.Gamma(a, b), alpha), integral(td.Gamma(a, b, False), alpha, (0.0, 0.3, 30.0), 0.3), 6)
    parts = draw(5, 3).exp()
    same(distribution_entropy(td.Dirichlet(parts[:, :2]), alpha), Beta(parts[:, 0], parts[:, 1], alpha=alpha).entropy())
    same(distribution_entropy(td.Dirichlet(parts + 1), 1), td.Dirichlet(parts + 1).entropy(), 12)
    policy = td.Independent(Beta(parts, parts + 1, alpha=alpha), 1)
    moved = td.TransformedDistribution(policy, td.AffineTransform(-2.0, 4.0))
    same(distribution_entropy(moved, alpha), policy.entropy() + 3 * math.log(4))
    same(policy.expand((2, 5)).entropy(), policy.entropy().expand(2, 5))
    assert Beta(*at(3.0, 2.0)).deterministic_sample == pytest.approx(2 / 3)


@pytest.mark.parametrize("alpha", [0.5, 1, 2, math.inf])
@pytest.mark.parametrize("name", ["covariance_matrix", "precision_matrix", "scale_tril", "low rank"])
def test_multivariate_normal(name, alpha):
    factor = draw(2, 3, 3).tril(-1) + torch.diag_embed(draw(2, 3, seed=1).exp())
    given = {"covariance_matrix": factor @ factor.mT, "scale_tril": factor}
    given["precision_matrix"] = torch.linalg.inv(given["covariance_matrix"])
    if name == "low rank":
        low, diagonal = draw(2, 3, 1), draw(2, 3, seed=1).exp()
        policy = td.LowRankMultivariateNormal(draw(2, 3), low, diagonal)
        found, covariance = distribution_entropy(policy, alpha), low @ low.mT + torch.diag_embed(diagonal)
    else:
        policy = MultivariateNormal(draw(2, 3), **{name: given[name]}, alpha=alpha)
        found, covariance = policy.entropy(), given["covariance_matrix"]
        same(policy.expand((4, 2)).entropy(), found.expand(4, 2))
    same(found, renyi.gaussian_entropy(covariance, alpha), 12)
    moved = td.TransformedDistribution(policy, td.AffineTransform(draw(3), draw(3, seed=2), event_dim=1))
    same(distribution_entropy(moved, alpha), found + draw(3, seed=2).abs().log().sum(), 12)


@pytest.mark.parametrize("alpha", ORDERS)
def test_squashed_gaussians(alpha):
    """Each way to write the same one, and its density in the integral."""
    loc, scale = draw(5, 2).requires_grad_(), draw(5, 2, seed=1).exp()
    want = renyi.tanh_gaussian_entropy(loc, scale, alpha, axis=-1) + 2 * math.log(1.5)
    tanh, affine = td.TanhTransform(), td.AffineTransform(0.5, 1.5)
    before = td.AffineTransform(loc, scale, event_dim=1)
    several = td.TransformedDistribution(td.Normal(*at(0.0, 1.0)).expand((5, 2)), before)
    alike = {
        "own": TanhNormal(loc, scale, low=-1.0, high=2.0),
        "one map after another": td.TransformedDistribution(td.Independent(td.Normal(loc, scale), 1), [tanh, affine]),
        "independent": td.Independent(td.TransformedDistribution(Normal(loc, scale), [tanh, affine]), 1),
        "affine before": td.TransformedDistribution(several, td.IndependentTransform(tanh, 1)),
    }
    for name, distribution in alike.items():
        constant = 2 * math.log(1.5) if name == "affine before" else 0.0
        found = distribution_entropy(distribution, alpha) + constant
        same(found, want, 12)
        same(gradients(found, loc), gradients(want, loc), 12)
    policy = TanhNormal(loc, scale, low=-1.0, high=2.0, alpha=alpha)
    same(policy.entropy(), want)
    same(policy.expand((3, 5)).entropy(), want.expand(3, 5))
    one = TanhNormal(*at(0.2, 0.4), low=-1.0, high=2.0, alpha=alpha)
    if 0 < alpha < math.inf:
        same(one.entropy(), integral(one, alpha, (-1.0, 2.0), 0.0), 9)


def test_actions_at_the_ends():
    """The density of what was drawn, before it was squashed; of the same action without that it is finite."""
    loc, scale = torch.tensor([30.0, 0.0]), torch.tensor([1.0, 1.0])
    policy = TanhNormal(loc, scale, low=torch.tensor([-2.0, 0.0]), high=3.0)
    for draw_one in (policy.sample, policy.rsample):
        torch.manual_seed(0)
        x = torch.normal(loc, scale).double()
        torch.manual_seed(0)
        action = draw_one()
        assert action[0] == 3
        slope = torch.tensor([2.5, 1.5]).double() / x.cosh() ** 2
        want = (td.Normal(loc, scale).log_prob(x) - slope.log()).sum()
        torch.testing.assert_close(policy.log_prob(action).double(), want, rtol=1e-5, atol=0)
        again = policy.log_prob(action.clone())
        assert -400 < again < -200
        assert policy.log_prob(action + torch.tensor([6.0, 0.0])) == again
    torch.testing.assert_close(policy.deterministic_sample, torch.tensor([3.0, 1.5]))
    torch.manual_seed(0)
    policy = TanhNormal(torch.tensor(0.4), torch.tensor(0.7), low=-2.0)
    assert policy.event_shape == ()
    assert abs(float(policy.sample((4000,)).median() - policy.deterministic_sample)) < 0.05
    assert policy.rsample().shape == ()
    assert TanhNormal(torch.zeros(3, 2), torch.ones(2), event_dims=0).entropy().shape == (3, 2)


@pytest.mark.parametrize("alpha", [Linear(0.5, 2.0, 4)(1), torch.tensor([[0.5], [1.0], [math.inf]], dtype=DOUBLE)])
def test_orders_of_a_schedule_and_of_each_distribution(alpha):
    loc, scale, logits = draw(3, 2, 2), draw(3, 2, 2, seed=1).exp(), draw(3, 2, 4)
    families = [
        (Categorical(logits=logits, alpha=alpha), lambda k, a: Categorical(logits=logits[k], alpha=a)),
        (TanhNormal(loc, scale, alpha=alpha), lambda k, a: TanhNormal(loc[k], scale[k], alpha=a)),
        (
            MultivariateNormal(loc, torch.diag_embed(scale), alpha=alpha),
            lambda k, a: MultivariateNormal(loc[k], torch.diag_embed(scale[k]), alpha=a),
        ),
    ]
    for policy, of in families:
        orders = [float(alpha)] * 3 if not isinstance(alpha, torch.Tensor) else alpha[:, 0].tolist()
        same(policy.entropy(), torch.stack([of(k, order).entropy() for k, order in enumerate(orders)]), 12)
        same(policy.expand((2, 3, 2)).entropy(), policy.entropy().expand(2, 3, 2))
    found = distribution_entropy(td.Independent(td.Normal(loc, scale), 1), alpha)
    same(
        found,
        distribution_entropy(td.Normal(loc, scale), alpha if isinstance(alpha, float) else alpha[..., None]).sum(-1),
    )


def test_the_derivative_along_an_order():
    alpha = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    policy = Normal(*at(0.0, 2.0), alpha=alpha)
    want = 0.5 * alpha.log() / (alpha - 1)
    same(gradients(policy.entropy(), alpha), gradients(want, alpha))


def test_what_a_policy_does_without_exploring():
    assert Categorical(torch.tensor([0.2, 0.5, 0.3])).deterministic_sample == 1
    assert OneHotCategorical(torch.tensor([0.2, 0.5, 0.3])).deterministic_sample.tolist() == [0, 1, 0]
    assert Normal(0.3, 1.0).deterministic_sample == torch.tensor(0.3)


def test_the_default_is_shannon():
    policy = Categorical(logits=draw(4))
    assert policy.alpha == 1
    same(policy.entropy(), td.Categorical(logits=draw(4)).entropy())


@pytest.mark.parametrize("alpha", [0.5, 1, 2])
def test_by_samples(alpha):
    torch.manual_seed(0)
    scale = torch.tensor([0.5, 2.0], requires_grad=True)
    found = distribution_entropy(td.Normal(torch.zeros(2), scale), alpha, samples=20_000)
    torch.testing.assert_close(found, distribution_entropy(td.Normal(0.0, scale), alpha), rtol=0, atol=0.03)
    torch.testing.assert_close(gradients(found, scale)[0], 1 / scale.detach(), rtol=0.05, atol=0)
    # a mixture has no rsample, and what its draws alone would give is the gradient of something else
    mixture = td.MixtureSameFamily(td.Categorical(logits=scale), td.Normal(torch.tensor([-9.0, 9.0]), scale))
    found = distribution_entropy(mixture, 1, samples=20_000)
    probs = torch.softmax(scale, -1)
    apart = td.Categorical(probs).entropy() + (probs * td.Normal(0.0, scale).entropy()).sum()
    torch.testing.assert_close(found, apart.detach(), rtol=0, atol=0.03)
    assert not found.requires_grad


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: distribution_entropy(torch.zeros(3), 2),
            TypeError,
            "`distribution` must be a torch.distributions.Dis",
        ),
        (lambda: distribution_entropy(td.Cauchy(0.0, 1.0), 2), TypeError, "known here for Cauchy; pass `samples`"),
        (
            lambda: distribution_entropy(td.LogNormal(0.0, 1.0), 2),
            TypeError,
            "known here for Normal mapped by ExpTransform",
        ),
        (
            lambda: distribution_entropy(td.TransformedDistribution(td.Laplace(0.0, 1.0), td.TanhTransform()), 2),
            TypeError,
            "for Laplace mapped by _?TanhTransform",
        ),
        (
            lambda: distribution_entropy(td.TransformedDistribution(td.Bernoulli(0.5), AFFINE[:1]), 2),
            TypeError,
            "for Bernoulli mapped to other values",
        ),
        (lambda: distribution_entropy(td.Normal(0.0, 1.0), 2, samples=0), ValueError, "`samples` must be >= 1, got 0"),
        (lambda: distribution_entropy(td.Normal(0.0, 1.0), 2, samples=0.5), TypeError, "`samples` must be an integer"),
        (lambda: distribution_entropy(td.Normal(0.0, 1.0), -1), ValueError, "`alpha` must be >= 0, got -1"),
        (lambda: Categorical(torch.ones(3), alpha=-1.0), ValueError, "`alpha` must be >= 0, got -1.0"),
        (lambda: Normal(0.0, 1.0, alpha=math.nan), ValueError, "`alpha` must be >= 0, got nan"),
        (lambda: TanhNormal(0.0, 1.0, alpha="2"), TypeError, "`alpha` must be a number or an array, got str"),
        (lambda: OneHotCategorical(torch.ones(3), alpha=[1, 2]), TypeError, "several orders of each distribution"),
        (lambda: Categorical(torch.ones(3), where=torch.ones(3)), TypeError, "`where` must have a boolean dtype"),
        (lambda: Categorical(torch.ones(3), where=WHERE), ValueError, "`where` of shape .3, 4. does not broadcast"),
        (
            lambda: Categorical(logits=torch.ones(3, 4), where=WHERE & ~WHERE[1], validate_args=True),
            ValueError,
            "`where` must leave an outcome to each distribution",
        ),
        (Categorical, ValueError, "Either `probs` or `logits` must be specified"),
        (lambda: Categorical(torch.tensor([-1.0, 2.0]), validate_args=True), ValueError, "Expected parameter probs"),
        (lambda: Normal(0.0, -1.0, validate_args=True), ValueError, "Expected parameter scale"),
        (lambda: TanhNormal(0.0, -1.0, validate_args=True), ValueError, "Expected parameter scale"),
        (
            lambda: Categorical(torch.ones(3), validate_args=True).log_prob(torch.tensor(3)),
            ValueError,
            "within the support",
        ),
        (
            lambda: Bernoulli(torch.ones(3), validate_args=True).log_prob(torch.tensor(0.5)),
            ValueError,
            "within the support",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_row_without_outcomes_is_nan_alone_where_nothing_is_checked():
    where = WHERE & ~WHERE[1]
    found = Categorical(logits=draw(3, 4), where=where, validate_args=False).entropy()
    assert found.isnan().tolist() == [False, True, False]


def discrete(logits, where, alpha):
    policy = Categorical(logits=logits, where=where, alpha=alpha, validate_args=False)
    rest = OneHotCategorical(torch.softmax(logits, -1), alpha=alpha, validate_args=False).entropy()
    rest = rest + Bernoulli(logits=logits, alpha=alpha, validate_args=False).entropy().sum(-1)
    return policy.entropy() + policy.log_prob(policy.probs.argmax(-1)) + rest


def continuous(loc, scale, alpha):
    policy = TanhNormal(loc, scale, high=2.0, alpha=alpha, validate_args=False)
    gaussian = td.Independent(Normal(loc, scale, alpha=alpha, validate_args=False), 1, validate_args=False)
    return policy.entropy() + policy.log_prob(policy.rsample()) + gaussian.entropy()


@pytest.mark.parametrize("function", [discrete, continuous])
def test_compile(function):
    """In one graph, as torch's own with ``validate_args=False``."""
    first, second = draw(3, 4).requires_grad_(), WHERE if function is discrete else draw(3, 4, seed=1).exp()
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    values = []
    for call in (function, compiled):
        torch.manual_seed(0)
        values.append(call(first, second, 2.0))
    same(*values)
    same(*(gradients(value, first)[0] for value in values))


def test_docstrings():
    found = doctest.testmod(adapter)
    assert found.attempted >= 20
    assert found.failed == 0
