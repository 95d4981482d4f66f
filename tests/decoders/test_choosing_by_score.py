"""Decoders that weigh attempts by scores, against slow loops."""

import math
import random

import numpy as np
import pytest

from strop.decoders.no_thinking import NoThinking
from strop.decoders.weighted_best_of_n import WeightedBestOfN
from strop.records import Problem, Trajectory, Verdict

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def attempts(*pairs):
    return [
        Trajectory(
            problem=PROBLEM,
            sample=i,
            text="",
            reward=score,
            verdict=Verdict("wrong", a) if a else Verdict("unparsable"),
        )
        for i, (a, score) in enumerate(pairs)
    ]


def some(seed):
    draw = random.Random(seed)
    scores = [0.1, 0.25, 0.5, 0.5, 0.9, float("nan")]
    return [(draw.choice(["5", "6", "7", None]), draw.choice(scores)) for _ in range(draw.randint(0, 9))]


def best(totals, order):
    """The first in `order` of those with the largest total."""
    return next((a for a in order if totals[a] == max(totals.values())), None)


def test_weighted_best_of_n_against_a_slow_sum():
    for seed in range(300):
        pairs = some(seed)
        totals, order = {}, []
        for answer, score in pairs:
            if answer is not None and not math.isnan(score):
                totals[answer] = totals.get(answer, 0.0) + score
                order.append(answer)
        chosen = best(totals, order)
        expected = None if chosen is None else [a for a, s in pairs if not math.isnan(s)].index(chosen)
        actual = WeightedBestOfN()(attempts(*pairs))
        whole = [i for i, (_, s) in enumerate(pairs) if not math.isnan(s)]
        assert actual == (None if expected is None else whole[expected]), pairs


def test_weighted_best_of_n_is_majority_where_scores_are_equal():
    assert WeightedBestOfN()(attempts(("6", 0.5), ("5", 0.5), ("5", 0.5))) == 1


def test_weighted_best_of_n_goes_with_an_attempt_that_outweighs_the_rest():
    assert WeightedBestOfN()(attempts(("6", 2.0), ("5", 0.5), ("5", 0.5))) == 0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 3.0])
def test_borda_against_a_slow_count(power):
    for seed in range(200):
        pairs = some(seed)
        n = len(pairs)
        value = [-math.inf if math.isnan(s) else s for _, s in pairs]
        totals, order = {}, []
        for i, (answer, _) in enumerate(pairs):
            better = sum(value[j] > value[i] or (value[j] == value[i] and j < i) for j in range(n))
            if answer is not None:
                totals[answer] = totals.get(answer, 0.0) + (n - better) ** power
                order.append(answer)
        # sums of square roots may differ in the last digit: answers that near are equal
        chosen = best({a: round(v, 9) for a, v in totals.items()}, order)
        actual = NoThinking(power=power)(attempts(*pairs))
        assert (None if actual is None else pairs[actual][0]) == chosen, pairs


def test_highest_takes_the_surest_attempt_that_has_an_answer():
    assert NoThinking(select="highest")(attempts(("6", 0.1), (None, 0.9), ("5", 0.5))) == 2


def test_self_certainty_and_entropy_against_sums_over_the_vocabulary():
    import torch

    from strop.decoders._hooks import entropy, self_certainty

    logits = torch.randn(4, 11, generator=torch.Generator().manual_seed(0))
    p = np.exp(logits.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    sure = [-sum(math.log(11 * q) for q in row) / 11 for row in p]
    spread = [-sum(q * math.log(q) for q in row) for row in p]
    np.testing.assert_allclose(self_certainty(logits).numpy(), sure, rtol=1e-5)
    np.testing.assert_allclose(entropy(logits).numpy(), spread, rtol=1e-5)


def test_no_thinking_opens_with_a_finished_thought_and_scores_by_self_certainty(tiny, draw):
    import torch

    sampler = tiny()
    found = draw(NoThinking(), sampler, budget=4, max_tokens=7)
    start = sampler.tokenizer.encode("<think></think>").tolist()
    for t in found.attempts:
        assert t.tokens[:2].tolist() == start
        assert t.mask.tolist() == [False, False, *[True] * (len(t.tokens) - 2)]
        text = torch.from_numpy(np.concatenate([t.prompt_tokens, t.tokens]))[None]
        with torch.no_grad():
            logp = sampler.model.net(input_ids=text).logits[0, len(t.prompt_tokens) + 1 : -1].log_softmax(-1)
        expected = -(logp + math.log(logp.shape[1])).mean()
        assert t.reward == pytest.approx(float(expected), rel=1e-4)
    assert found.cost.tokens == sum(t.length for t in found.attempts)
    assert found.cost.longest == max(t.length for t in found.attempts)


def test_majority_without_thinking_runs_on_any_sampler(scripted, draw):
    found = draw(NoThinking(power=0), scripted(lambda text, sample: "5"), budget=3)
    assert [t.text for t in found.attempts] == ["<think></think>5"] * 3
