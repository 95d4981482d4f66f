"""Which number format the torch backend computes in: bf16 where this machine is fast at it, else fp32."""

import functools
import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Literal, get_args

import torch

from strop.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16", "layercast"]

_GAIN = 1.3
"""How much faster bf16 products must be to be worth their rounding."""


def resolve(precision: Precision | str, device: torch.device | str = "cpu") -> torch.dtype:
    """The dtype to compute in.

    `auto` is bf16 on GPUs that have it, and on CPUs where a measurement finds bf16 matrix products at least 1.3 times
    as fast as fp32 ones. The measurement takes a few hundred milliseconds and is remembered for the CPU model and torch
    version in `$XDG_CACHE_HOME/strop` (else `~/.cache/strop`); where that cannot be written it is repeated per process.
    `layercast` computes in fp32; that weights are held in bf16 is a matter of how a model was loaded or is trained.

    >>> resolve("fp32"), resolve("bf16"), resolve("layercast")
    (torch.float32, torch.bfloat16, torch.float32)
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}.")
    if precision == "auto":
        device = torch.device(device)
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
        return torch.bfloat16 if device.type == "cpu" and _cpu_gain() >= _GAIN else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


@functools.cache
def _cpu_gain() -> float:
    """bf16 over fp32 matrix-product rate of this CPU."""
    path = _remembered()
    try:
        gain = float(json.loads(path.read_text(encoding="utf-8"))["bf16_gain"])
        if gain > 0:
            return gain
    except (OSError, ValueError, KeyError, TypeError):
        pass
    gain = _seconds(torch.float32) / _seconds(torch.bfloat16)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(
            json.dumps({"bf16_gain": gain, "cpu": _cpu(), "torch": torch.__version__}), encoding="utf-8"
        )
        temporary.replace(path)
    except OSError:
        pass  # a cache that cannot be written costs a measurement per process, nothing else
    return gain


def _seconds(dtype: torch.dtype) -> float:
    """Best time of a product of the shape a layer of a small model has."""
    with torch.no_grad():
        a, b = torch.ones(256, 512, dtype=dtype), torch.ones(1024, 512, dtype=dtype)
        best = float("inf")
        stop = time.perf_counter() + 0.1
        for round_ in range(10_000):
            begin = time.perf_counter()
            torch.nn.functional.linear(a, b)
            now = time.perf_counter()
            best = min(best, now - begin)
            if round_ >= 3 and now > stop:
                break
    return best


def _remembered() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    name = hashlib.blake2b(
        f"{_cpu()}|{torch.__version__}|{torch.get_num_threads()}".encode(), digest_size=8
    ).hexdigest()
    return Path(root) / "strop" / f"precision-{name}.json"


def _cpu() -> str:
    """The CPU's model and, where Linux tells, its instruction sets: virtual machines share a model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features")
    return "|".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))
