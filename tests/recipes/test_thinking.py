"""Recipes about how long, and whether, a model thinks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.batching import pack, stretches
from strop.keys import Key
from strop.recipes.adapt_think import adapt_think
from strop.recipes.auto_think import auto_think
from strop.recipes.delethink import delethink
from strop.recipes.grpo import grpo
from strop.recipes.mixed_cot_rl import mixed_cot_rl
from strop.records import Verdict
from strop.scoring import reward, score
from strop.studies.flawed_starts import flawed_starts
from strop.tasks.arithmetic import Arithmetic
from strop.verifiers import JudgePool

TASK = Arithmetic()
PROBLEMS = [TASK.problem("train", i) for i in range(4)]


def judged(stage, model, samples=4):
    sampler = TorchSampler(model, slots=32, precision="fp32")
    sampler.teacher = TorchSampler(model, slots=32, precision="fp32")
    attempts = stage.episode(PROBLEMS, sampler=sampler, task=TASK, samples=samples, key=Key.root(0))
    with JudgePool(TASK.verify) as judge:
        return score(PROBLEMS, attempts, judge)


@pytest.mark.parametrize("steps", [1, 2, 3, 100, 101])
def test_the_stages_of_auto_think_add_up(steps):
    recipe = auto_think(steps=steps, max_tokens=96)
    assert recipe.total_steps == steps
    assert [stage.episode.max_tokens for stage in recipe.stages] == [32, 64, 96]
    assert [stage.rewards[0].share for stage in recipe.stages] == [0.5, 1.0, 1.0]
    assert [len(stage.rewards) for stage in recipe.stages] == [1, 1, 2]


def test_the_ellipsis_is_for_models_that_know_it():
    assert auto_think().stages[0].episode.opening == "<think>"
    real = auto_think(model="./somewhere")
    assert real.stages[0].episode.opening == real.heldout.episode.opening == "<think>\n...\n"


def test_adapt_think_learns_from_the_policys_attempts_alone(tiny_model):
    """One step's loss against the rule: -(1/N) sum over the policy's attempts of their mean clipped w A."""
    stage = adapt_think(max_tokens=16, reference_samples=2).stages[0]
    groups = judged(stage, tiny_model())
    outcomes = iter(["right", "wrong", "wrong", "right", "right", "wrong"] * 4)
    groups = [
        replace(g, trajectories=tuple(replace(t, verdict=Verdict(next(outcomes))) for t in g.trajectories))
        for g in groups
    ]
    paid = reward(groups, stage.rewards, [None, None])
    batch, packed = pack(paid, stage.advantage, memory=stage.advantage.init(), compared=stage.compared)
    own = [t for g in packed for t in g.trajectories if t.origin == "policy"]
    assert len(own) == 16
    assert [t.origin for t in packed[0].trajectories] == ["policy"] * 4 + ["teacher"] * 2
    model, total = tiny_model(), 0.0
    for t in own:
        read = torch.from_numpy(np.concatenate([t.prompt_tokens, t.tokens]))
        with torch.no_grad():
            spread = model.net(input_ids=read[None]).logits[0].log_softmax(-1)[len(t.prompt_tokens) - 1 : -1]
        logp = spread[torch.arange(len(t.tokens)), torch.from_numpy(t.tokens)].tolist()
        silent = t.text.startswith("<think></think>")
        formed = t.text.count("</think>") == 1 and bool(t.text.split("</think>")[1].strip())
        value = 0.05 * silent + (t.verdict.outcome == "right" and formed) - 0.5  # the reference is right once in two
        terms = []
        for place in np.flatnonzero(t.mask):
            old = math.log(0.5) if place == 1 else float(t.logp[place])
            ratio = math.exp(logp[place] - old)
            terms.append(min(ratio * value, min(max(ratio, 0.8), 1.2) * value))
        total -= sum(terms) / len(terms)
    report = TorchLearner(tiny_model()).step(batch, stage.objective, stage.average, stage.optimizer, 1e-4)
    assert report.metrics["loss"] == pytest.approx(total / len(own), rel=1e-3, abs=1e-5)


def test_half_of_each_group_is_made_to_answer_at_once(tiny_model):
    stage = adapt_think(max_tokens=16, reference_samples=2).stages[0]
    for group in judged(stage, tiny_model()):
        own = [t.text for t in group.trajectories if t.origin == "policy"]
        assert [text.startswith("<think></think>") for text in own] == [True, False, True, False]
        assert all(t.text.startswith("<think> ") for t in group.trajectories if t.origin == "teacher")


def test_delethink_reads_a_third_of_the_thought_at_once(tiny_model):
    stage = delethink(max_tokens=45).stages[0]
    groups = judged(stage, tiny_model())
    rows = [row for g in groups for t in g.trajectories for row in stretches(t)]
    assert max(len(t.tokens) for g in groups for t in g.trajectories) > 15
    questions = {g.problem.id: len(g.trajectories[0].prompt_tokens) for g in groups}
    assert all(len(row.prompt_tokens) + len(row.tokens) <= questions[row.problem.id] + 15 for row in rows)


def test_delethink_in_one_chunk_draws_what_grpo_draws(tiny_model):
    one = judged(delethink(max_tokens=16, chunk=16, carry=4).stages[0], tiny_model())
    expected = judged(grpo(max_tokens=16).stages[0], tiny_model())
    for group, plain in zip(one, expected, strict=True):
        assert [t.tokens.tolist() for t in group.trajectories] == [t.tokens.tolist() for t in plain.trajectories]


def test_mixed_cot_rl_goes_on_from_one_mistake_in_each_group(tiny_model):
    stage = mixed_cot_rl(max_tokens=32, flawed_share=1.0).stages[0]
    for group in judged(stage, tiny_model()):
        starts = {t.text.removeprefix("<think>")[: int((~t.mask).sum()) - 1] for t in group.trajectories}
        assert len(starts) == 1
        assert "=" in starts.pop()


def test_every_arm_of_flawed_starts_is_asked_the_same():
    study = flawed_starts(steps=2)
    assert len({arm.recipe.heldout for arm in study.arms}) == 1
    assert [arm.name for arm in study.arms] == ["untrained", "clean", "mixed", "flawed"]
    assert [arm.recipe.total_steps for arm in study.arms] == [0, 2, 2, 2]
