"""Adapters against peft's own arithmetic: what is trained, what is saved, what comes back."""

import json

import pytest
import torch

from strop.backends.torch.shadow import shadow
from strop.errors import BackendError, ConfigError
from strop.models import language_model, lora
from strop.models.dense import dense, is_adapter, size
from strop.recipe import LoRA

peft = pytest.importorskip("peft")

IDS = torch.tensor([[5, 6, 7, 20, 3], [9, 9, 31, 8, 2]])


def logits(net):
    with torch.no_grad():
        return net(input_ids=IDS).logits


def adapted(model, seed=0, **fields):
    """The model under an adapter that changes something."""
    lora.adapt(model, LoRA(**{"rank": 4} | fields), seed)
    random = torch.Generator().manual_seed(1)
    for name, weight in model.net.named_parameters():
        if "lora_B" in name:
            weight.data = 0.3 * torch.randn(weight.shape, generator=random)
    return model


def trained(net):
    return {name: weight for name, weight in net.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("kind", ["qwen3", "gpt2", "gemma2"])
def test_a_new_adapter_changes_nothing_and_learns_alone(kind, tiny_model):
    model, expected = tiny_model(kind), logits(tiny_model(kind).net)
    lora.adapt(model, LoRA(rank=4), seed=0)
    assert torch.equal(logits(model.net), expected)
    assert all("lora_" in name for name in trained(model.net))
    head = model.net.get_output_embeddings()
    assert not is_adapter(head)
    assert not model.net.training


def test_targets_and_scale(tiny_model):
    model = tiny_model()
    lora.adapt(model, LoRA(rank=4, targets=("q_proj", "down_proj")), seed=0)
    names = {name.split(".lora_")[0].rpartition(".")[2] for name in trained(model.net)}
    assert names == {"q_proj", "down_proj"}
    layer = model.net.model.layers[0].self_attn.q_proj
    assert layer.scaling == {"default": 2.0}
    assert size(model.net) - size(tiny_model().net) == 2 * 4 * (32 + 32 + 48 + 32)
    with pytest.raises(ConfigError, match=r"'query'.*q_proj"):
        lora.adapt(tiny_model(), LoRA(targets=("query",)), seed=0)
    with pytest.raises(ConfigError, match="lm_head"):
        lora.adapt(tiny_model(), LoRA(targets=("lm_head",)), seed=0)


def test_where_it_begins_is_a_function_of_the_seed(tiny_model):
    torch.manual_seed(3)
    stream = torch.rand(1)
    torch.manual_seed(3)
    models = [tiny_model(), tiny_model(), tiny_model()]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        lora.adapt(model, LoRA(), seed)
    first, again, other = (torch.cat([w.flatten() for w in trained(m.net).values()]) for m in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.rand(1), stream), "the caller's random stream must not move"


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama", "gemma2", "gpt2"])
def test_plain_layers_give_what_peft_computes(kind, tiny_model):
    model = adapted(tiny_model(kind))
    expected = logits(model.net)
    assert (expected - logits(tiny_model(kind).net)).abs().max() > 0.1
    twin = shadow(model.net)
    # transformers' own transposed layers stay as peft made them
    assert lora.is_adapted(twin) == (kind == "gpt2")
    torch.testing.assert_close(logits(twin), expected, rtol=1e-5, atol=1e-5)
    assert lora.is_adapted(model.net), "the model itself is as it was"


def test_dense_weight_by_hand(tiny_model):
    layer = adapted(tiny_model(), alpha=12.0).net.model.layers[1].mlp.up_proj
    low, high = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = layer.base_layer.weight + torch.stack(
        [torch.stack([12.0 / 4 * sum(high[o, r] * low[r, i] for r in range(4)) for i in range(32)]) for o in range(48)]
    )
    torch.testing.assert_close(dense(layer), expected, rtol=1e-5, atol=1e-6)
    layer.enable_adapters(False)
    with pytest.raises(TypeError):
        dense(layer)


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_a_saved_adapter_comes_back_merged(kind, tiny_model, tmp_path):
    language_model.save(tiny_model(kind), tmp_path / "base")
    model = adapted(language_model.load(tmp_path / "base"))
    lora.save(model, trained(model.net), tmp_path / "adapter")
    again = language_model.load(tmp_path / "adapter")
    torch.testing.assert_close(logits(again.net), logits(model.net), rtol=1e-5, atol=1e-5)
    assert type(again.net) is type(tiny_model(kind).net)
    assert not lora.is_adapted(again.net)
    assert all(weight.requires_grad for weight in again.net.parameters())
    assert again.tokenizer.eos_ids == model.tokenizer.eos_ids
    assert (again.source, again.context) == (str(tmp_path / "adapter"), model.context)
    files = {file.name: file.stat().st_size for file in (tmp_path / "adapter").iterdir()}
    assert "model.safetensors" not in files
    assert files["adapter_model.safetensors"] < 8 * sum(w.numel() for w in trained(model.net).values())

    # peft itself reads the folder
    theirs = peft.PeftModel.from_pretrained(language_model.load(tmp_path / "base").net, str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(theirs), logits(model.net), rtol=1e-5, atol=1e-5)


def test_an_adapter_of_another_tool_loads(tiny_model, tmp_path):
    language_model.save(tiny_model(), tmp_path / "base")
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=3, target_modules=["v_proj"], use_dora=True, init_lora_weights=False, task_type="CAUSAL_LM"
    )
    theirs = peft.get_peft_model(language_model.load(tmp_path / "base").net, config)
    theirs.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    theirs.save_pretrained(str(tmp_path / "adapter"))
    again = language_model.load(tmp_path / "adapter")
    assert (logits(theirs) - logits(tiny_model().net)).abs().max() > 0.1
    torch.testing.assert_close(logits(again.net), logits(theirs), rtol=1e-4, atol=1e-4)
    half = language_model.load(tmp_path / "adapter", "bf16")
    assert half.net.dtype == torch.bfloat16


def test_an_adapter_whose_base_is_gone_says_so(tiny_model, tmp_path):
    language_model.save(tiny_model(), tmp_path / "base")
    model = adapted(language_model.load(tmp_path / "base"))
    lora.save(model, trained(model.net), tmp_path / "adapter")
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(BackendError, match=r"write its\s+new place into .*base\.json"):
        language_model.load(tmp_path / "adapter")
    said = json.loads((tmp_path / "adapter" / "base.json").read_text())
    (tmp_path / "adapter" / "base.json").write_text(json.dumps(said | {"model": str(tmp_path / "moved")}))
    torch.testing.assert_close(
        logits(language_model.load(tmp_path / "adapter").net), logits(model.net), rtol=1e-5, atol=1e-5
    )
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "elsewhere")
    with pytest.raises(BackendError, match=r"without adapter_model\.safetensors"):
        language_model.load(tmp_path / "adapter")


def test_the_context_of_an_adapter_is_its_bases(tiny_model, tmp_path):
    language_model.save(tiny_model(), tmp_path / "base")
    model = adapted(language_model.load(tmp_path / "base"))
    lora.save(model, trained(model.net), tmp_path / "adapter")
    tokenizer, context = language_model.tokenizer_of(tmp_path / "adapter")
    assert context == model.context == 96
    assert tokenizer.eos_ids == model.tokenizer.eos_ids
