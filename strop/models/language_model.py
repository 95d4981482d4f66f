"""Load, save and make causal language models: weights, tokenizer and context length in one record."""

import copy
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from strop.errors import BackendError, ConfigError, did_you_mean
from strop.keys import Key
from strop.models import lora
from strop.models.chat_tokenizer import ChatTokenizer, load_tokenizer
from strop.models.layercast import layercast
from strop.models.quantise import Quantised, check_kind, quantise
from strop.models.vision import attach, load_vision

BUNDLED = ("nano", "micro", "mini")
"""Models that come with strop, in `strop/assets`."""
Weights = Literal["fp32", "bf16", "layercast", "stored"]


@dataclass(frozen=True, slots=True, eq=False)
class LanguageModel:
    """A model and what belongs to it. The net's weights may change in place; everything else is fixed."""

    net: PreTrainedModel
    tokenizer: ChatTokenizer
    source: str
    """Where it came from: a bundled name, a folder, a hub id; empty for random weights."""
    context: int
    """Most tokens a prompt and its response may have together."""


def load(name_or_path: str | Path, precision: Weights = "fp32", *, quantised: Quantised | None = None) -> LanguageModel:
    """A model by name: a bundled one (`nano`, `micro`, `mini`), a local folder, a run folder, whose last checkpoint it
    is, or a Hugging Face hub id.

    `precision` is what the weights are held in: fp32 to train them, bf16 to halve the memory of a model that is
    only read, `layercast` to halve it and compute in fp32, `stored` as the files have it. What the backend computes in
    is chosen there. `quantised` holds the linear layers in 8 or 4 bits, to be read only. A folder with an adapter gives
    its base with the adapter merged in. Only safetensors are read, and no code from a model's repository is run.
    """
    if precision not in get_args(Weights):
        raise ConfigError(f"precision must be one of {', '.join(get_args(Weights))}, got {precision!r}.")
    if quantised is not None:
        check_kind(quantised)
    place, hub = locate(str(name_or_path))
    held = "fp32" if precision == "layercast" else precision
    adapted = not hub and lora.is_folder(place)
    model = lora.merged(Path(place), held) if adapted else _whole(place, hub, str(name_or_path), held)
    if quantised is not None:
        quantise(model.net, quantised)
    if precision == "layercast":
        layercast(model.net)
    return model


def accelerator() -> torch.device:
    """Where this process computes: a GPU where torch finds one, else the CPU. `CUDA_VISIBLE_DEVICES=` (empty) hides
    them. Other kinds are left alone: the sampler adds up in float64, which not all of them have."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def placed(model: LanguageModel) -> LanguageModel:
    """The model where this process computes, its weights moved there in place. For processes that have a whole model
    to themselves: those that share one place their parts of it (`backends/fsdp`)."""
    if (device := accelerator()).type != "cpu":
        # transformers' own method refuses some nets, and does no more
        nn.Module.to(model.net, device)
    return model


def _whole(place: str, hub: bool, name: str, precision: Weights) -> LanguageModel:
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "stored": "auto"}[precision]
    try:
        with without_bars():
            net = _kind(place).from_pretrained(place, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    except Exception as error:
        # transformers, huggingface_hub and safetensors each raise their own kinds
        raise BackendError(_cannot_load(place, hub, error)) from error
    if lora.is_adapted(net):
        raise BackendError(f"{name} is an adapter on the hub. Download its files and give their folder.")
    net.eval()
    vision = None
    if sees(net.config):
        vision = load_vision(place)
        attach(net, vision)
    return LanguageModel(net, load_tokenizer(place, _configured_eos(net), vision), name, context_of(net.config))


def _kind(place: str) -> Any:
    with suppress(Exception):  # a folder without a configuration is the loader's to explain
        if sees(AutoConfig.from_pretrained(place, trust_remote_code=False)):
            return AutoModelForImageTextToText
    return AutoModelForCausalLM


def sees(config: PreTrainedConfig) -> bool:
    """Whether a configuration is that of a model of images and text, and of nothing that reads text alone."""
    kind = type(config)
    return kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and kind not in MODEL_FOR_CAUSAL_LM_MAPPING


def tokenizer_of(name_or_path: str | Path) -> tuple[ChatTokenizer, int]:
    """A model's tokenizer and its context length, without its weights; named as for `load`."""
    place, hub = locate(str(name_or_path))
    if not hub and lora.is_folder(place):
        tokenizer, context = tokenizer_of(lora.base_of(Path(place))[0])
        return lora.tokenizer_in(Path(place), tokenizer), context
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    except Exception as error:
        raise BackendError(_cannot_load(place, hub, error)) from error
    configs: list[Any] = [config, config.get_text_config()]
    with suppress(OSError):  # many folders have none
        configs.insert(0, GenerationConfig.from_pretrained(place))
    vision = load_vision(place) if sees(config) else None
    return load_tokenizer(place, _eos_of(configs), vision), context_of(config)


def save(model: LanguageModel, folder: str | Path) -> None:
    """Write weights (safetensors), configuration and tokenizer; `load(folder)` and transformers read them back."""
    with without_bars():
        model.net.save_pretrained(str(folder))
    model.tokenizer.save(folder)


def save_weights(model: LanguageModel, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the model's folder with fp32 `weights`, by their names in the net, in place of those that it holds."""
    parameters = dict(model.net.named_parameters(remove_duplicate=False))
    # one tensor for each weight, however many names it has: that is how transformers knows tied weights
    fp32 = {id(parameters[name]): value.detach().clone() for name, value in weights.items()}
    held = {n: fp32.get(id(parameters.get(n)), value) for n, value in model.net.state_dict().items()}
    with without_bars():
        model.net.save_pretrained(folder, state_dict=held)
    config = copy.deepcopy(model.net.config)
    config.dtype = torch.float32
    config.save_pretrained(folder)
    model.tokenizer.save(folder)


@contextmanager
def drawn(key: Key) -> Generator[None, None, None]:
    """Within the block torch's own generator gives the stream of `key`; afterwards it goes on as before."""
    with torch.random.fork_rng():
        torch.manual_seed(key.uint64() >> 1)
        yield


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


def locate(name: str) -> tuple[str, bool]:
    """A folder, or a hub id and True. A run folder stands for its last checkpoint."""
    if name in BUNDLED:
        folder = Path(__file__).parent.parent / "assets" / name
        if not folder.is_dir():
            there = [each for each in BUNDLED if (folder.parent / each).is_dir()]
            raise BackendError(
                f"This installation of strop comes without the model {name!r}; it has {there or 'none'}. Make it: "
                f"strop run pretrain_nano --size {name} --out runs/{name}"
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
    if not found and (folder / "checkpoints").is_dir():
        raise BackendError(f"{folder} has no checkpoint yet. Next: strop resume {folder}")
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
    return _eos_of([net.generation_config, net.config, net.config.get_text_config()])


def _eos_of(configs: Sequence[Any]) -> list[int]:
    found: list[int] = []
    for config in configs:
        value = getattr(config, "eos_token_id", None)
        found += value if isinstance(value, list) else [] if value is None else [value]
    return found
