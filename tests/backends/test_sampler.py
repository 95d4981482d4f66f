"""The torch sampler against a plain forward pass and transformers' own `generate`, on tiny random models."""

import json
import warnings
from collections import Counter

import mpmath
import numpy as np
import pytest
import torch

from strop.backends.torch.continuous import ContinuousBatch
from strop.backends.torch.draw import Shaping, draw, uniforms
from strop.backends.torch.precision import resolve
from strop.backends.torch.sampler import TorchSampler
from strop.errors import BackendError, ConfigError
from strop.keys import Key
from strop.models.chat_tokenizer import ChatTokenizer
from strop.models.language_model import LanguageModel
from strop.records import Request

FUSED = ["qwen3", "qwen2", "llama"]
CONTINUOUS = [*FUSED, "gpt2"]
PLAIN = ["mistral", "gemma2", "mamba"]
LENGTHS = (3, 9, 1, 5)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def requests(samples=4, max_tokens=14, lengths=LENGTHS, **how):
    rng = np.random.default_rng(3)
    return [
        Request(
            prompt=rng.integers(4, 58, size=n),
            seeds=[Key.root(0).fold(i, s).uint64() for s in range(samples)],
            max_tokens=max_tokens,
            **how,
        )
        for i, n in enumerate(lengths)
    ]


def by_sample(completions):
    found = {(c.request, c.sample): c for c in completions}
    assert len(found) == len(completions), "a sample came twice"
    return found


def full_pass_logp(net, prompt, tokens):
    """Log-probability of each token by one forward pass over the whole text, without a cache."""
    text = torch.from_numpy(np.concatenate([prompt, tokens]))[None]
    with torch.no_grad():
        logp = net(input_ids=text, use_cache=False).logits[0].float().log_softmax(-1)
    return np.array([float(logp[len(prompt) - 1 + t, token]) for t, token in enumerate(tokens)])


def with_eos(model, ids):
    """The same net with a tokenizer that ends responses on any of `ids`."""
    return LanguageModel(model.net, ChatTokenizer(model.tokenizer.hf, ids), "", model.context)


