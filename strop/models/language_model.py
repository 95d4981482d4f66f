"""Load, save and make causal language models: weights, tokenizer and context length in one record."""

import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from strop.errors import BackendError, ConfigError, did_you_mean
from strop.models.chat_tokenizer import ChatTokenizer, load_tokenizer

BUNDLED = ("nano", "micro", "mini")
"""Models that come with strop, in `strop/assets`."""
Weights = Literal["fp32", "bf16", "stored"]


@dataclass(frozen=True, slots=True, eq=False)
class LanguageModel:
    """A model and what belongs to it. The net's weights may change in place; everything else is fixed."""

    net: PreTrainedModel
    tokenizer: ChatTokenizer
    source: str
    """Where it came from: a bundled name, a folder, a hub id; empty for random weights."""
    context: int
    """Most tokens a prompt and its response may have together."""


def load(name_or_path: str | Path, precision: Weights = "fp32") -> LanguageModel:
    """A model by name: a bundled one (`nano`, `micro`, `mini`), a local folder, a run folder, whose last checkpoint it
    is, or a Hugging Face hub id.

    `precision` is what the weights are held in: fp32 to train them, bf16 to halve the memory of a model that is
    only read, `stored` as the files have it. What the backend computes in is chosen there. Only safetensors are
    read, and no code from a model's repository is run.
    """
    if precision not in get_args(Weights):
        raise ConfigError(f"precision must be one of {', '.join(get_args(Weights))}, got {precision!r}.")
    place, hub = _locate(str(name_or_path))
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "stored": "auto"}[precision]
    try:
        with without_bars():
            net = AutoModelForCausalLM.from_pretrained(
                place, dtype=dtype, use_safetensors=True, trust_remote_code=False
            )
    except Exception as error:
        # transformers, huggingface_hub and safetensors each raise their own kinds
        raise BackendError(_cannot_load(place, hub, error)) from error
    net.eval()
    return LanguageModel(net, load_tokenizer(place, _configured_eos(net)), str(name_or_path), context_of(net.config))


def save(model: LanguageModel, folder: str | Path) -> None:
    """Write weights (safetensors), configuration and tokenizer; `load(folder)` and transformers read them back."""
    with without_bars():
        model.net.save_pretrained(str(folder))
    model.tokenizer.save(folder)


@contextmanager
def without_bars() -> Generator[None, None, None]:
    """Without transformers' own progress bars, which would write into strop's display."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def initialise(config: Mapping[str, Any] | PreTrainedConfig, seed: int, tokenizer: ChatTokenizer) -> LanguageModel:
    """Random fp32 weights, a function of the configuration and the seed.

    `config` is a transformers configuration or the same as plain data with its `model_type`. The vocabulary size and
    the end-of-turn ids are set to the tokenizer's where the configuration leaves them out.
    """
    if isinstance(config, Mapping):
        if "model_type" not in config:
            raise ConfigError(f"The model configuration needs a model_type, such as 'qwen3'; got {', '.join(config)}.")
        values: dict[str, Any] = {"vocab_size": tokenizer.vocab_size, "eos_token_id": tokenizer.end_id}
        values |= {"bos_token_id": None, **config}
        made: PreTrainedConfig = AutoConfig.for_model(**values)
    else:
        made = config
    if made.vocab_size < tokenizer.vocab_size:
        raise ConfigError(f"vocab_size must be at least the tokenizer's {tokenizer.vocab_size}, got {made.vocab_size}.")
    # transformers draws initial weights from torch's global generator; the caller's stream is put back afterwards
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AutoModelForCausalLM.from_config(made, dtype=torch.float32, trust_remote_code=False)
    return LanguageModel(net.eval(), tokenizer, "", context_of(made))


def context_of(config: PreTrainedConfig) -> int:
    """The context length a configuration declares; a million where it declares none (state spaces)."""
    text = config.get_text_config()
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    return next((int(value) for name in names if (value := getattr(text, name, None))), 1_000_000)


def vocab_of(net: PreTrainedModel) -> int:
    """Ids the input layer knows; at least the tokenizer's, often padded beyond."""
    embedding: Any = net.get_input_embeddings()
    return int(embedding.weight.shape[0])


def decoder_and_head(net: PreTrainedModel) -> tuple[nn.Module, nn.Module] | None:
    """The decoder and the output layer, where `head(decoder(ids))` are the model's logits; else `None`.

    Some architectures cap or scale logits after the output layer, so this is found out by comparing the two on a
    short text, once per net. Whoever splits a model must ask here, and go through its whole forward pass on `None`.
    """
    if net not in _SPLITS:
        _SPLITS[net] = _head_is_all(net)
    head = net.get_output_embeddings()
    return (net.get_decoder(), head) if _SPLITS[net] and head is not None else None


_SPLITS: "weakref.WeakKeyDictionary[PreTrainedModel, bool]" = weakref.WeakKeyDictionary()


def _head_is_all(net: PreTrainedModel) -> bool:
    head = net.get_output_embeddings()
    decoder: Any = net.get_decoder() if hasattr(net, "get_decoder") else None
    if head is None or decoder is None or decoder is net:
        return False
    ids = torch.arange(6, device=net.device)[None] % vocab_of(net)
    modes = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        with torch.no_grad():
            expected = net(input_ids=ids, use_cache=False).logits
            actual = head(decoder(input_ids=ids, use_cache=False)[0])
    finally:
        for module, training in modes:
            module.training = training
    # the same kernels on the same numbers: anything beyond rounding is another function
    return actual.shape == expected.shape and torch.allclose(actual, expected, rtol=1e-3, atol=1e-5)


def _locate(name: str) -> tuple[str, bool]:
    """A folder, or a hub id and True. A run folder stands for its last checkpoint."""
    if name in BUNDLED:
        folder = Path(__file__).parent.parent / "assets" / name
        if not folder.is_dir():
            there = [each for each in BUNDLED if (folder.parent / each).is_dir()]
            raise BackendError(
                f"This installation of strop comes without the model {name!r}; it has {there or 'none'}."
            )
        return str(folder), False
    path = Path(name).expanduser()
    if path.is_dir():
        return str(_last_checkpoint(path.resolve())), False
    if name.count("/") > 1 or name.startswith((".", "/", "~")) or "/" not in name:
        raise BackendError(
            f"There is no model {name!r}: neither a bundled model nor a folder. {did_you_mean(name, BUNDLED)}"
        )
    return name, True


def _last_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run folder; any other folder itself."""
    found = [] if (folder / "config.json").is_file() else sorted(folder.glob("checkpoints/step=*/*config.json"))
    return found[-1].parent if found else folder


def _cannot_load(place: str, hub: bool, error: Exception) -> str:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if hub:
        return (
            f"The model {place!r} is no local folder, and the Hugging Face hub did not deliver it ({reason}). Check "
            "the name and the connection, or download it elsewhere and give the folder."
        )
    return (
        f"{place} cannot be loaded as a causal language model ({reason}). The folder needs config.json and "
        "model.safetensors; other weight formats are not read, convert them with transformers' save_pretrained."
    )


def _configured_eos(net: PreTrainedModel) -> list[int]:
    found: list[int] = []
    for config in (net.generation_config, net.config, net.config.get_text_config()):
        value = getattr(config, "eos_token_id", None)
        found += value if isinstance(value, list) else [] if value is None else [value]
    return found
