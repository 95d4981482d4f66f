"""Responses with a given beginning: what is given carries no loss, what is forced carries its own probability."""

import math

import numpy as np
import pytest

from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.batching import pack
from strop.episodes.prefilled import Prefilled
from strop.episodes.single_turn import SingleTurn
from strop.keys import Key
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.recipe import AdamW
from strop.records import Group, Request, Trajectory
from strop.tasks.arithmetic import Arithmetic

TASK = Arithmetic()
PROBLEMS = [TASK.problem("train", i) for i in range(4)]


def drawn(episode, model, samples=2, problems=PROBLEMS):
    sampler = TorchSampler(model, slots=8, precision="fp32")
    found = episode(problems, sampler=sampler, task=TASK, samples=samples, key=Key.root(3))
    return {(t.problem.id, t.sample): t for t in found}


def test_without_an_opening_it_is_a_single_turn(tiny_model):
    model = tiny_model()
    found, expected = drawn(Prefilled(opening="", max_tokens=12), model), drawn(SingleTurn(max_tokens=12), model)
    assert found.keys() == expected.keys()
    for name, attempt in found.items():
        assert attempt.tokens.tolist() == expected[name].tokens.tolist()
        assert attempt.logp.tolist() == expected[name].logp.tolist()
        assert attempt.mask.all()


def test_each_attempt_against_its_own_request(tiny_model):
    model = tiny_model()
    sampler = TorchSampler(model, slots=1, precision="fp32")
    said = [model.tokenizer.encode("<think>").tolist(), model.tokenizer.encode("no").tolist()]
    for (name, sample), attempt in drawn(Prefilled(opening="<think>", choices=("</think>", "no"), max_tokens=10), model,
                                         samples=4).items():  # fmt: skip
        choice = model.tokenizer.encode("</think>").tolist() if sample % 2 == 0 else said[1]
        given = said[0] + choice
        prompt = np.array(attempt.prompt_tokens.tolist() + given)
        seed = Key.root(3).fold(name, sample).uint64()
        [expected] = sampler.generate([Request(prompt=prompt, seeds=[seed], max_tokens=10 - len(given))])
        assert attempt.tokens.tolist() == given + expected.tokens.tolist()
        assert attempt.mask.tolist() == [False] + [True] * (len(attempt.tokens) - 1)
        assert math.isnan(attempt.logp[0])
        assert attempt.logp[1] == pytest.approx(math.log(0.5))
        assert attempt.logp[2:].tolist() == pytest.approx(expected.logp.tolist(), abs=1e-5)
        assert attempt.text == model.tokenizer.decode(attempt.tokens)
        assert attempt.finish == expected.finish


def test_a_start_of_its_own_for_each_problem_is_the_same_in_all_its_samples(tiny_model):
    def starts(problems, *, sampler, task, samples, key):
        return (Trajectory(problem=p, sample=i, text=p.question[:3]) for p in problems for i in range(samples))

    model = tiny_model()
    for attempt in drawn(Prefilled(opening="yes", starts=starts, max_tokens=16), model, samples=3).values():
        assert attempt.text.startswith("yes" + attempt.problem.question[:3])
        given = 1 + len(model.tokenizer.encode(attempt.problem.question[:3]))
        assert attempt.mask.tolist() == [False] * given + [True] * (len(attempt.tokens) - given)
        assert np.isnan(attempt.logp[:given]).all()


def test_what_is_given_carries_no_loss(tiny_model):
    """Other tokens in its place, read nowhere else, would change the loss if it did: the last one is read by the next,
    so the same tokens are compared as prompt and as opening."""
    model = tiny_model()
    found = list(drawn(Prefilled(opening="yes", max_tokens=8), model, samples=1).values())
    moved = [
        Trajectory(
            problem=t.problem, sample=t.sample, text=t.text, tokens=t.tokens[1:], mask=t.mask[1:], logp=t.logp[1:],
            prompt_tokens=np.concatenate([t.prompt_tokens, t.tokens[:1]]),
        )
        for t in found
    ]  # fmt: skip
    losses = []
    for attempts in (found, moved):
        batch, _ = pack([Group(t.problem, (t,)) for t in attempts], None)
        report = TorchLearner(tiny_model()).step(batch, CrossEntropy(), TokenMean(), AdamW(), 1e-3)
        losses.append((report.metrics["loss"], report.metrics["grad_norm"], report.metrics["tokens"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_beginning_as_long_as_the_budget_leaves_one_token(tiny_model):
    for attempt in drawn(Prefilled(opening="0123456789", max_tokens=6), tiny_model()).values():
        assert attempt.mask.tolist() == [False] * 5 + [True]
    for attempt in drawn(Prefilled(opening="0" * 200, max_tokens=300), tiny_model()).values():
        assert len(attempt.prompt_tokens) + len(attempt.tokens) == 96
        assert attempt.mask.sum() == 1


def test_samples_that_begin_alike_share_their_prompt(tiny_model):
    asked = []

    class Listening(TorchSampler):
        def generate(self, requests):
            asked.extend(requests)
            return super().generate(requests)

    sampler = Listening(tiny_model(), slots=8, precision="fp32")
    list(Prefilled(choices=("a", "b"), max_tokens=8)(PROBLEMS, sampler=sampler, task=TASK, samples=6, key=Key.root(0)))
    assert [len(request.seeds) for request in asked] == [3] * 8


def test_choices_that_cannot_be_told_apart_are_refused():
    for choices in (("a", "ab"), ("a", "a"), ("", "a")):
        with pytest.raises(ValueError, match="no choice may be the beginning of another"):
            Prefilled(choices=choices)
