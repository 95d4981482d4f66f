"""What the learner computes beside log-probabilities: teachers, references, values, and numbers noted for rewards."""

import dataclasses

import numpy as np
import pytest
import torch
from learner_loops import assert_close, loop_logp, random_batch, weights
from torch import nn

from strop.backends.torch import learner as learner_module
from strop.backends.torch.learner import TorchLearner
from strop.contracts import _examples
from strop.errors import BackendError
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.objectives.regularisation.reference_kl import ReferenceKL
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.recipe import AdamW


class Matches:
    """Cross-entropy against a teacher's distribution, and the teacher's own log-probability of the token."""

    needs = ("logits", "teacher_logits", "teacher_logp", "ref_logits")
    whole_groups = skips_zero_advantage = False

    def __call__(self, logp, batch):
        soft = batch.teacher_logits.softmax(-1) + batch.ref_logits.softmax(-1)
        return -(soft * batch.logits.log_softmax(-1)).sum(-1) - batch.teacher_logp.exp() * logp

    def log(self, logp, batch):
        return {"teacher": batch.teacher_logp}


@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_teacher_and_reference_logits(kind, tiny_model):
    """The teacher reads prompts of its own; neither it nor the reference gets a gradient."""
    batch = random_batch(rows=4)
    knows = tuple(np.concatenate([prompt, [3, 4]]) for prompt in batch.prompts)
    batch = dataclasses.replace(batch, teacher_prompts=knows)
    model, teacher = tiny_model(kind), tiny_model(kind, seed=3)

    def logits(net, prompts):
        found = torch.zeros(*batch.tokens.shape, 58)
        for row, prompt in enumerate(prompts):
            read = torch.cat([torch.from_numpy(prompt), batch.tokens[row]])
            found[row] = net(input_ids=read[None]).logits[0, len(prompt) - 1 : -1]
        return found

    own, theirs = logits(model.net, batch.prompts), logits(teacher.net, knows).detach()
    at = batch.tokens[:, :, None]
    full = dataclasses.replace(
        batch, logits=own, teacher_logits=theirs, ref_logits=own.detach(),
        teacher_logp=theirs.log_softmax(-1).gather(2, at)[:, :, 0],
    )  # fmt: skip
    loss = TokenMean()(Matches()(own.log_softmax(-1).gather(2, at)[:, :, 0], full), full)
    expected = torch.autograd.grad(loss, list(model.net.parameters()), allow_unused=True)
    norm = torch.stack([g.norm() for g in expected if g is not None]).norm()
    learner = TorchLearner(model, teacher=teacher, token_budget=24)
    report = learner.step(batch, Matches(), TokenMean(), AdamW(), 1e-3)
    assert report.metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    assert report.metrics["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
    with pytest.raises(BackendError, match="there is no teacher"):
        TorchLearner(tiny_model(kind)).step(batch, Matches(), TokenMean(), AdamW(), 1e-3)


@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_many_logits_split_the_step_without_changing_it(kind, tiny_model, monkeypatch):
    """A large vocabulary makes micro-batches smaller where logits are built, and only there."""
    batch = random_batch(rows=8)
    seen = []
    for bound in (1 << 27, 58 * 24):
        monkeypatch.setattr(learner_module, "_LOGITS", bound)
        for objective in (Matches(), ClipHigher()):
            learner = TorchLearner(tiny_model(kind), teacher=tiny_model(kind, seed=3))
            calls = []
            monkeypatch.setattr(learner, "_forward", counted(learner._forward, calls))
            seen.append((learner.step(batch, objective, TokenMean(), AdamW(), 1e-3).metrics["grad_norm"], len(calls)))
    (norm, parts), (clip_norm, clip_parts), (small_norm, small_parts), (clip_small_norm, clip_small_parts) = seen
    assert small_norm == pytest.approx(norm, rel=1e-5)
    assert clip_small_norm == pytest.approx(clip_norm, rel=1e-5)
    assert parts == clip_parts == 1
    assert small_parts > 2
    # Gemma 2 caps its logits, so that even log-probabilities need them all
    assert (clip_small_parts > 2) == (kind == "gemma2")


def counted(call, calls):
    def called(*given):
        calls.append(1)
        return call(*given)

    return called


class Returns:
    needs = ("value",)
    whole_groups = skips_zero_advantage = False

    def __call__(self, logp, batch):
        return (batch.value - batch.signals["return"]).square()

    def log(self, logp, batch):
        return {"value": batch.value}


def test_value_head_learns_and_is_saved(tiny_model):
    batch = random_batch()
    batch = dataclasses.replace(batch, signals={"return": batch.mask * 2.0})
    learner = TorchLearner(tiny_model(), with_values=True)
    reports = [learner.step(batch, Returns(), TokenMean(), AdamW(), 3e-2).metrics for _ in range(30)]
    assert reports[0]["value"] == 0
    assert reports[0]["loss"] == pytest.approx(4.0)
    assert reports[-1]["loss"] < 0.5
    other = TorchLearner(tiny_model(seed=4), with_values=True)
    other.restore(learner.state())
    torch.testing.assert_close(other.values.weight, learner.values.weight)
    with pytest.raises(BackendError, match="no value head"):
        TorchLearner(tiny_model()).step(batch, Returns(), TokenMean(), AdamW(), 1e-3)


def test_annotate_notes_what_is_asked_for(tiny_model):
    model = tiny_model()
    learner = TorchLearner(model, with_values=True, token_budget=20)
    learner.set_reference()
    learner.step(random_batch(), CrossEntropy(), TokenMean(), AdamW(), 1e-2)
    given = [_examples.group(("right", "wrong", "right"), 0), _examples.group(("right", "wrong"), 1)]
    given[0] = dataclasses.replace(
        given[0], trajectories=(*given[0].trajectories[:2], dataclasses.replace(given[0].trajectories[2], dropped="x"))
    )
    blank = [
        dataclasses.replace(g, trajectories=tuple(dataclasses.replace(t, signals={}) for t in g.trajectories))
        for g in given
    ]
    noted = learner.annotate(blank, {"logp", "ref_logp", "entropy", "value"})
    assert noted[0].trajectories[2].signals == {}
    for each in noted[0].trajectories[:2] + noted[1].trajectories:
        tokens = torch.from_numpy(each.tokens)
        read = torch.cat([torch.from_numpy(each.prompt_tokens), tokens])
        spread = model.net(input_ids=read[None]).logits[0, len(each.prompt_tokens) - 1 : -1].log_softmax(-1)
        expected = spread.gather(1, tokens[:, None])[:, 0].detach()
        torch.testing.assert_close(torch.from_numpy(each.signals["logp"]), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(
            torch.from_numpy(each.signals["entropy"]), -(spread.exp() * spread).sum(-1).detach(), rtol=0, atol=1e-4
        )
        assert abs(each.signals["ref_logp"] - each.signals["logp"]).max() > 1e-3
        assert each.signals["value"].tolist() == [0.0] * len(tokens)
        assert each.advantage == 0
    assert learner.annotate(given, ()) == given


def test_annotate_reads_each_attempt_at_its_own_temperature(tiny_model):
    model = tiny_model()
    given = _examples.group(("right", "wrong"), 0)
    warm, plain = (dataclasses.replace(t, temperature=x) for t, x in zip(given.trajectories, (0.5, 1.0), strict=True))
    [noted] = TorchLearner(model).annotate([dataclasses.replace(given, trajectories=(warm, plain))], {"logp"})
    for each in noted.trajectories:
        tokens = torch.from_numpy(each.tokens)
        read = torch.cat([torch.from_numpy(each.prompt_tokens), tokens])
        logits = model.net(input_ids=read[None]).logits[0, len(each.prompt_tokens) - 1 : -1] / each.temperature
        expected = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].detach()
        torch.testing.assert_close(torch.from_numpy(each.signals["logp"]), expected, rtol=0, atol=1e-4)


def test_reference_is_renewed_when_its_number_rises(tiny_model):
    learner = TorchLearner(tiny_model())
    learner.set_reference(0)
    first = learner.reference
    learner.step(random_batch(), CrossEntropy(), TokenMean(), AdamW(), 1e-2)
    learner.set_reference(0)
    assert learner.reference is first
    learner.set_reference(1)
    assert (learner.reference[0] - first[0]).abs().max() > 1e-3
    other = TorchLearner(tiny_model(seed=2))
    other.restore(learner.state())
    assert other.reference_number == 1


@dataclasses.dataclass(frozen=True)
class Reader:
    """An objective that reads logits and hidden states, and reaches the same loss through them."""

    head: nn.Module
    needs = ("logits", "hidden")
    whole_groups = False
    skips_zero_advantage = False

    def __call__(self, logp, batch):
        spread = batch.logits.log_softmax(-1).gather(2, batch.tokens[:, :, None])[:, :, 0]
        again = self.head(batch.hidden).log_softmax(-1).gather(2, batch.tokens[:, :, None])[:, :, 0]
        return -(spread + again) / 2

    def log(self, logp, batch):
        return {"difference": (logp - self(logp, batch).neg()).abs()}


def test_objectives_get_logits_and_hidden_states_with_gradient(tiny_model):
    batch = random_batch()
    models = [tiny_model(), tiny_model()]
    plain = TorchLearner(models[0]).step(batch, CrossEntropy(), TokenMean(), AdamW(), 1e-3)
    reader = Reader(models[1].net.get_output_embeddings())
    read = TorchLearner(models[1], token_budget=40).step(batch, reader, TokenMean(), AdamW(), 1e-3)
    assert_close(weights(models[1]), weights(models[0]), atol=2e-5)
    assert read.metrics["difference"] < 1e-5
    assert read.metrics["loss"] == pytest.approx(plain.metrics["loss"], rel=1e-5)


def test_reference_stays_where_it_was_set(tiny_model):
    batch = random_batch()
    model = tiny_model()
    learner = TorchLearner(model)
    learner.set_reference()
    with torch.no_grad():
        expected = loop_logp(model.net, batch)
    for _ in range(3):
        learner.step(batch, CrossEntropy(), TokenMean(), AdamW(weight_decay=0.1, clip_norm=0.5), 1e-2)
    actual = learner.prepare(batch, ReferenceKL()).ref_logp
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    assert (learner.logp(batch) - expected).abs().max() > 0.1
