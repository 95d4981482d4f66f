"""The learner under an adapter against autograd through peft's own modules and torch's own AdamW."""

import numpy as np
import pytest
import torch
from learner_loops import assert_close, loop_logp, random_batch
from torch import nn

from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.models import lora
from strop.models.dense import weight_bytes
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.objectives.regularisation.reference_kl import ReferenceKL
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.recipe import AdamW, LoRA, Term
from strop.records import Request

pytest.importorskip("peft")

# eps far above the rounding of a gradient: an element that is all but zero would else move by all of lr, either way
ADAMW = AdamW(weight_decay=0.1, clip_norm=0.5, eps=1e-3)
PENALISED = (Term(objective=ClipHigher()), Term(objective=ReferenceKL(), weight=0.1))


def adapted(model, seed=0, **fields):
    """Under an adapter whose B is not zero: gradients of A would else be."""
    lora.adapt(model, LoRA(**{"rank": 4} | fields), seed)
    random = torch.Generator().manual_seed(1)
    for name, weight in model.net.named_parameters():
        if "lora_B" in name:
            weight.data = 0.1 * torch.randn(weight.shape, generator=random)
    return model


def values(net, learning):
    return {n: w.detach().clone() for n, w in net.named_parameters() if w.requires_grad == learning}


def gradient(learner, batch, objective=None):
    """The gathered gradient of one step, by name; nothing is changed."""
    found = {}

    def update(*_):
        found.update({n: g.clone() for n, g in zip(learner.masters.names, learner.masters.grads, strict=True)})
        learner.masters.flat.zero_()
        return 0.0, True

    learner.masters.update = update
    learner.step(batch, objective or CrossEntropy(), TokenMean(), ADAMW, 1e-3)
    return found


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("modules", [False, True])
def test_step_equals_the_loop(kind, modules, tiny_model):
    batch, plain = random_batch(), adapted(tiny_model(kind))
    learning = [weight for weight in plain.net.parameters() if weight.requires_grad]
    average = TokenMean()
    logp = loop_logp(plain.net, batch)
    loss = average(CrossEntropy()(logp, batch), batch)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(learning, ADAMW.clip_norm)
    torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.1, eps=ADAMW.eps, fused=False, foreach=False).step()
    expected, frozen = values(plain.net, True), values(plain.net, False)

    model = adapted(tiny_model(kind))
    learner = TorchLearner(model)
    assert (learner.scorer.packed is not None) == (kind in ("qwen3", "qwen2", "llama"))
    if modules:
        learner.scorer.packed = None
    report = learner.step(batch, CrossEntropy(), average, ADAMW, 1e-3)
    assert_close(values(model.net, True), expected, atol=2e-5)
    assert_close(values(model.net, False), frozen, atol=0)
    assert report.metrics["grad_norm"] == pytest.approx(float(norm), rel=1e-4)


