"""`import strop` and the commands that only look things up stay light: no torch, little more than their libraries."""

import json
import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "transformers", "pyarrow", "duckdb", "plotly", "math_verify", "sympy", "pandas")
TIMES = 2.0
"""A command that looks things up may take so much processor time of an application that has next to nothing to do.
On a quiet machine that is 0.1 s for `--help` and 0.2 s for `ls`, most of it spent importing typer and pydantic."""
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


def empty(arguments):
    """An application of typer's with two commands that do nothing."""
    return (
        "import contextlib, io, sys, typer\napp = typer.Typer()\n"
        "@app.command()\ndef ls(room: str = ''): pass\n@app.command()\ndef show(): pass\n"
        f"sys.argv = ['empty', *{arguments!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    app()"
    )


def seconds(code):
    """Processor time of `code` in an interpreter of its own; other processes do not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def times(code, than):
    """Processor time of `code` in that of `than`: each the best of five, in turns, on a machine however slow."""
    both = [(seconds(code), seconds(than)) for _ in range(5)]
    return min(one for one, _ in both) / min(other for _, other in both)


def test_import_strop_loads_nothing_heavy():
    assert loaded("import strop") == []


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_looking_things_up_loads_nothing_heavy(arguments):
    assert loaded(command(arguments)) == []


@pytest.mark.parametrize(("arguments", "like"), [(["--help"], ["--help"]), (["ls"], ["ls", "--room", "tasks"])])
def test_looking_things_up_is_quick(arguments, like):
    assert times(command(arguments), empty(like)) <= TIMES


def test_the_checks_can_fail():
    assert loaded("import sqlite3", ("sqlite3", "torch")) == ["sqlite3"]
    assert times(command(["ls"]), "import json") > TIMES
