"""A mix of two models' logits, against plain forward passes of both."""

import numpy as np
import pytest
import torch

from strop.backends.torch.sampler import TorchSampler
from strop.decoders.first_finish import FirstFinish
from strop.decoders.model_mix import ModelMix, mixed
from strop.errors import ConfigError
from tests.decoders.conftest import problem

PROBLEMS = [problem(0, "2+3"), problem(1, "14+3*2-7"), problem(2, "9")]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def logits(sampler, attempt):
    text = torch.from_numpy(np.concatenate([attempt.prompt_tokens, attempt.tokens]))[None]
    with torch.no_grad():
        return sampler.model.net(input_ids=text).logits[0, len(attempt.prompt_tokens) - 1 : -1]


@pytest.mark.parametrize("weight", [-0.5, 0.0, 0.5, 1.0, 2.0])
def test_logp_is_that_of_the_mixture(tiny, draw, weight):
    sampler = tiny(0, teacher=tiny(1))
    for found in draw(ModelMix(weight=weight), sampler, budget=4, problems=PROBLEMS, max_tokens=12):
        for t in found.attempts:
            z, ref = logits(sampler, t), logits(sampler.teacher, t)
            expected = ((1 - weight) * ref + weight * z).log_softmax(-1)[range(len(t.tokens)), t.tokens]
            np.testing.assert_allclose(t.logp, expected.numpy(), atol=2e-4)
        assert found.cost.passes == 2 * found.cost.tokens == 2 * sum(t.length for t in found.attempts)


@pytest.mark.parametrize(("weight", "which"), [(1.0, 0), (0.0, 1)])
def test_at_the_ends_it_is_one_of_the_models(tiny, draw, weight, which):
    sampler = tiny(0, teacher=tiny(1))
    alone = (sampler, sampler.teacher)[which]
    expected = draw(FirstFinish(k=4), alone, budget=4, problems=PROBLEMS, max_tokens=12)
    actual = draw(ModelMix(weight=weight), sampler, budget=4, problems=PROBLEMS, max_tokens=12)
    for a, b in zip(expected, actual, strict=True):
        for one, other in zip(a.attempts, b.attempts, strict=True):
            np.testing.assert_array_equal(other.tokens[: len(one.tokens)], one.tokens)


def test_a_model_mixed_with_itself_is_itself(tiny, draw):
    sampler = tiny(0, teacher=tiny(0))
    expected = draw(ModelMix(weight=1.0), sampler, budget=3, max_tokens=12)
    actual = draw(ModelMix(weight=3.0), sampler, budget=3, max_tokens=12)
    for one, other in zip(expected.attempts, actual.attempts, strict=True):
        np.testing.assert_array_equal(other.tokens, one.tokens)


def test_outputs_that_one_model_lacks_cannot_be_drawn():
    out = mixed(torch.zeros(1, 4), torch.ones(1, 3), 2.0)
    assert out.tolist() == [[-1.0, -1.0, -1.0, -np.inf]]


@pytest.mark.parametrize("kind", ["mistral", "gpt2"])
def test_other_architectures(tiny_model, draw, kind):
    second = TorchSampler(tiny_model(kind, seed=1), precision="fp32")
    sampler = TorchSampler(tiny_model(kind), precision="fp32", slots=5, teacher=second)
    for found in draw(ModelMix(weight=1.5), sampler, budget=3, problems=PROBLEMS, max_tokens=8):
        for t in found.attempts:
            expected = (1.5 * logits(sampler, t) - 0.5 * logits(second, t)).log_softmax(-1)
            np.testing.assert_allclose(t.logp, expected[range(len(t.tokens)), t.tokens].numpy(), atol=2e-4)


def test_a_second_model_is_needed(tiny, draw):
    with pytest.raises(ConfigError, match="--reference"):
        draw(ModelMix(), tiny())
