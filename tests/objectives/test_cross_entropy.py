import math

import torch

from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.supervised.cross_entropy import CrossEntropy


def test_against_torch(batch):
    logits = torch.randn(4, 4, 9, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 9, (4, 4), generator=torch.Generator().manual_seed(1))
    given = batch(tokens=targets)
    logp = logits.log_softmax(-1).gather(2, targets[:, :, None])[:, :, 0]
    actual = TokenMean()(CrossEntropy()(logp, given), given)
    labels = targets.masked_fill(~given.mask, -100)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(actual, expected)


def test_uniform_model_loses_log_of_the_vocabulary(batch):
    given = batch()
    actual = TokenMean()(CrossEntropy()(torch.full((4, 4), math.log(1 / 50)), given), given)
    assert math.isclose(float(actual), math.log(50), rel_tol=1e-6)


def test_gradient_is_the_same_for_every_token(batch):
    given = batch()
    logp = torch.zeros(4, 4, requires_grad=True)
    TokenMean()(CrossEntropy()(logp, given), given).backward()
    torch.testing.assert_close(logp.grad, -given.mask.float() / int(given.mask.sum()))
