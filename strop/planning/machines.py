"""Machines to plan for: numbers from their makers' data sheets, or measured here."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from strop.errors import ConfigError, did_you_mean

GiB = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """One accelerator, or one host without any, and what connects several."""

    name: str
    memory: int
    """Bytes."""
    bf16: float
    """Peak floating-point operations per second, dense."""
    fp32: float
    bandwidth: float
    """Bytes per second between memory and processor."""
    link: float
    """Bytes per second to another accelerator of the same host, one way."""
    network: float
    """Bytes per second to one of another host."""
    launch: float
    """Seconds that a layer takes at least in a decode step, however small it is: kernel launches."""
    utilisation: float = 0.4
    """Share of the peak that a learner reaches, and half of the share of the bandwidth that decoding reaches: an
    assumption."""
    count: int = 1
    per_host: int = 8


KNOWN = {
    each.name: each
    for each in (
        Machine("H200", 141 * 10**9, 989e12, 67e12, 4.8e12, 450e9, 50e9, 3e-4),
        Machine("H100", 80 * 10**9, 989e12, 67e12, 3.35e12, 450e9, 50e9, 3e-4),
        Machine("A100", 80 * 10**9, 312e12, 19.5e12, 2.0e12, 300e9, 25e9, 3e-4),
        Machine("L40S", 48 * 10**9, 362e12, 91e12, 0.864e12, 32e9, 12.5e9, 3e-4),
        Machine("A10", 24 * 10**9, 125e12, 31e12, 0.6e12, 32e9, 6.25e9, 3e-4),
        Machine("RTX4090", 24 * 10**9, 165e12, 82e12, 1.0e12, 32e9, 6.25e9, 3e-4),
    )
}


def machines(text: str) -> Machine:
    """`1xH200`, `64xA100`, or `cpu`: this machine, whose speed is measured.

    >>> machines("8xH100").count, machines("A100").count
    (8, 1)
    """
    if text.lower() == "cpu":
        return here()
    found = re.fullmatch(r"(?:([1-9][0-9]{0,5})\s*[x×*]\s*)?([A-Za-z0-9]+)", text.strip())
    known = {name.lower(): name for name in KNOWN}
    if found is None or found[2].lower() not in known:
        raise ConfigError(
            f"--gpus takes a number and a kind, such as 1xH200, or cpu for this machine; got {text!r}. "
            f"{did_you_mean(found[2] if found else text, [*KNOWN, 'cpu'])}"
        )
    return replace(KNOWN[known[found[2].lower()]], count=int(found[1] or 1))


def here() -> Machine:
    """This machine without its accelerators: products and copies timed now, about a second."""
    import torch

    def best(work: Callable[[], object], times: int = 5) -> float:
        seconds: list[float] = []
        for _ in range(times):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    def rate(dtype: torch.dtype) -> float:
        # as tall as a micro-batch and as wide as a small model: larger products are faster, smaller ones slower
        left, right = torch.randn(2048, 256, dtype=dtype), torch.randn(256, 704, dtype=dtype)
        return 2 * 2048 * 256 * 704 / best(lambda: left @ right)

    block = torch.empty(64 << 20, dtype=torch.uint8)
    copied = torch.empty_like(block)
    bandwidth = 2 * len(block) / best(lambda: copied.copy_(block))
    return Machine(
        "cpu", _installed(), rate(torch.bfloat16), rate(torch.float32), bandwidth, bandwidth, 1e9, 5e-5, per_host=1,
    )  # fmt: skip


def free() -> tuple[float, str]:
    """Bytes of memory that nobody uses now, and whose: a GPU's where there is one."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0]), "the GPU"
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            [line] = [line for line in lines if line.startswith("MemAvailable:")]
        return 1024.0 * int(line.split()[1]), "this machine"
    except (OSError, ValueError):
        # only Linux tells
        return float(_installed()), "this machine"


def _installed() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