@pytest.mark.parametrize("kind", [*CONTINUOUS, *PLAIN])
def test_logp_is_that_of_a_full_forward_pass(tiny_model, kind):
    model = tiny_model(kind)
    sampler = TorchSampler(model, slots=5, precision="fp32")
    asked = requests()
    found = by_sample(list(sampler.generate(asked)))
    assert sampler.path == ("fused" if kind in FUSED else "continuous" if kind == "gpt2" else "waves")
    assert set(found) == {(r, s) for r in range(4) for s in range(4)}
    for (r, _), completion in found.items():
        expected = full_pass_logp(model.net, asked[r].prompt, completion.tokens)
        np.testing.assert_allclose(completion.logp, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_bf16_logp_is_near_that_of_an_fp32_forward_pass(tiny_model, kind):
    model = tiny_model(kind)
    asked = requests()
    errors = [
        completion.logp - full_pass_logp(model.net, asked[completion.request].prompt, completion.tokens)
        for completion in TorchSampler(model, slots=5, precision="bf16").generate(asked)
    ]
    # logits here have a standard deviation of about 1; 8 bits of mantissa through two layers leave a few hundredths
    assert np.abs(np.concatenate(errors)).mean() < 0.05
    assert np.abs(np.concatenate(errors)).max() < 0.5
    assert model.net.dtype == torch.float32


@pytest.mark.parametrize("kind", [*CONTINUOUS, *PLAIN])
def test_greedy_is_what_generate_writes(tiny_model, kind):
    model = tiny_model(kind, seed=1)
    asked = requests(samples=1, temperature=0.0)
    for completion in TorchSampler(model, slots=3, precision="fp32").generate(asked):
        prompt = torch.from_numpy(asked[completion.request].prompt)[None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = model.net.generate(
                input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=14,
                eos_token_id=sorted(model.tokenizer.eos_ids), pad_token_id=0,
            )  # fmt: skip
        expected = text[0, prompt.shape[1] :].numpy()
        np.testing.assert_array_equal(completion.tokens, expected)
        np.testing.assert_array_equal(completion.logp, np.zeros(len(expected)))


@pytest.mark.parametrize("kind", ["qwen3", "gpt2", "mistral"])
def test_slots_and_order_change_nothing(tiny_model, kind):
    model = tiny_model(kind)
    asked = requests(samples=5)
    expected = by_sample(list(TorchSampler(model, slots=64, precision="fp32").generate(asked)))
    for slots in (1, 3, 7):
        turned = list(TorchSampler(model, slots=slots, precision="fp32").generate(asked[::-1]))
        actual = {(len(asked) - 1 - r, s): c for (r, s), c in by_sample(turned).items()}
        assert actual.keys() == expected.keys()
        for name, completion in actual.items():
            np.testing.assert_array_equal(completion.tokens, expected[name].tokens)
            np.testing.assert_allclose(completion.logp, expected[name].logp, atol=1e-4)


def test_mixed_budgets_through_few_slots(tiny_model):
    """Rows come and go at different times: the cache is shifted, grown and refilled on the way."""
    model = tiny_model("qwen3", max_position_embeddings=400)
    rng = np.random.default_rng(0)
    asked = [
        Request(prompt=rng.integers(4, 58, size=int(rng.integers(1, 60))), seeds=[7 * i, 7 * i + 1], max_tokens=int(m))
        for i, m in enumerate((300, 5, 40, 1, 90, 2, 17, 33))
    ]
    silent = with_eos(model, [])
    found = by_sample(list(TorchSampler(silent, slots=3, precision="fp32").generate(asked)))
    assert len(found) == 16
    for (r, _), completion in found.items():
        expected = full_pass_logp(model.net, asked[r].prompt, completion.tokens)
        np.testing.assert_allclose(completion.logp, expected, atol=1e-4)
        if completion.finish == "length":
            assert len(completion.tokens) == asked[r].max_tokens


@pytest.mark.parametrize("kind", ["qwen3", "mistral"])
def test_every_eos_id_stops_and_is_kept(tiny_model, kind):
    model = tiny_model(kind)
    ends = {2, 3, 20, 21, 22, 23, 24, 25}
    completions = list(TorchSampler(with_eos(model, ends), slots=6, precision="fp32").generate(requests(samples=12)))
    last = Counter(int(c.tokens[-1]) for c in completions if c.finish == "stop")
    assert len(set(last) & (ends - {2, 3})) >= 3, "the ids given beside the tokenizer's own must stop rows too"
    for completion in completions:
        assert not set(completion.tokens[:-1].tolist()) & ends
        assert (completion.finish == "stop") == (int(completion.tokens[-1]) in ends)
        assert len(completion.tokens) == len(completion.logp) <= 14


def test_one_token(tiny_model):
    for kind in ("llama", "gemma2"):
        completions = list(TorchSampler(tiny_model(kind), slots=3, precision="fp32").generate(requests(max_tokens=1)))
        assert len(completions) == 16
        assert all(len(c.tokens) == 1 for c in completions)


def test_nothing_asked(tiny_model):
    sampler = TorchSampler(tiny_model())
    assert list(sampler.generate([])) == []
    assert list(sampler.generate([Request(prompt=np.array([5]), seeds=[], max_tokens=3)])) == []


@pytest.mark.parametrize("kind", ["qwen3", "gpt2", "gemma2"])
def test_context_ends_a_response(tiny_model, kind):
    model = with_eos(tiny_model(kind), [])
    asked = [Request(prompt=np.full(90, 5), seeds=list(range(20)), max_tokens=50)]
    asked += [Request(prompt=np.full(2, 5), seeds=[1], max_tokens=50)]
    completions = list(TorchSampler(model, slots=4, precision="fp32").generate(asked))
    cut = [c for c in completions if c.request == 0 and c.finish == "length"]
    assert cut
    assert all(len(c.tokens) == 96 - 90 for c in cut)


def test_errors_name_the_request(tiny_model):
    sampler = TorchSampler(tiny_model())
    fine = Request(prompt=np.array([5]), seeds=[1], max_tokens=3)
    for broken, message in [
        (Request(prompt=np.full(96, 5), seeds=[1], max_tokens=3), "request 1: the prompt has 96 tokens"),
        (Request(prompt=np.array([], dtype=int), seeds=[1], max_tokens=3), "request 1: the prompt is empty"),
        (Request(prompt=np.array([58]), seeds=[1], max_tokens=3), "0 to 57"),
        (Request(prompt=np.array([5]), seeds=[1], max_tokens=0), "max_tokens"),
        (Request(prompt=np.array([5]), seeds=[1], max_tokens=3, top_p=0.0), "top_p"),
    ]:
        with pytest.raises(BackendError, match=message):
            list(sampler.generate([fine, broken]))
    with pytest.raises(ConfigError, match="slots"):
        TorchSampler(tiny_model(), slots=0)


def test_diverged_weights_are_an_error(tiny_model):
    model = tiny_model()
    with torch.no_grad():
        model.net.get_input_embeddings().weight.fill_(float("nan"))
    for temperature in (1.0, 0.0):
        with pytest.raises(BackendError, match="not finite"):
            list(TorchSampler(model, precision="fp32").generate(requests(temperature=temperature)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_changed_in_place_are_seen(tiny_model, precision):
    model, other = tiny_model(seed=0), tiny_model(seed=1)
    sampler = TorchSampler(model, slots=8, precision=precision)
    before = by_sample(list(sampler.generate(requests())))
    with torch.no_grad():
        for mine, new in zip(model.net.parameters(), other.net.parameters(), strict=True):
            mine.copy_(new)
    actual = by_sample(list(sampler.generate(requests())))
    expected = by_sample(list(TorchSampler(other, slots=8, precision=precision).generate(requests())))
    for name in expected:
        np.testing.assert_array_equal(actual[name].tokens, expected[name].tokens)
    assert any(before[n].tokens.tolist() != actual[n].tokens.tolist() for n in before)


@pytest.mark.parametrize("kind", ["qwen3", "mistral"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_net_is_left_alone(tiny_model, kind, precision):
    """Also in the middle of a call: training and sampling may alternate without either noticing."""
    model = tiny_model(kind)
    net = model.net.train()
    weights = {name: (weight, weight.clone()) for name, weight in net.named_parameters()}
    attention = net.config._attn_implementation
    for _ in TorchSampler(model, slots=3, precision=precision).generate(requests()):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert net.training
        assert all(module.training for module in net.modules())
        assert net.config._attn_implementation == attention
    for name, weight in net.named_parameters():
        assert weight is weights[name][0]
        assert weight.requires_grad
        assert torch.equal(weight, weights[name][1])
    net(input_ids=torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters() if weight.grad is not None)


def test_hooks_are_honoured(tiny_model):
    """A steered model is sampled as it computes: its hooks run, on a path that runs them."""
    model = tiny_model("qwen3")
    sampler = TorchSampler(model, slots=5, precision="fp32")
    assert sampler.path == "fused"
    plain = by_sample(list(sampler.generate(requests())))
    push = torch.linspace(-3, 3, 32)
    hook = model.net.get_decoder().layers[0].register_forward_hook(lambda module, args, output: output + push)
    assert sampler.path == "continuous"
    steered = by_sample(list(sampler.generate(requests())))
    for (r, _), completion in steered.items():
        expected = full_pass_logp(model.net, requests()[r].prompt, completion.tokens)
        np.testing.assert_allclose(completion.logp, expected, atol=1e-4)
    assert any(plain[n].tokens.tolist() != steered[n].tokens.tolist() for n in plain)
    hook.remove()
    assert sampler.path == "fused"


def test_rows_finish_before_the_call_does(tiny_model):
    model = with_eos(tiny_model(), [])
    asked = [Request(prompt=np.array([5, 6]), seeds=[1], max_tokens=m) for m in (1, 60)]
    completions = TorchSampler(model, slots=2, precision="fp32").generate(asked)
    assert next(completions).request == 0
    completions.close()


def test_each_prompt_is_run_once(tiny_model, monkeypatch):
    """16 samples through 3 slots: the prompt's keys and values wait for the later samples."""
    model = tiny_model()
    runs = []
    whole = ContinuousBatch._prefill

    def counted(self, asked):
        runs.extend(r for r in asked.tolist() if r not in self.prefills)
        whole(self, asked)

    monkeypatch.setattr(ContinuousBatch, "_prefill", counted)
    assert len(list(TorchSampler(model, slots=3, precision="fp32").generate(requests(samples=16)))) == 64
    assert sorted(runs) == [0, 1, 2, 3]


def shaping(rows, temperature=1.0, top_k=0, top_p=1.0):
    def every(value, dtype):
        return np.full(rows, value, dtype)

    return Shaping.of(
        every(temperature, np.float32), every(top_k, np.int64), every(top_p, np.float32), torch.device("cpu")
    )


def slow_distribution(logits, temperature, top_k, top_p):
    """The distribution by sorting plain Python numbers, and nothing else."""
    weights = [float(np.exp((x - max(logits)) / temperature)) for x in logits]
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    kept = order[: top_k or None]
    total, sum_, chosen = sum(weights[i] for i in kept), 0.0, []
    for i in kept:
        if sum_ >= top_p * total:
            break
        chosen.append(i)
        sum_ += weights[i]
    return np.array([weights[i] / sum_ if i in chosen else 0.0 for i in range(len(weights))])


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1, 0, 1), (0.5, 0, 1), (1, 5, 1), (1, 0, 0.6), (1.5, 9, 0.8)]
)
@pytest.mark.parametrize("vocab", [13, 64, 1000])
def test_draws_follow_the_distribution(temperature, top_k, top_p, vocab):
    """Chi-square over the ten likeliest tokens and the rest; each of the 15 cases is red by chance once in 10^6."""
    count = 20_000
    logits = np.random.default_rng(vocab).normal(size=vocab).astype(np.float32) * 2
    expected = slow_distribution([float(x) for x in logits], temperature, top_k, top_p)
    uniform = torch.from_numpy(uniforms(np.arange(count, dtype=np.uint64), np.full(count, 3)))
    how = shaping(count, temperature, top_k, top_p)
    tokens, logp = draw(torch.from_numpy(logits).expand(count, -1), uniform, how)
    np.testing.assert_allclose(logp.numpy(), np.log(expected[tokens.numpy()]), atol=1e-5)
    order = np.argsort(-expected)
    groups = [*order[:10, None], order[10:]]
    seen = np.array([np.isin(tokens.numpy(), group).sum() for group in groups])
    hoped = np.array([expected[group].sum() * count for group in groups])
    assert (seen[hoped == 0] == 0).all()
    keep = hoped > 5
    if keep.sum() > 1:
        seen, hoped = seen[keep], hoped[keep] * seen[keep].sum() / hoped[keep].sum()
        statistic = float(((seen - hoped) ** 2 / hoped).sum())
        assert mpmath.gammainc((len(seen) - 1) / 2, statistic / 2, regularized=True) > 1e-6


def test_draw_is_the_inverse_of_the_cumulative_distribution():
    probs = [0.1, 0.0, 0.2, 0.4, 0.3, 0.0]
    logits = torch.tensor(probs).log()[None].expand(6, -1)
    uniform = torch.tensor([0.0, 0.0999, 0.1001, 0.2999, 0.6999, 1 - 2.0**-32], dtype=torch.float64)
    actual, _ = draw(logits, uniform, shaping(6))
    expected = [0, 0, 2, 2, 3, 4]
    assert actual.tolist() == expected


def test_rows_are_shaped_one_by_one():
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0]).expand(4, -1)
    how = Shaping.of(
        np.array([0, 1, 2, 1], np.float32),
        np.array([0, 1, 0, 0]),
        np.array([1, 1, 1, 0.7], np.float32),
        torch.device("cpu"),
    )
    tokens, logp = draw(logits, torch.tensor([0.0, 0.0, 0.0, 0.5], dtype=torch.float64), how)
    # hot row: exp(0) of exp(0) + exp(.5) + exp(1) + exp(1.5); last row: .644 is too little, tokens of .881 are kept
    expected = [0.0, 0.0, -np.log(1 + np.exp(0.5) + np.exp(1) + np.exp(1.5)), 3 - np.log(np.exp(2) + np.exp(3))]
    assert tokens.tolist() == [3, 3, 0, 3]
    np.testing.assert_allclose(logp.numpy(), expected, atol=1e-6)


def test_uniforms_are_splitmix64():
    """Against the generator written out in Python integers."""

    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    seeds, positions = [0, 1, 2**63, 2**64 - 1], [0, 1, 17, 100_000]
    expected = [
        (mix((mix(s) + (p + 1) * 0x9E3779B97F4A7C15) % 2**64) >> 32) / 2**32
        for s, p in zip(seeds, positions, strict=True)
    ]
    actual = uniforms(np.array(seeds, dtype=np.uint64), np.array(positions))
    assert actual.tolist() == expected


def test_precision_is_remembered(tmp_path, monkeypatch):
    from strop.backends.torch import precision

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    precision._cpu_gain.cache_clear()
    first = resolve("auto")
    [file] = (tmp_path / "strop").iterdir()
    other = "0.5" if first == torch.bfloat16 else "9.0"
    file.write_text(json.dumps({"bf16_gain": float(other)}))
    precision._cpu_gain.cache_clear()
    assert {first, resolve("auto")} == {torch.float32, torch.bfloat16}
    file.write_text("not json")
    precision._cpu_gain.cache_clear()
    assert resolve("auto") in (torch.float32, torch.bfloat16)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    precision._cpu_gain.cache_clear()
    assert resolve("auto") in (torch.float32, torch.bfloat16)
    precision._cpu_gain.cache_clear()
    with pytest.raises(ConfigError, match="fp8"):
        resolve("fp8")
