"""Loading, saving and making models, and the check whether a net can be split into decoder and head."""

import json

import pytest
import torch
from transformers import Qwen3Config

from strop.errors import BackendError, ConfigError
from strop.models.language_model import decoder_and_head, initialise, load, save

IDS = torch.tensor([[5, 6, 7, 20, 3]])


def logits(model):
    with torch.no_grad():
        return model.net(input_ids=IDS).logits


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_a_saved_model_loads(tiny_model, tmp_path, kind):
    model = tiny_model(kind)
    save(model, tmp_path)
    again = load(str(tmp_path))
    assert torch.equal(logits(again), logits(model))
    assert (again.context, again.source) == (96, str(tmp_path))
    assert again.tokenizer.eos_ids == model.tokenizer.eos_ids
    assert not again.net.training
    assert {file.suffix for file in tmp_path.iterdir()} <= {".json", ".jinja", ".safetensors"}


def test_a_run_folder_stands_for_its_last_checkpoint(tiny_model, tmp_path):
    for step, seed in ((10, 1), (2, 2), (100, 3)):
        save(tiny_model(seed=seed), tmp_path / "checkpoints" / f"step={step:06}")
    assert torch.equal(logits(load(tmp_path)), logits(tiny_model(seed=3)))
    assert torch.equal(logits(load(tmp_path / "checkpoints" / "step=000002")), logits(tiny_model(seed=2)))


def test_precision_is_that_of_the_weights(tiny_model, tmp_path):
    save(tiny_model(), tmp_path)
    assert load(tmp_path).net.dtype == load(tmp_path, "stored").net.dtype == torch.float32
    half = load(tmp_path, "bf16")
    assert half.net.dtype == torch.bfloat16
    save(half, tmp_path / "half")
    assert load(tmp_path / "half", "stored").net.dtype == torch.bfloat16
    assert load(tmp_path / "half").net.dtype == torch.float32
    with pytest.raises(ConfigError, match="fp8"):
        load(tmp_path, "fp8")


def test_every_configured_end_is_honoured(tiny_model, tmp_path):
    model = tiny_model()
    save(model, tmp_path)
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [20, 21]}))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"eos_token_id": 22}))
    assert load(tmp_path).tokenizer.eos_ids == {2, 3, 20, 21, 22}


def test_weights_are_a_function_of_the_seed(tiny_model):
    torch.manual_seed(5)
    expected_stream = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = tiny_model(seed=3), tiny_model(seed=3), tiny_model(seed=4)
    assert torch.equal(logits(first), logits(again))
    assert not torch.equal(logits(first), logits(other))
    assert torch.equal(torch.rand(1), expected_stream), "the caller's random stream must not move"


def test_initialise_takes_data_or_a_configuration(tokenizer):
    values = {
        "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 8, "intermediate_size": 16, "max_position_embeddings": 40,
    }  # fmt: skip
    from_data = initialise({"model_type": "qwen3"} | values, 0, tokenizer)
    from_config = initialise(Qwen3Config(**values), 0, tokenizer)
    assert torch.equal(logits(from_data), logits(from_config))
    assert from_data.context == 40
    assert initialise({"model_type": "qwen3"} | values | {"vocab_size": 58}, 0, tokenizer).net.config.eos_token_id == 3
    with pytest.raises(ConfigError, match="model_type"):
        initialise(values, 0, tokenizer)
    with pytest.raises(ConfigError, match="58"):
        initialise({"model_type": "qwen3"} | values | {"vocab_size": 57}, 0, tokenizer)


def test_context_is_found_under_its_names(tiny_model):
    assert tiny_model("gpt2").context == tiny_model("llama").context == 96
    assert tiny_model("mamba").context == 1_000_000


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gpt2", "mistral", "mamba"])
def test_split_gives_the_logits(tiny_model, kind):
    model = tiny_model(kind)
    model.net.train()
    parts = decoder_and_head(model.net)
    assert parts is not None
    decoder, head = parts
    assert model.net.training
    model.net.eval()
    with torch.no_grad():
        actual = head(decoder(input_ids=IDS)[0])
    torch.testing.assert_close(actual, logits(model), rtol=1e-4, atol=1e-5)


def test_split_is_refused_where_logits_are_changed_afterwards(tiny_model):
    """Gemma 2 caps its logits."""
    assert decoder_and_head(tiny_model("gemma2").net) is None


def test_unknown_names_say_what_is_known(monkeypatch, tmp_path):
    with pytest.raises(BackendError, match="Did you mean 'nano'"):
        load("nanoo")
    for name in ("./not/there", "/not/there", "~/not-there-either"):
        with pytest.raises(BackendError, match="There is no model"):
            load(name)


def test_an_unreachable_hub_is_one_clear_error(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BackendError, match="give the folder"):
        load("some-lab/some-model")


def test_a_folder_with_pickled_weights_only_is_refused(tiny_model, tmp_path):
    model = tiny_model()
    save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.net.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(BackendError, match=r"model\.safetensors"):
        load(tmp_path)


def test_a_folder_without_tokenizer_is_refused(tiny_model, tmp_path):
    tiny_model().net.save_pretrained(tmp_path)
    with pytest.raises(BackendError, match="no tokenizer"):
        load(tmp_path)