@pytest.mark.parametrize("target", ["v_proj", "o_proj", "gate_proj", "down_proj"])
def test_targets_need_no_other_gradient(target, tiny_model):
    """What the packed pass leaves out is what nobody asked for."""
    batch = random_batch()
    learners = [TorchLearner(adapted(tiny_model("qwen2"), targets=(target,))) for _ in range(2)]
    learners[1].scorer.packed = None
    actual, expected = (gradient(learner, batch) for learner in learners)
    assert len(actual) == 2 * 2
    assert_close(actual, expected, atol=1e-5)
    assert min(float(value.norm()) for value in expected.values()) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masters_are_the_adapters_alone(dtype, tiny_model):
    model = adapted(tiny_model())
    count = sum(weight.numel() for weight in model.net.parameters() if weight.requires_grad)
    learner = TorchLearner(model, dtype=dtype)
    assert sum(master.numel() for master in learner.masters.masters) == learner.masters.flat.numel() == count
    assert {master.dtype for master in learner.masters.masters} == {torch.float32}
    assert weight_bytes(model.net) == sum(w.numel() for w in model.net.parameters()) * dtype.itemsize
    learner.set_reference()
    assert sum(value.numel() for value in learner.reference) == count
    assert all("lora_" in name for part in ("weights", "first", "reference") for name in learner.state()[part])


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_the_reference_is_the_base(kind, tiny_model):
    batch = random_batch()
    with torch.no_grad():
        expected = loop_logp(tiny_model(kind).net, batch)
    model = tiny_model(kind)
    lora.adapt(model, LoRA(rank=4), seed=0)
    learner = TorchLearner(model)
    learner.set_reference()
    for seed in range(2):
        learner.step(random_batch(seed=seed), PENALISED, TokenMean(), ADAMW, 1e-2)
    actual = learner.prepare(batch, PENALISED).ref_logp
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert (learner.logp(batch) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_restored_learner_continues_exactly(dtype, dropout, tiny_model):
    def fresh():
        model = adapted(tiny_model(), dropout=dropout)
        return TorchLearner(model, dtype=dtype, seed=3)

    def steps(learner, others, *seeds):
        for seed in seeds:
            batch = random_batch(seed=seed)
            # what others drew from torch's generator meanwhile
            torch.manual_seed(others)
            learner.step(batch, PENALISED, TokenMean(), ADAMW, 1e-2)

    learner = fresh()
    learner.set_reference()
    steps(learner, 1, 1)
    tree = learner.state()
    steps(learner, 1, 2, 3)
    resumed = fresh()
    resumed.restore(tree)
    steps(resumed, 99, 2, 3)
    for part, expected in learner.state().items():
        assert_close(resumed.state()[part], expected, atol=0)


def test_dropout_is_drawn_anew_in_each_step_and_only_there(tiny_model):
    batch = random_batch()

    def learner(dropout, seed=0):
        return TorchLearner(adapted(tiny_model(), dropout=dropout), seed=seed)

    plain, first, again, other = learner(0.0), learner(0.5), learner(0.5), learner(0.5, seed=1)
    assert torch.equal(first.logp(batch), first.logp(batch))
    torch.testing.assert_close(first.logp(batch), plain.logp(batch), rtol=1e-4, atol=1e-4)
    torch.manual_seed(4)
    expected_stream = torch.rand(1)
    torch.manual_seed(4)
    gradients = [gradient(each, batch) for each in (plain, first, again, other)]
    assert torch.equal(torch.rand(1), expected_stream)
    assert_close(gradients[1], gradients[2], atol=0)
    norms = [torch.cat([(x[n] - gradients[1][n]).flatten() for n in x]).norm() for x in gradients]
    assert norms[0] > 1e-3
    assert norms[3] > 1e-3
    first.masters.updates[0] += 1
    second = gradient(first, batch)
    assert any(not torch.equal(second[name], gradients[1][name]) for name in second)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_sampler_draws_from_what_the_learner_sees(dtype, tiny_model):
    model = adapted(tiny_model())
    learner = TorchLearner(model, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[dtype])
    sampler = TorchSampler(model, precision=dtype)
    assert sampler.path == "fused"
    before = None
    for _ in range(2):
        requests = [Request(prompt=np.array([5, 6, 7, n]), seeds=range(8), max_tokens=12) for n in range(8, 12)]
        done = list(sampler.generate(requests))
        drawn = np.concatenate([each.logp for each in done])
        seen = []
        for each in done:
            ids = torch.from_numpy(np.concatenate([requests[each.request].prompt, each.tokens]))
            with torch.no_grad():
                spread = model.net(input_ids=ids[None]).logits[0].float().log_softmax(-1)
            seen.append(spread[3:-1].gather(1, ids[4:, None])[:, 0])
        expected = torch.cat(seen).numpy()
        assert np.abs(drawn - expected).max() < (1e-4 if dtype == "fp32" else 0.15)
        assert before is None or len(before) != len(drawn) or np.abs(before - drawn).max() > 0.05
        before = drawn
        for seed in range(3):
            learner.step(random_batch(seed=seed), CrossEntropy(), TokenMean(), ADAMW, 3e-2)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantised_base(kind, tiny_model):
    pytest.importorskip("torchao")
    batch = random_batch()
    learners = [TorchLearner(adapted(tiny_model(), quantise=kind)) for _ in range(2)]
    assert learners[0].scorer.packed is not None
    learners[1].scorer.packed = None
    plain = TorchLearner(adapted(tiny_model()))
    actual, expected, full = (gradient(learner, batch) for learner in (*learners, plain))
    assert_close(actual, expected, atol=1e-5)
    assert max(float((full[name] - expected[name]).abs().max()) for name in full) > 1e-4
