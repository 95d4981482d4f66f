import math

import pytest
import torch

from strop.objectives._kl import kl_estimate
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.records import Batch, Counts


def loop(logp, old, ref, advantage, low, high, kl_coef, kl):
    losses = []
    for row in range(len(logp)):
        losses.append([])
        for t in range(len(logp[row])):
            ratio = math.exp(logp[row][t] - old[row][t])
            a = advantage[row][t]
            loss = -min(ratio * a, max(min(ratio, 1 + high), 1 - low) * a)
            d = logp[row][t] - ref[row][t]
            loss += kl_coef * {"k1": d, "k2": d * d / 2, "k3": math.exp(-d) - 1 + d}[kl]
            losses[-1].append(loss)
    return torch.tensor(losses)


@pytest.mark.parametrize("kl", ["k1", "k2", "k3"])
@pytest.mark.parametrize(("low", "high", "kl_coef"), [(0.2, 0.28, 0.0), (0.2, 0.2, 0.3), (1.0, 10.0, 0.0)])
def test_against_a_loop(batch, low, high, kl_coef, kl):
    generator = torch.Generator().manual_seed(0)
    logp, old, ref = (-torch.rand(4, 4, generator=generator) * 2 for _ in range(3))
    given = batch(old_logp=old, ref_logp=ref)
    actual = ClipHigher(low, high, kl_coef, kl)(logp, given)
    expected = loop(*(x.tolist() for x in (logp, old, ref, given.advantage)), low, high, kl_coef, kl)
    torch.testing.assert_close(actual, expected)


def test_on_policy_gradient_equals_reinforce(batch):
    logp = (-torch.rand(4, 4, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
    given = batch(old_logp=logp.detach())
    actual = torch.autograd.grad(TokenMean()(ClipHigher()(logp, given), given), logp)[0]
    expected = -given.advantage / int(given.mask.sum())
    torch.testing.assert_close(actual, expected)


def test_no_gradient_outside_the_bounds(batch):
    """Raising what was good stops at 1.28, lowering what was bad at 0.8; moving back is never stopped."""
    ratios = torch.tensor([[1.27, 1.29, 0.5, 2.0], [0.81, 0.79, 0.5, 2.0]])
    logp = ratios.log().requires_grad_(True)
    mask = torch.ones(2, 4, dtype=torch.bool)
    given = batch(mask=mask, advantage=torch.tensor([[1.0] * 4, [-1.0] * 4]), old_logp=torch.zeros(2, 4))
    actual = torch.autograd.grad(ClipHigher()(logp, given).sum(), logp)[0]
    expected = torch.tensor([[-1.27, 0.0, -0.5, 0.0], [0.81, 0.0, 0.0, 2.0]])
    torch.testing.assert_close(actual, expected)
    logged = ClipHigher().log(logp.detach(), given)
    assert logged["ratio/clipped_high"].tolist() == [[0, 1, 0, 1], [0, 0, 0, 0]]
    assert logged["ratio/clipped_low"].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0]]


def test_reference_is_asked_for_only_where_it_counts():
    assert ClipHigher().needs == ()
    assert ClipHigher().skips_zero_advantage
    assert ClipHigher(kl_coef=0.1).needs == ("ref_logp",)
    assert not ClipHigher(kl_coef=0.1).skips_zero_advantage


@pytest.fixture
def policy():
    """Logits of a policy and a reference over five tokens, and the exact gradients of both divergences."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_(True)
    ref = (logits.detach() + 0.3 * torch.randn(5, generator=generator, dtype=torch.float64)).log_softmax(-1)
    return logits, ref


def expectation(logits, ref, kind):
    """The exact expectation, under the policy, of an estimator and of its gradient with the sample held fixed."""
    spread = logits.log_softmax(-1)
    each = kl_estimate(spread[None], ref[None], kind)[0]
    weight = spread.detach().exp()
    return float((weight * each).sum().detach()), torch.autograd.grad((weight * each).sum(), logits)[0]


def test_k1_and_k3_are_unbiased_and_k2_is_not(policy):
    logits, ref = policy
    spread = logits.detach().log_softmax(-1)
    exact = float((spread.exp() * (spread - ref)).sum())
    assert expectation(logits, ref, "k1")[0] == pytest.approx(exact)
    assert expectation(logits, ref, "k3")[0] == pytest.approx(exact)
    assert expectation(logits, ref, "k2")[0] != pytest.approx(exact, rel=1e-3)


def test_gradients_of_the_estimators_as_losses(policy):
    """k1 none at all, k2 that of KL(policy || reference), k3 that of KL(reference || policy)."""
    logits, ref = policy
    spread = logits.log_softmax(-1)
    reverse = torch.autograd.grad((spread.exp() * (spread - ref)).sum(), logits, retain_graph=True)[0]
    forward = torch.autograd.grad((ref.exp() * (ref - spread)).sum(), logits)[0]
    torch.testing.assert_close(expectation(logits, ref, "k1")[1], torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(expectation(logits, ref, "k2")[1], reverse)
    torch.testing.assert_close(expectation(logits, ref, "k3")[1], forward)


def test_k3_times_the_ratio_has_the_gradient_of_the_kl_also_off_policy(policy):
    """Samples come from an older policy; the ratio makes its expectation the policy's, and is differentiated too."""
    logits, ref = policy
    spread = logits.log_softmax(-1)
    old = (spread.detach() + torch.linspace(-0.5, 0.5, 5, dtype=torch.float64)).log_softmax(-1)
    mask = torch.ones(1, 5, dtype=torch.bool)
    given = Batch(
        tokens=mask.long(), mask=mask, advantage=torch.zeros(1, 5), old_logp=old[None], ref_logp=ref[None],
        reward=torch.zeros(1), group=torch.zeros(1), counts=Counts(5, 1, 1),
    )  # fmt: skip
    losses = ClipHigher(kl_coef=1.0, kl_by_ratio=True)(spread[None], given)[0]
    actual = torch.autograd.grad((old.exp() * losses).sum(), logits, retain_graph=True)[0]
    expected = torch.autograd.grad((spread.exp() * (spread - ref)).sum(), logits)[0]
    torch.testing.assert_close(actual, expected)


def test_k3_varies_less_than_k1_near_the_reference(policy):
    logits, ref = policy
    spread = logits.detach().log_softmax(-1)
    draws = torch.multinomial(spread.exp(), 4000, replacement=True, generator=torch.Generator().manual_seed(0))
    k1, k3 = (kl_estimate(spread[draws][None], ref[draws][None], kind) for kind in ("k1", "k3"))
    assert k3.var() < 0.2 * k1.var()
    assert abs(float(k3.mean()) - expectation(logits, ref, "k3")[0]) < 3 * float(k3.std()) / math.sqrt(4000)
