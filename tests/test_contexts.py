"""Attempts that were written in several contexts: each becomes several rows, and counts once."""

import dataclasses
import gc

import numpy as np
import pytest
import torch

from strop.advantages.group_norm import GroupNorm
from strop.backends.torch.learner import TorchLearner
from strop.batching import minibatches, pack, sharing, stretches
from strop.errors import ConfigError
from strop.keys import Key
from strop.objectives.averages.fixed_length import FixedLength
from strop.objectives.averages.sequence_mean import SequenceMean
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.objectives.policy_gradient.clip_sequence import ClipSequence
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.recipe import AdamW, Term
from strop.records import Context, Counts, Group, Problem, Trajectory, Verdict
from strop.scoring import score
from strop.verifiers import JudgePool

GENTLE = AdamW(clip_norm=None, eps=1e-5)


def problem(index):
    return Problem(id=f"a/train/{index}", task="a", prompt=(), reference="5")


def attempt(index, sample, tokens, reward, contexts=(), **other):
    tokens = np.array(tokens)
    return Trajectory(
        problem=problem(index), sample=sample, text="", reward=reward, prompt_tokens=np.array([7, 20 + index]),
        tokens=tokens, mask=other.pop("mask", np.ones(len(tokens), dtype=bool)),
        logp=np.linspace(-2.0, -1.0, len(tokens), dtype=np.float32), contexts=contexts, **other,
    )  # fmt: skip


@pytest.fixture
def groups():
    """Two groups: a whole attempt beside one of three contexts, one of two contexts beside a whole one."""
    three = attempt(
        0, 1, [11, 12, 13, 14, 15, 16], 0.0,
        (Context(2, np.array([7, 20, 12])), Context(5, np.array([7, 20, 14, 15]))),
        mask=np.array([True, True, True, False, True, True]),
    )  # fmt: skip
    two = attempt(1, 0, [21, 22, 23], 1.0, (Context(1, np.array([7, 21, 21])),))
    return [
        Group(problem(0), (attempt(0, 0, [31, 32], 1.0), three)),
        Group(problem(1), (two, attempt(1, 1, [41], 0.0))),
    ]


def test_rows_against_hand_written_ones(groups):
    batch, after = pack(groups, GroupNorm(std="none"))
    assert [p.tolist() for p in batch.prompts] == [
        [7, 20],
        [7, 20],
        [7, 20, 12],
        [7, 20, 14, 15],
        [7, 21],
        [7, 21, 21],
        [7, 21],
    ]
    assert batch.tokens.tolist() == [
        [31, 32, 0], [11, 12, 0], [13, 14, 15], [16, 0, 0], [21, 0, 0], [22, 23, 0], [41, 0, 0],
    ]  # fmt: skip
    assert batch.mask.int().tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert batch.advantage[:, 0].tolist() == [0.5, -0.5, -0.5, -0.5, 0.5, 0.5, -0.5]
    assert batch.reward.tolist() == [1, 0, 0, 0, 1, 1, 0]
    assert batch.group.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert batch.share.tolist() == pytest.approx([1, 0.4, 0.4, 0.2, 1 / 3, 2 / 3, 1])
    assert batch.counts == Counts(tokens=11, sequences=4, groups=2)
    assert [[len(t.tokens) for t in g.trajectories] for g in after] == [[2, 6], [3, 1]]


def test_credit_signals_and_inputs_are_divided_with_the_tokens(groups):
    values = np.arange(6, dtype=np.float32)
    marked = dataclasses.replace(
        groups[0].trajectories[1], credit=values, signals={"entropy": values / 10}, inputs=np.arange(50, 56),
        teacher_prompt=np.array([1]), mask=np.ones(6, dtype=bool),
    )  # fmt: skip
    batch, _ = pack([Group(problem(0), (marked,))], None)
    assert batch.advantage.tolist() == [[0, 1, 0], [2, 3, 4], [5, 0, 0]]
    assert batch.signals["entropy"].flatten().tolist() == pytest.approx([0, 0.1, 0, 0.2, 0.3, 0.4, 0.5, 0, 0])
    assert batch.inputs.tolist() == [[50, 51, 0], [52, 53, 54], [55, 0, 0]]
    # later contexts have prompts of their own, for the teacher as well
    assert [p.tolist() for p in batch.teacher_prompts] == [[1], [7, 20, 12], [7, 20, 14, 15]]


