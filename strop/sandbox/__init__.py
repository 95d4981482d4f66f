"""Runs a script that somebody else wrote, a model above all, where it can do no harm.

`run_python(script, files, limits)` starts bubblewrap (`bwrap`) with namespaces of its own for processes, mounts,
network, host name and System V objects: no network, a read-only system without anybody's files, nothing of the caller's
environment. Inside, `_guard.py` is process 1; it sets the limits, starts the script, watches it, ends whatever it left
running, and hands back the files of the folder `out`. System calls that a script that computes and draws does not need
are refused (`_syscalls.py`): sockets of every family, mounts, new namespaces, tracing, memory outside the counted one.

What comes back is as hostile as the script: bytes of bounded length under bounded names, and nothing else is promised.

Where there is no such sandbox, `require` says why (`SandboxError`); work that runs a model's code calls it first.
"""

from strop.sandbox._run import Finished, Limits, require, run_python

__all__ = ["Finished", "Limits", "require", "run_python"]
