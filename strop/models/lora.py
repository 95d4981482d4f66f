"""Low-rank adapters (LoRA, arXiv:2106.09685) through peft: put on a model, saved alone, loaded, merged.

A folder with an adapter is what peft writes and reads, and one file more::

    adapter_model.safetensors, adapter_config.json    the adapter, in peft's format
    tokenizer.json ...                                the model's tokenizer
    base.json                                         the model it belongs to, by the name strop loads it by

Without `base.json` (an adapter that another tool trained) the base is the one named in `adapter_config.json`.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from strop.errors import BackendError, ConfigError, did_you_mean
from strop.keys import Key
from strop.models.dense import is_adapter, plain
from strop.models.layercast import computes_in
from strop.models.quantise import check_kind, kind_of, quantise, quietly

if TYPE_CHECKING:
    from strop.models.chat_tokenizer import ChatTokenizer
    from strop.models.language_model import LanguageModel
    from strop.recipe import LoRA

CONFIG, WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"


class Dropout(nn.Module):
    """Dropout wherever a gradient is taken: neither when sampling nor in what is only read."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.share) if torch.is_grad_enabled() else input


def adapt(model: "LanguageModel", lora: "LoRA", seed: int) -> None:
    """Put a new adapter on the model, in place; its own weights are frozen. At first the adapter changes nothing.

    What the adapter begins with is a function of the seed.
    """
    from strop.models.language_model import drawn

    peft = _peft()
    _check_targets(model, lora)
    if lora.quantise is not None:
        check_kind(lora.quantise)
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.scale,
        target_modules=list(lora.targets) or "all-linear",
        lora_dropout=lora.dropout,
        fan_in_fan_out=any(type(module) is Conv1D for module in model.net.modules()),
        task_type="CAUSAL_LM",
        base_model_name_or_path=_place(model.source),
    )
    # peft looks for torchao's kinds of weights where that is installed
    with quietly(), drawn(Key.root(seed).fold("adapter")):
        peft.inject_adapter_in_model(config, model.net)
    for module in model.net.modules():
        if isinstance(drops := getattr(module, "lora_dropout", None), nn.ModuleDict):
            for name, drop in drops.items():
                if isinstance(drop, nn.Dropout):
                    drops[name] = Dropout(drop.p)
    for weight in model.net.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    if lora.quantise is not None:
        quantise(model.net, lora.quantise)
    model.net.eval()


def is_adapted(net: nn.Module) -> bool:
    """Whether the net carries an adapter."""
    return any(is_adapter(module) for module in net.modules())


def drops(net: nn.Module) -> bool:
    """Whether an adapter drops inputs in training."""
    return any(isinstance(module, Dropout) for module in net.modules())


def save(model: "LanguageModel", weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the adapter alone, with `weights` by their names in the net; `load` and peft read it."""
    from safetensors.torch import save_file

    from strop.models.language_model import BUNDLED

    net: Any = model.net
    ((name, config),) = net.peft_config.items()
    values = {f"base_model.model.{n.replace(f'.{name}.', '.')}": v.detach().cpu().clone() for n, v in weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(values, folder / WEIGHTS, metadata={"format": "pt"})
    # peft keeps names in a set, whose order differs from process to process
    ordered = dataclasses.replace(config)
    ordered.target_modules = sorted(config.target_modules)
    ordered.save_pretrained(str(folder))
    model.tokenizer.save(folder)
    base = {"model": model.source if model.source in BUNDLED else _place(model.source), "quantise": kind_of(net)}
    (folder / BASE).write_text(json.dumps(base, indent=2) + "\n", encoding="utf-8")


def is_folder(folder: str | Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    return (Path(folder) / CONFIG).is_file() and not (Path(folder) / "config.json").is_file()


def merged(folder: Path, precision: str) -> "LanguageModel":
    """The model of an adapter's folder: its base, with the adapter merged into the weights.

    Over a base that was quantised, these are the weights it computed with: the quantised ones and the adapter.
    """
    from strop.models.language_model import load

    peft = _peft()
    base, kind = base_of(folder)
    if not (folder / WEIGHTS).is_file():
        raise BackendError(f"{folder} holds an adapter without {WEIGHTS}; no other format of weights is read.")
    try:
        model = load(base, precision)  # type: ignore[arg-type]
    except BackendError as error:
        raise BackendError(
            f"The adapter {folder} belongs to the model {base}, which cannot be loaded. Where it has moved, write its "
            f"new place into {folder / BASE}. {error}"
        ) from error
    if kind is not None:
        check_kind(kind)
        quantise(model.net, kind)
        plain(model.net, model.net, computes_in(model.net))
    try:
        with quietly():
            net = peft.PeftModel.from_pretrained(model.net, str(folder), low_cpu_mem_usage=False)
            whole = net.merge_and_unload(safe_merge=True)
    except Exception as error:
        # peft raises what its kinds of adapters and safetensors raise
        reason = " ".join(str(error).split())[:300]
        raise BackendError(f"The adapter {folder} cannot be merged into {base}: {reason}") from error
    for weight in whole.parameters():
        weight.requires_grad_(True)
    return dataclasses.replace(
        model, net=whole.eval(), tokenizer=tokenizer_in(folder, model.tokenizer), source=str(folder)
    )


def tokenizer_in(folder: Path, base: "ChatTokenizer") -> "ChatTokenizer":
    """The tokenizer in an adapter's folder, or that of its base."""
    from strop.models.chat_tokenizer import load_tokenizer

    own = (folder / "tokenizer.json").is_file()
    return load_tokenizer(folder, sorted(base.eos_ids)) if own else base


def base_of(folder: Path) -> tuple[str, Any]:
    """The name of the model an adapter belongs to, and what its weights were quantised to."""
    try:
        if (folder / BASE).is_file():
            said = json.loads((folder / BASE).read_text(encoding="utf-8"))
            return str(said["model"]), said.get("quantise")
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return str(said["base_model_name_or_path"]), None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendError(f"{folder} does not say which model its adapter belongs to: {error!r}.") from error


def _place(source: str) -> str:
    """What peft and transformers know a model by: a folder, or a name on the hub."""
    from strop.models.language_model import locate

    return locate(source)[0]


def _check_targets(model: "LanguageModel", lora: "LoRA") -> None:
    net = model.net
    head = net.get_output_embeddings()
    products = (nn.Linear, Conv1D)
    known = {name.rpartition(".")[2] for name, m in net.named_modules() if type(m) in products and m is not head}
    unknown = [name for name in lora.targets if name not in known]
    if unknown:
        raise ConfigError(
            f"adapter.targets names {unknown[0]!r}, which is no linear layer of this model's decoder. "
            f"{did_you_mean(unknown[0], known)}"
        )


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise ConfigError('Adapters need peft. Next: pip install "strop[lora]"') from None
    return peft
