"""Keeps two processes of one machine from writing into the same run."""

import contextlib
import json
import os
import platform
from pathlib import Path

from strop.errors import StoreError
from strop.store.files import write_file

_NAME = ".writer"


def claim(run: Path) -> None:
    """Say that this process writes `run`; a `StoreError` if another one that is alive does.

    A claim is a note with a process id, so a killed writer never has to be unlocked by hand. A claim from another
    machine is taken over: after a node is lost its run must go on elsewhere.
    """
    holder = _holder(run)
    if holder is not None and holder != _me():
        raise StoreError(
            f"{run} is being written by process {holder[1]} on this machine. Stop it first: kill {holder[1]}"
        )
    write_file(run / _NAME, json.dumps(_me()).encode())


def release(run: Path) -> None:
    """Give up the claim, if it is this process's."""
    with contextlib.suppress(OSError):
        if _holder(run) == _me():
            (run / _NAME).unlink(missing_ok=True)


def _me() -> tuple[str, int, str]:
    return platform.node(), os.getpid(), _born(os.getpid())


def _holder(run: Path) -> tuple[str, int, str] | None:
    """The living process of this machine that holds the claim."""
    try:
        host, pid, born = json.loads((run / _NAME).read_bytes())
    except (OSError, ValueError, TypeError):
        return None
    # the time of birth tells a process from a later one with the same number
    alive = host == platform.node() and isinstance(pid, int) and _born(pid) == born != ""
    return (host, pid, born) if alive else None


def _born(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
