"""What the tests of runs on a Ray cluster share: a cluster of this machine, and its processes."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from strop.backends.ray import cluster
from strop.backends.workers import Workers

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='actors need "strop[ray]"')

TWO = Workers(cluster="ray", samplers=2)
PATIENCE = 300
"""Seconds that a machine with much else to do may take."""


@contextmanager
def own_cluster() -> Iterator[Any]:
    """Of this machine, with room for two engines; nothing of it stays."""
    os.environ.pop("RAY_ADDRESS", None)
    with cluster.joined("ray", 6) as there:
        yield there.ray
    assert not [command for _, command in family(os.getpid()) if "ray" in command], "something was left over"


def family(pid: int) -> list[tuple[int, str]]:
    """All processes below this one with their commands, as /proc has them."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if status[0] != "Z":
                parents[int(entry.name)] = int(status[1]), command
    found: list[tuple[int, str]] = []
    for child, (parent, command) in parents.items():
        if parent == pid:
            found += [(child, command), *family(child)]
    return found
