"""What cannot be asked for on a cluster."""

import os

from strop.backends.ray.cluster import HERE
from strop.backends.workers import Workers
from strop.errors import ConfigError


def check(workers: Workers) -> None:
    """Raise `ConfigError` where there can be no such cluster, before anything starts.

    Of this machine alone: learners wait while samplers draw and they while those learn, so that as many of a kind as
    there are cores are busy, and more of them would only be slower.
    """
    if workers.cluster != HERE or os.environ.get("RAY_ADDRESS"):
        return
    most = cores()
    for name, number in (("samplers", workers.samplers), ("learners", workers.learners)):
        if number > most:
            raise ConfigError(
                f"--{name} {number} is more than this machine has cores. Next: --{name} {most}, or a cluster of "
                "several machines: docs/ray.md"
            )


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
