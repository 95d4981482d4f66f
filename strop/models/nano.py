"""The bundled model's shape and tokenizer: Qwen3 of transformers, and words, digits and bytes.

The tokenizer splits every digit off, keeps the words its texts use most, and falls back to bytes, so any UTF-8 text
comes back as it was. It is an ordinary `tokenizer.json`: nothing of strop is needed to load it.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from strop.errors import ConfigError, did_you_mean
from strop.text import CLOSE, OPEN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3Config

CONTEXT = 512
"""Most tokens of a conversation."""
VOCABULARY = 1024
"""Most entries of the tokenizer."""
PAD, END = "<|pad|>", "<|end|>"
SPECIAL = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
TAGS = (OPEN, CLOSE, "<call>", "</call>")
"""One token each, but part of the text: decoding keeps them."""
TEMPLATE = (
    "{% for turn in messages %}{{ '<|' + turn.role + '|>' + turn.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

SIZES = {
    "micro": {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256},
    "nano": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 704},
    "mini": {"hidden_size": 512, "num_hidden_layers": 5, "num_attention_heads": 16, "intermediate_size": 1024},
}
"""About 0.5, 3 and 12 million parameters."""


def config(size: str, tokenizer: "PreTrainedTokenizerFast") -> "Qwen3Config":
    """The architecture of a size."""
    from transformers import Qwen3Config

    if size not in SIZES:
        raise ConfigError(f"Unknown size {size!r}. {did_you_mean(size, SIZES)}")
    shape: dict[str, Any] = {
        **SIZES[size],
        "vocab_size": len(tokenizer),
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": CONTEXT,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids(END),
        "pad_token_id": tokenizer.convert_tokens_to_ids(PAD),
    }
    return Qwen3Config(**shape)


def tokenizer(texts: Iterable[str]) -> "PreTrainedTokenizerFast":
    """A tokenizer whose words are the most frequent of `texts`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    room = VOCABULARY - len(alphabet) - len(SPECIAL) - len(TAGS)
    # Unigram picks the split with the highest score: one word always beats the bytes it is made of
    pieces = [(char, -20.0) for char in alphabet] + [(word, -1.0) for word in _words(texts, room)]
    core = Tokenizer(models.Unigram(pieces, unk_id=None, byte_fallback=False))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[0-9]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    core.add_tokens([AddedToken(text, special=False, normalized=False) for text in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        chat_template=TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def _words(texts: Iterable[str], most: int) -> list[str]:
    """The commonest words with their leading space, in the byte-level alphabet; ties in alphabetical order."""
    counts = Counter(word for text in texts for word in re.findall(r" ?[A-Za-z]+", text))
    common = sorted(
        (word for word, seen in counts.items() if len(word) > 1 and seen > 2), key=lambda w: (-counts[w], w)
    )
    return [word.replace(" ", "Ġ") for word in common[:most]]
