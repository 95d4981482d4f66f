"""`import strop` and the commands that only look things up stay light: no torch, a fraction of a second."""

import json
import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "transformers", "pyarrow", "duckdb", "plotly", "math_verify", "sympy", "pandas")
SECONDS = 0.3
LIGHT = (["--help"], ["ls"], ["ls", "objectives"], ["ls", "--systems", "--json"], ["show", "grpo", "--json"])


def loaded(code, names=HEAVY):
    """Which of `names` are imported once `code` has run in an interpreter of its own."""
    ending = f"\nimport json, sys\nprint(json.dumps([name for name in {list(names)!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def command(arguments):
    return (
        "import contextlib, io, sys\nfrom strop.cli.main import app\n"
        f"sys.argv = ['strop', *{arguments!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    app()"
    )


def seconds(code):
    """Processor time of `code` in an interpreter of its own, best of five; other processes do not count."""
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def test_import_strop_loads_nothing_heavy():
    assert loaded("import strop") == []


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_looking_things_up_loads_nothing_heavy(arguments):
    assert loaded(command(arguments)) == []


@pytest.mark.parametrize("arguments", LIGHT[:2], ids=" ".join)
def test_looking_things_up_is_quick(arguments):
    assert seconds(command(arguments)) <= SECONDS


def test_the_checks_can_fail():
    assert loaded("import sqlite3", ("sqlite3", "torch")) == ["sqlite3"]
    assert seconds(f"import time\nwhile time.process_time() < {SECONDS} + 0.05: pass") > SECONDS
