"""What made a number: the commit, the versions, the machine."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("strop", "torch", "transformers", "safetensors", "numpy", "pyarrow", "duckdb", "math-verify")
_ROOT = Path(__file__).resolve().parent.parent.parent


def source() -> Mapping[str, str]:
    """Commit, versions and platform, by name; nothing heavy is imported to find them.

    >>> sorted(source())[:3]
    ['commit', 'cpu', 'cpus']
    """
    facts = {"commit": _commit(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts | {"platform": platform.platform(), "cpu": _cpu(), "cpus": str(_usable())}


def _commit() -> str:
    """The commit of the sources, `-dirty` where files differ from it; `unknown` for an installed package."""
    # an installed copy may lie inside some other project's repository, whose commit would say nothing
    if not _git("ls-files", "--error-unmatch", "strop/__init__.py"):
        return "unknown"
    commit = _git("rev-parse", "HEAD")
    return commit + ("-dirty" if commit and _git("status", "--porcelain", "--untracked-files=no") else "") or "unknown"


def exact(commit: str) -> bool:
    """Whether a commit, or the version of an installed package, says which sources they were.

    >>> exact("8f2a1c"), exact("8f2a1c-dirty")
    (True, False)
    """
    return not commit.endswith("-dirty") and (commit != "unknown" or "site-packages" in _ROOT.parts)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _usable() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
