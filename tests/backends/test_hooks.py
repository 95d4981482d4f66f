"""Hooks and stop ids of requests on the torch sampler, against plain forward passes of the whole text."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from strop.backends.torch.sampler import TorchSampler
from strop.errors import BackendError
from strop.keys import Key
from strop.records import Request

KINDS = ["qwen3", "gpt2", "mistral", "mamba"]
"""Fused, continuous, and two that run in waves, of which mamba has another cache."""


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def requests(hook=None, samples=3, lengths=(3, 9, 5, 9), **how):
    rng = np.random.default_rng(3)
    return [
        Request(
            prompt=rng.integers(4, 58, size=n),
            seeds=[Key.root(0).fold(i, s).uint64() for s in range(samples)],
            max_tokens=how.get("max_tokens", 6 + 3 * i),
            hook=hook,
            stop=how.get("stop", ()),
        )
        for i, n in enumerate(lengths)
    ]


def run(sampler, asked):
    return {(c.request, c.sample): c for c in sampler.generate(asked)}


@dataclass(eq=False)
class Own:
    """Adds to the logits of every row a vector of its own, hashed from the row's seed and how far it is."""

    layer: int | None = None
    calls: list[int] = field(default_factory=list)

    def states(self, states, ids, drawn):
        return states

    def begin(self, rows):
        assert len(rows.prompts) == len(rows.request) == len(rows.sample) == len(rows.seed)
        return _Rows(self, [int(seed) for seed in rows.seed])


@dataclass(eq=False)
class _Rows:
    hook: Own
    seeds: list[int]

    def logits(self, logits, drawn):
        assert len(logits) == len(drawn) == len(self.seeds)
        self.hook.calls.append(len(logits))
        return logits + torch.stack([bias(seed, drawn.shape[1], logits.shape[1]) for seed in self.seeds])

    def keep(self, rows):
        self.seeds = [self.seeds[row] for row in rows.tolist()]


def bias(seed, position, size):
    values = np.random.default_rng([seed % 2**32, position]).normal(scale=2.0, size=size)
    return torch.from_numpy(values).float()


class Idle(Own):
    def begin(self, rows):
        idle = super().begin(rows)
        idle.logits = lambda logits, drawn: logits
        return idle


@dataclass(eq=False)
class Shift(Idle):
    """Adds a vector to the states of drawn tokens with an even id."""

    layer: int | None = 0
    push: torch.Tensor | None = None

    def states(self, states, ids, drawn):
        return states + (drawn & (ids % 2 == 0))[..., None] * self.push


def full_pass_logits(net, prompt, tokens):
    text = torch.from_numpy(np.concatenate([prompt, tokens]))[None]
    with torch.no_grad():
        return net(input_ids=text, use_cache=False).logits[0, len(prompt) - 1 : -1].float()


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_that_changes_nothing_changes_nothing(tiny_model, kind):
    sampler = TorchSampler(tiny_model(kind), slots=5, precision="fp32")
    expected, actual = run(sampler, requests()), run(sampler, requests(Idle()))
    assert expected.keys() == actual.keys()
    for name in expected:
        np.testing.assert_array_equal(actual[name].tokens, expected[name].tokens)
        np.testing.assert_allclose(actual[name].logp, expected[name].logp, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slots", [4, 64])
def test_logp_is_that_of_the_changed_distribution_row_by_row(tiny_model, kind, slots):
    model = tiny_model(kind)
    asked = requests(Own())
    found = run(TorchSampler(model, slots=slots, precision="fp32"), asked)
    assert len(found) == 12
    for (r, s), completion in found.items():
        plain = full_pass_logits(model.net, asked[r].prompt, completion.tokens)
        own = torch.stack([bias(asked[r].seeds[s], t, plain.shape[1]) for t in range(len(plain))])
        expected = (plain + own).log_softmax(-1).gather(1, torch.from_numpy(completion.tokens)[:, None])[:, 0]
        np.testing.assert_allclose(completion.logp, expected.numpy(), atol=1e-4)


def test_one_call_of_a_hook_serves_all_rows_of_a_step(tiny_model):
    hook = Own()
    run(TorchSampler(tiny_model("qwen3"), slots=64, precision="fp32"), requests(hook, max_tokens=5))
    assert len(hook.calls) <= 5
    assert hook.calls[0] == 12


def test_requests_without_a_hook_are_drawn_as_if_alone(tiny_model):
    sampler = TorchSampler(tiny_model("qwen3"), slots=5, precision="fp32")
    plain = requests()
    first, second = Own(), Idle()
    mixed = [replace(request, hook=(None, first, second, None)[i]) for i, request in enumerate(plain)]
    alone, together = run(sampler, plain), run(sampler, mixed)
    assert alone.keys() == together.keys()
    for (r, s), completion in together.items():
        same = np.array_equal(completion.tokens, alone[r, s].tokens)
        assert same == (r != 1), f"request {r}"


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_changed_where_tokens_were_drawn(tiny_model, kind):
    model = tiny_model(kind)
    push = torch.linspace(-2.0, 2.0, 32)
    hook = Shift(push=push)
    asked = requests(hook)
    found = run(TorchSampler(model, slots=5, precision="fp32"), asked)
    layers = next(m for m in model.net.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 2)
    changed = 0
    for (r, _), completion in found.items():
        text = np.concatenate([asked[r].prompt, completion.tokens])
        here = torch.from_numpy((text % 2 == 0) & (np.arange(len(text)) >= len(asked[r].prompt)))
        before = full_pass_logits(model.net, asked[r].prompt, completion.tokens)

        def pushed(_, __, out, here=here):
            states = out[0] if isinstance(out, tuple) else out
            states = states + here[None, :, None] * push
            return (states, *out[1:]) if isinstance(out, tuple) else states

        handle = layers[0].register_forward_hook(pushed)
        after = full_pass_logits(model.net, asked[r].prompt, completion.tokens)
        handle.remove()
        changed += int((after - before).abs().max() > 0.1)
        expected = after.log_softmax(-1).gather(1, torch.from_numpy(completion.tokens)[:, None])[:, 0]
        np.testing.assert_allclose(completion.logp, expected.numpy(), atol=1e-4)
    assert changed > 6


def test_a_layer_that_is_not_there_is_named(tiny_model):
    sampler = TorchSampler(tiny_model("qwen3"), precision="fp32")
    with pytest.raises(BackendError, match=r"layers 0 to 1.*asks for layer 2"):
        run(sampler, requests(Shift(layer=2, push=torch.zeros(32))))


def test_a_hook_leaves_the_net_alone(tiny_model):
    model = tiny_model("qwen3")
    run(TorchSampler(model, precision="fp32"), requests(Shift(push=torch.ones(32))))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.net.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_stop_ids_end_their_own_request(tiny_model, kind):
    sampler = TorchSampler(tiny_model(kind), slots=5, precision="fp32")
    whole = run(sampler, requests(max_tokens=14))
    stop = int(whole[1, 0].tokens[len(whole[1, 0].tokens) // 2])
    asked = [replace(request, stop=(stop,) if i == 1 else ()) for i, request in enumerate(requests(max_tokens=14))]
    found = run(sampler, asked)
    for (r, s), completion in found.items():
        tokens = whole[r, s].tokens
        hits = (tokens == stop).nonzero()[0] if r == 1 else []
        expected = tokens[: hits[0] + 1] if len(hits) else tokens
        np.testing.assert_array_equal(completion.tokens, expected)
        assert completion.finish == ("stop" if len(hits) else whole[r, s].finish)
    assert len(found[1, 0].tokens) < len(whole[1, 0].tokens)
