"""Fixtures that many tests share: a tiny word tokenizer with a chat template, and tiny models of any architecture."""

from collections.abc import Callable
from typing import Any

import pytest

WORDS = [*" \n0123456789+-*=?.abcdefghijklmnopqrstuvwxyz", "yes", "no", "wait", "check"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def _hf_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = [
        "<pad>",
        "<unk>",
        "<|eos|>",
        "<|end|>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|tool|>",
        "<think>",
        "</think>",
    ]
    vocab = {token: index for index, token in enumerate([*special, *WORDS])}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(r"yes|no|wait|check|.|\n"), "isolated")
    words.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="<|eos|>",
        additional_special_tokens=special[3:],
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture(scope="session")
def hf_tokenizer() -> Any:
    """A Hugging Face tokenizer of 58 ids: characters and a few words; turns do not end in its EOS token."""
    return _hf_tokenizer()


@pytest.fixture(scope="session")
def tokenizer(hf_tokenizer: Any) -> Any:
    """The same as strop's `ChatTokenizer`."""
    from strop.models.chat_tokenizer import ChatTokenizer

    return ChatTokenizer(hf_tokenizer)


SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 96}
CONFIGS: dict[str, dict[str, Any]] = {
    "qwen3": SHAPE | {"num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8, "tie_word_embeddings": True},
    "qwen2": SHAPE | {"num_key_value_heads": 2, "intermediate_size": 48},
    "llama": SHAPE | {"num_key_value_heads": 4, "intermediate_size": 48},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96},
    "mistral": SHAPE | {"num_key_value_heads": 2, "intermediate_size": 48, "sliding_window": 6},
    "gemma2": SHAPE | {"num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8, "sliding_window": 6},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "intermediate_size": 48},
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_model(tokenizer: Any) -> Callable[..., Any]:
    """`tiny_model("qwen3", seed=0, spread=0.2, **changes)`: random weights of two layers, a new model at each call.

    `spread` is the standard deviation of the initial weights: large enough for attention to matter and for
    distributions to be far from uniform.
    """
    from strop.models.language_model import initialise

    def make(model_type: str = "qwen3", seed: int = 0, spread: float = 0.2, **changes: Any) -> Any:
        config = {"model_type": model_type, "initializer_range": spread} | CONFIGS[model_type] | changes
        return initialise(config, seed, tokenizer)

    return make