def test_one_context_is_the_attempt_itself(groups):
    whole = groups[0].trajectories[0]
    assert stretches(whole) == [whole]
    plain, _ = pack([Group(problem(0), (whole,))], None)
    assert plain.share is None


def by_attempt(groups, losses):
    """The losses of the written tokens of each attempt, from the rows they stand in."""
    found, rows = [], iter(losses.tolist())
    for group in groups:
        for t in group.trajectories:
            own = []
            for part in stretches(t):
                own += [loss for loss, kept in zip(next(rows), part.mask, strict=False) if kept]
            found.append(own)
    return found


@pytest.mark.parametrize(
    ("average", "loop"),
    [
        (SequenceMean(), lambda rows: sum(sum(row) / len(row) for row in rows) / len(rows)),
        (TokenMean(), lambda rows: sum(map(sum, rows)) / sum(map(len, rows))),
        (FixedLength(length=8), lambda rows: sum(map(sum, rows)) / (8 * len(rows))),
    ],
)
def test_averages_are_over_attempts(groups, average, loop):
    batch, _ = pack(groups, GroupNorm())
    losses = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(0))
    assert float(average(losses, batch)) == pytest.approx(loop(by_attempt(groups, losses)), rel=1e-6)


def test_minibatches_count_whole_attempts(groups):
    batch, _ = pack(groups, GroupNorm())
    parts = minibatches(batch, 2, Key.root(0))
    assert sorted((len(part), part.counts.sequences) for part in parts) == [(3, 2), (4, 2)]


def loop_gradient(model, groups):
    """(1 / attempts) sum over attempts of (1 / its tokens) sum over all its tokens of -A log pi, one row at a time."""
    net, total = model.net, 0.0
    attempts = [t for g in groups for t in g.trajectories]
    for t in attempts:
        for part in stretches(t):
            read = torch.from_numpy(np.concatenate([part.prompt_tokens, part.tokens]))
            spread = net(input_ids=read[None]).logits[0].log_softmax(-1)[len(part.prompt_tokens) - 1 : -1]
            logp = spread[torch.arange(len(part.tokens)), torch.from_numpy(part.tokens)]
            written = torch.from_numpy(part.mask)
            total = total - t.advantage * logp[written].sum() / (int(t.mask.sum()) * len(attempts))
    total.backward()
    return {name: p.grad.clone() for name, p in net.named_parameters()}


@pytest.mark.parametrize("budget", [10_000, 12, 1])
def test_the_gradient_is_the_rule_whatever_the_split(groups, budget, tiny_model):
    """On policy, so that the ratio is 1 and the surrogate's gradient is A grad log pi."""
    unknown = [
        Group(g.problem, tuple(dataclasses.replace(t, logp=None) for t in g.trajectories)) for g in groups
    ]  # fmt: skip
    batch, packed = pack(unknown, GroupNorm(std="none"))
    expected = loop_gradient(tiny_model(), packed)
    model = tiny_model()
    before = {name: p.detach().clone() for name, p in model.net.named_parameters()}
    # plain descent can be read off a step whose moments forget at once and whose eps drowns the root
    huge = AdamW(betas=(0.0, 0.0), eps=1e6, clip_norm=None)
    report = TorchLearner(model, token_budget=budget).step(batch, ClipHigher(), SequenceMean(), huge, 1e6)
    norm = sum(float(g.square().sum()) for g in expected.values()) ** 0.5
    assert report.metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)
    for name, weight in model.net.named_parameters():
        torch.testing.assert_close(before[name] - weight.detach(), expected[name], rtol=1e-3, atol=2e-6)


def test_later_contexts_need_not_be_learned_from_together(groups, tiny_model):
    """Only rows that read the same prompt stay together, or a long attempt would be one large micro-batch."""
    batch, _ = pack(groups, GroupNorm())
    assert sharing(batch) == [0, 0, 4, 5, 1, 7, 1]
    same = dataclasses.replace(batch, prompts=(*batch.prompts[:3], batch.prompts[2], *batch.prompts[4:]))
    assert sharing(same) == sharing(batch), "a thought that goes round in circles has equal contexts"
    whole, _ = pack([Group(g.problem, tuple(t for t in g.trajectories if not t.contexts)) for g in groups], None)
    assert sharing(whole) == [0, 1]
    learner, seen = TorchLearner(tiny_model(), token_budget=1), []
    forward = learner._forward

    def listening(chosen, needs):
        seen.append([prompt.tolist() for prompt in chosen.prompts])
        return forward(chosen, needs)

    learner._forward = listening
    learner.step(batch, ClipHigher(), SequenceMean(), GENTLE, 1e-3)
    assert sorted(map(len, seen)) == [1, 1, 1, 2, 2]
    assert all(len(set(map(tuple, prompts))) == 1 for prompts in seen)


