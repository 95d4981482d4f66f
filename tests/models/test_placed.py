"""A model on a GPU: on one that is pretended, so that whatever forgets to move is found without one."""

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from strop import catalogue, flow
from strop.advantages.group_norm import GroupNorm
from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.ranks import mean_states, token_scores
from strop.backends.torch.sampler import TorchSampler
from strop.batching import pack
from strop.models import language_model
from strop.models.language_model import accelerator, placed
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.recipe import AdamW, override
from strop.records import Group, Problem, Request, Trajectory, Turn
from tests.pretended import GPU, Mixed, pretended_gpu

PROMPTS = ("12+7", "9*8-5", "47+3*8-12")


@pytest.fixture
def nano():
    model = language_model.load("nano")
    return replace(model, net=copy.deepcopy(model.net))


@pytest.fixture
def twin(nano):
    return replace(nano, net=copy.deepcopy(nano.net))


def requests_for(sampler):
    return [Request(prompt=sampler.tokenizer.prompt([Turn("user", p)]), seeds=[1, 2], max_tokens=40) for p in PROMPTS]


def drawn(sampler):
    return {(c.request, c.sample): (c.tokens.tolist(), c.logp) for c in sampler.generate(requests_for(sampler))}


def groups(tokenizer):
    """Two problems with three attempts each, of unequal lengths and rewards."""
    found = []
    for number, text in enumerate(PROMPTS[:2]):
        turns = (Turn("user", text),)
        problem = Problem(id=str(number), task="arithmetic", prompt=turns, reference="1")
        attempts = [
            Trajectory(
                problem=problem, sample=i, text="", prompt_tokens=tokenizer.prompt(turns), reward=float(i == 1),
                tokens=np.arange(5, 8 + i + number), logp=np.full(3 + i + number, -1, np.float32),
            )
            for i in range(3)
        ]  # fmt: skip
        found.append(Group(problem, tuple(attempts)))
    return found


def test_without_a_gpu_a_model_stays_where_it_is(nano):
    assert accelerator() == torch.device("cpu")
    assert placed(nano).net.device == torch.device("cpu")


@pytest.mark.parametrize("path", ["fused", "continuous", "waves"])
def test_a_sampler_there_draws_what_it_draws_here(nano, twin, monkeypatch, path):
    here = TorchSampler(twin, slots=4, precision="fp32")
    monkeypatch.setattr(TorchSampler, "path", path)
    expected = drawn(here)
    with pretended_gpu(monkeypatch):
        there = TorchSampler(placed(nano), slots=4, precision="fp32")
        assert nano.net.device == GPU
        actual = drawn(there)
    assert {place: tokens for place, (tokens, _) in actual.items()} == {
        p: tokens for p, (tokens, _) in expected.items()
    }
    for place, (_, logp) in actual.items():
        np.testing.assert_allclose(logp, expected[place][1], atol=1e-4)


def test_which_path_a_model_takes_is_found_out_there(nano, monkeypatch):
    expected = TorchSampler(nano, precision="fp32").path
    with pretended_gpu(monkeypatch):
        assert TorchSampler(placed(nano), precision="fp32").path == expected


def learned(model):
    learner = TorchLearner(model, keep_start=True)
    learner.set_reference()
    tables = learner.annotate(groups(model.tokenizer), {"logp", "entropy", "ref_logp"})
    batch, _ = pack(tables, GroupNorm())
    report = learner.step(batch, ClipHigher(), TokenMean(), AdamW(lr=1e-3), 1e-3)
    state = learner.state()
    learner.restore(state)
    signals = [trajectory.signals for group in tables for trajectory in group.trajectories]
    return report.metrics, signals, {n: weight.detach().cpu() for n, weight in model.net.named_parameters()}


def test_a_learner_there_learns_what_it_learns_here(nano, twin, monkeypatch, tmp_path):
    metrics, signals, weights = learned(twin)
    with pretended_gpu(monkeypatch):
        actual, seen, moved = learned(placed(nano))
        language_model.save(nano, tmp_path)
    for name, value in metrics.items():
        assert actual[name] == pytest.approx(value, rel=1e-3, abs=2e-3), name
    for ours, theirs in zip(seen, signals, strict=True):
        for name, values in theirs.items():
            np.testing.assert_allclose(ours[name], values, atol=1e-3)
    for name, weight in weights.items():
        # one step of Adam moves every weight by the learning rate, in the direction of a sign that rounding may turn
        assert (moved[name] - weight).abs().mean() < 2e-4
    saved = dict(language_model.load(tmp_path).net.named_parameters())
    torch.testing.assert_close(saved["model.norm.weight"].detach(), moved["model.norm.weight"])


def test_all_of_a_batch_goes_there(nano, monkeypatch):
    batch, _ = pack(TorchLearner(nano).annotate(groups(nano.tokenizer), {"logp", "entropy"}), GroupNorm())
    assert batch.signals
    with pretended_gpu(monkeypatch):
        there = TorchLearner(placed(nano))._to_device(batch)
        tensors = [value for value in (getattr(there, field.name) for field in fields(there)) if torch.is_tensor(value)]
        assert {each.device for each in (*tensors, *there.signals.values())} == {GPU}


def test_what_reads_a_model_reads_it_there(nano, twin, monkeypatch):
    prompt, tokens = np.arange(5, 12), np.arange(20, 26)
    logp, ranks = token_scores(twin.net, prompt, tokens)
    states = mean_states(twin.net, [prompt, tokens])
    with pretended_gpu(monkeypatch):
        net = placed(nano).net
        own = token_scores(net, prompt, tokens)
        actual = mean_states(net, [prompt, tokens])
    np.testing.assert_allclose(own[0], logp, atol=1e-4)
    np.testing.assert_array_equal(own[1], ranks)
    np.testing.assert_allclose(actual, states, atol=1e-4)


@pytest.mark.parametrize("name", ["ppo", "gkd"])
def test_a_run_goes_there(name, monkeypatch, tmp_path):
    """Samples, annotates, learns, saves and goes on there: values of critic and teacher, too."""
    made = catalogue.load(f"recipes/{name}")(steps=1)
    settings = ["stages.0.problems=4", "heldout.problems=2", "teacher=nano" if name == "gkd" else "seed=1"]
    with pretended_gpu(monkeypatch):
        done = flow.run(override(made, settings), out=tmp_path / "run")
    assert done.metrics["rows/used"].to_pylist()[-1] > 0


def test_what_forgets_to_move_is_found(nano, monkeypatch):
    with pretended_gpu(monkeypatch):
        net = placed(nano).net
        with pytest.raises(Mixed):
            net(input_ids=torch.arange(5)[None])
        with pytest.raises(Mixed, match="numpy"):
            net.lm_head.weight.detach().numpy()
