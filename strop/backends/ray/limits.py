"""What cannot be asked for on a cluster."""

import os

from strop.backends.ray.cluster import HERE
from strop.backends.workers import Workers
from strop.errors import ConfigError


def check(workers: Workers) -> None:
    """Raise `ConfigError` where there can be no such cluster, before anything starts.

    Of this machine alone: the learner waits while samplers draw and they while it learns, so that as many samplers as
    there are cores are busy, and more of them would only be slower.
    """
    most = cores()
    if workers.cluster == HERE and not os.environ.get("RAY_ADDRESS") and workers.samplers > most:
        raise ConfigError(
            f"--samplers {workers.samplers} is more than this machine has cores. Next: --samplers {most}, or a cluster "
            f"of several machines: docs/ray.md"
        )


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