def test_a_micro_batch_leaves_nothing_behind(groups, tiny_model):
    """Tensors in a reference cycle would pile up over the rows of a long attempt until Python looks for cycles."""
    batch, _ = pack(groups, GroupNorm())
    learner = TorchLearner(tiny_model(), token_budget=1)
    learner.step(batch, ClipHigher(), SequenceMean(), GENTLE, 1e-3)
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        learner.step(batch, ClipHigher(), SequenceMean(), GENTLE, 1e-3)
        gc.collect()
        left = [thing for thing in gc.garbage if isinstance(thing, torch.Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left


def test_terms_count_the_attempts_of_their_own_origin(groups, tiny_model):
    """A demonstration of three contexts is one demonstration."""
    shown = dataclasses.replace(groups[0].trajectories[1], origin="expert")
    batch, _ = pack([Group(problem(0), (groups[0].trajectories[0], shown)), groups[1]], None)
    term = Term(objective=CrossEntropy(), origins=("expert",))
    alone, _ = pack([Group(problem(0), (shown,))], None)
    values = [
        TorchLearner(tiny_model()).step(given, (term,), SequenceMean(), GENTLE, 1e-3).metrics["loss"]
        for given in (batch, alone)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_noted_numbers_are_those_of_each_context(groups, tiny_model):
    model = tiny_model()
    noted = TorchLearner(model).annotate(groups, {"logp"})
    for before, after in zip(groups, noted, strict=True):
        for old, new in zip(before.trajectories, after.trajectories, strict=True):
            expected = []
            for part in stretches(old):
                read = torch.from_numpy(np.concatenate([part.prompt_tokens, part.tokens]))
                with torch.no_grad():
                    spread = model.net(input_ids=read[None]).logits[0].log_softmax(-1)[len(part.prompt_tokens) - 1 : -1]
                values = spread[torch.arange(len(part.tokens)), torch.from_numpy(part.tokens)]
                expected += torch.where(torch.from_numpy(part.mask), values, 0.0).tolist()
            assert new.signals["logp"].tolist() == pytest.approx(expected, abs=1e-4)
            assert new.contexts is old.contexts


def test_a_context_in_which_nothing_is_learned_from_is_no_obstacle(groups, tiny_model):
    """A curator may have hidden a whole stretch."""
    mask = np.array([False, False, True, True, True, False])
    hidden = dataclasses.replace(groups[0].trajectories[1], mask=mask, advantage=1.0)
    batch, packed = pack([Group(problem(0), (hidden,))], None)
    assert batch.share.tolist() == [0, 1, 0]
    assert batch.counts == Counts(tokens=3, sequences=1, groups=1)
    learner = TorchLearner(tiny_model(), token_budget=1)
    [noted] = learner.annotate(packed, {"logp"})
    assert (noted.trajectories[0].signals["logp"] != 0).tolist() == mask.tolist()
    assert learner.step(batch, ClipHigher(), SequenceMean(), GENTLE, 1e-3).metrics["rows/used"] == 1


def test_a_loss_of_whole_responses_is_refused(groups, tiny_model):
    batch, _ = pack(groups, GroupNorm())
    with pytest.raises(ConfigError, match="ClipSequence belongs to a whole response"):
        TorchLearner(tiny_model()).step(batch, ClipSequence(), SequenceMean(), GENTLE, 1e-3)


def test_answers_inside_an_attempt_have_verdicts_of_their_own():
    def exact(response, asked):
        return Verdict("right" if response == asked.reference else "wrong", answer=response)

    turns = [
        Trajectory(problem=problem(0), sample=1, text="5", answers=("4", "5")),
        Trajectory(problem=problem(0), sample=0, text="4"),
    ]
    with JudgePool(exact) as judge:
        [group] = score([problem(0)], turns, judge)
    assert [t.verdict.outcome for t in group.trajectories] == ["wrong", "right"]
    assert [[v.outcome for v in t.verdicts] for t in group.trajectories] == [[], ["wrong", "right"]]
