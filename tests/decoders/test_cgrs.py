"""Certainty-guided suppression on a tiny model of random weights, looked at step by step."""

import math

import numpy as np
import pytest
import torch

from strop.backends.torch.sampler import TorchSampler
from strop.decoders._hooks import Suppression, hit
from strop.decoders.cgrs import Cgrs
from strop.errors import BackendError
from strop.records import Request


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def ids(sampler, *words):
    return tuple(int(sampler.tokenizer.encode(word)[0]) for word in words)


@pytest.mark.parametrize("chance", [0.0, 0.4, 1.0])
def test_a_trigger_is_struck_out_exactly_where_the_hash_says(tiny, chance):
    sampler = tiny()
    banned = tuple(range(4, 30))
    seeds = [11, 12, 13]
    hook = Suppression(banned, dict.fromkeys(seeds, chance))
    request = Request(prompt=np.array([5, 14, 3, 6]), seeds=seeds, max_tokens=12, hook=hook)
    seen = set()
    for done in sampler.generate([request]):
        text = torch.from_numpy(np.concatenate([request.prompt, done.tokens]))[None]
        with torch.no_grad():
            logits = sampler.model.net(input_ids=text).logits[0, 3:-1]
        for t, token in enumerate(done.tokens):
            struck = hit(seeds[done.sample], t, chance)
            seen.add(struck)
            assert not (struck and token in banned)
            row = logits[t].clone()
            if struck:
                row[list(banned)] = -torch.inf
            assert done.logp[t] == pytest.approx(float(row.log_softmax(-1)[token]), abs=1e-4)
    assert seen == {0.0: {False}, 0.4: {False, True}, 1.0: {True}}[chance]


def test_hits_are_as_frequent_as_asked():
    share = sum(hit(seed, t, 0.3) for seed in range(40) for t in range(100)) / 4000
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 4000))


def test_triggers_are_found_in_any_form(tiny):
    sampler = tiny()
    assert Cgrs(triggers=("WAIT", "check"))._ids(sampler.tokenizer) == tuple(sorted(ids(sampler, "wait", "check")))


def test_always_suppressed_words_never_come(tiny, draw):
    every = tuple("abcdefghijklmnopqrstuvwxyz")
    found = draw(Cgrs(triggers=every, constant=1.0), tiny(), budget=6, max_tokens=20)
    assert not any(c.isalpha() for t in found.attempts for c in t.text.replace("<think>", "").replace("</think>", "")
                   .replace("yes", "").replace("no", "").replace("wait", "").replace("check", ""))  # fmt: skip
    plain = draw(Cgrs(triggers=every, constant=0.0), tiny(), budget=6, max_tokens=20)
    assert any(c in every for t in plain.attempts for c in t.text)


def test_without_suppression_attempts_are_plain_ones(tiny, draw):
    from strop.decoders.first_finish import FirstFinish

    sampler = tiny()
    (expected,) = draw(FirstFinish(), sampler, max_tokens=20).attempts
    (actual,) = draw(Cgrs(constant=0.0), sampler, max_tokens=20).attempts
    np.testing.assert_array_equal(actual.tokens, expected.tokens)


def test_side_answers_are_asked_at_steps_and_their_certainty_sets_the_chance(tiny, draw):
    sampler = tiny()
    # whatever this model writes third ends its steps
    step = draw(Cgrs(constant=0.0), sampler, max_tokens=20).attempts[0].text[2]
    asked = []

    class Watching(TorchSampler):
        def generate(self, requests):
            for done in super().generate(requests):
                asked.append((requests[done.request], done))
                yield done

    sampler.__class__ = Watching
    decoder = Cgrs(delta=0.0, triggers=("a",), probe_tokens=3, separators=(step,))
    found = draw(decoder, sampler, max_tokens=30)
    end = int(sampler.tokenizer.encode("</think>")[0])
    probes = [(r, d) for r, d in asked if r.temperature == 0]
    steps = [r for r, _ in asked if isinstance(r.hook, Suppression)]
    assert probes
    assert all(r.prompt[-1] == end for r, _ in probes)
    for (request, done), after in zip(probes, steps[1:], strict=False):
        text = torch.from_numpy(np.concatenate([request.prompt, done.tokens]))[None]
        with torch.no_grad():
            p = sampler.model.net(input_ids=text).logits[0, len(request.prompt) - 1 : -1].softmax(-1).double()
        spread = float(-(p * p.log()).sum(-1).mean())
        expected = max(0.0, 1 - spread / math.log(sampler.tokenizer.vocab_size))
        assert list(after.hook.probability.values()) == pytest.approx([expected], abs=1e-4)
    assert found.cost.tokens == sum(len(d.tokens) for _, d in asked)


def test_a_sampler_without_hooks_is_refused(scripted, draw):
    with pytest.raises(BackendError, match=r"Cgrs .* Scripted .* only the torch sampler"):
        draw(Cgrs(), scripted(lambda text, sample: "5"))
