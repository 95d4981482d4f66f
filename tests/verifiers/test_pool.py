"""Judging in worker processes: every way in which a verifier can fail is a verdict of its own row."""

import os
import subprocess
import sys
import threading
import time

import pytest

from strop import catalogue
from strop.errors import VerifierError
from strop.records import Problem, Verdict
from strop.verifiers._pool import JudgePool, judge

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")
SOURCE = """
import ctypes, os, sys, time
from typing import ClassVar
from strop.piece import piece
from strop.records import Verdict

@piece
class Hostile:
    isolate: ClassVar[bool] = True
    def __call__(self, response, problem):
        if response == "hang":
            while True: pass
        if response == "sleep":
            time.sleep(0.5)
        if response == "exit":
            os._exit(3)
        if response == "crash":
            ctypes.string_at(0)
        if response == "raise":
            raise RuntimeError("from inside")
        if response == "quit":
            sys.exit("bye")
        if response == "memory":
            bytearray(2**30)
        if response == "number":
            return 1.0
        if response == "pid":
            return Verdict("right", answer=str(os.getpid()))
        return Verdict("right" if response == problem.reference else "wrong", answer=response)
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    path = tmp_path_factory.mktemp("user") / "hostile.py"
    path.write_text(SOURCE)
    return catalogue.load_file(f"{path}:Hostile")()


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children():
    output = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return [line for line in output.stdout.splitlines() if "_worker" in line or "defunct" in line]


def test_each_failure_is_a_verdict_and_hurts_no_neighbour(hostile):
    said = ["5", "hang", "5", "exit", "5", "crash", "6", "raise", "5", "quit", "5", "number", "5"]
    actual = judge(hostile, [(text, PROBLEM) for text in said], seconds=0.5)
    expected = ["right", "timeout", "right", "error", "right", "error", "wrong"]
    expected += ["error", "right", "error", "right", "error", "right"]
    assert [v.outcome for v in actual] == expected
    details = {text: v.detail for text, v in zip(said, actual, strict=True)}
    assert "0.5 s" in details["hang"]
    assert "code 3" in details["exit"]
    assert "code -11" in details["crash"]
    assert details["raise"] == "RuntimeError: from inside"
    assert "SystemExit" in details["quit"]
    assert "not a Verdict" in details["number"]
    assert children() == []


def test_memory_is_limited(hostile):
    for gigabytes, expected in ((0.75, "error"), (4.0, "wrong")):
        with JudgePool(hostile, workers=1, seconds=10.0, memory_gb=gigabytes) as pool:
            pool.submit(0, "memory", PROBLEM)
            [(_, verdict)] = pool.results()
        assert verdict.outcome == expected
        assert ("MemoryError" in verdict.detail) == (expected == "error")


def test_results_come_while_others_still_run(hostile):
    with JudgePool(hostile, workers=2, seconds=5.0) as pool:
        pool.submit("slow", "sleep", PROBLEM)
        pool.submit("fast", "5", PROBLEM)
        assert [tag for tag, _ in pool.results()][-1] == "slow"
        pool.submit("again", "5", PROBLEM)
        assert [(tag, v.outcome) for tag, v in pool.results()] == [("again", "right")]


def test_judging_goes_on_while_the_caller_is_busy(hostile):
    with JudgePool(hostile, workers=1, seconds=0.3) as pool:
        pool.submit("warm", "5", PROBLEM)
        assert len(list(pool.results())) == 1
        for tag in ("hang", "sleep", "5"):
            pool.submit(tag, tag, PROBLEM)
        time.sleep(4.0)  # generation; nobody asks the pool for anything
        started = time.monotonic()
        verdicts = {tag: v.outcome for tag, v in pool.results()}
        assert time.monotonic() - started < 0.2
        assert verdicts == {"hang": "timeout", "sleep": "timeout", "5": "right"}


def test_workers_start_at_the_first_answer_and_end_with_the_pool(hostile):
    pool = JudgePool(hostile, workers=2, seconds=5.0)
    assert children() == []
    pool.submit(0, "pid", PROBLEM)
    [(_, verdict)] = pool.results()
    assert len(children()) == 1, "one answer needs one worker"
    assert running(int(verdict.answer))
    pool.close()
    assert not running(int(verdict.answer))
    with pytest.raises(VerifierError, match="closed"):
        pool.submit(1, "5", PROBLEM)


def test_closing_does_not_wait_for_a_hang(hostile):
    with JudgePool(hostile, workers=1, seconds=60.0) as pool:
        pool.submit("warm", "5", PROBLEM)
        assert len(list(pool.results())) == 1
        pool.submit("hang", "hang", PROBLEM)
        time.sleep(0.3)
        started = time.monotonic()
    assert time.monotonic() - started < 2.0
    assert children() == []


def test_a_worker_whose_pool_died_ends_itself(hostile, tmp_path):
    # the parent dies without closing anything while its worker spins in a loop that no Python code interrupts
    script = tmp_path / "parent.py"
    script.write_text(f"""
import os, time
from strop import catalogue
from strop.records import Problem
from strop.verifiers._pool import JudgePool
verify = catalogue.load_file({sys.modules[type(hostile).__module__].__file__!r} + ":Hostile")()
pool = JudgePool(verify, workers=1, seconds=0.5)
problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
pool.submit(0, "pid", problem)
print(next(pool.results())[1].answer, flush=True)
pool.submit(1, "hang", problem)
time.sleep(0.1)
os._exit(0)
""")
    # no `if __name__` guard in that script: a worker must not run it again
    output = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    pid = int(output.stdout)
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(pid)


def test_works_from_another_thread(hostile):
    actual = []
    thread = threading.Thread(
        target=lambda: actual.extend(judge(hostile, [("5", PROBLEM), ("hang", PROBLEM)], seconds=0.5))
    )
    thread.start()
    thread.join(60)
    assert [v.outcome for v in actual] == ["right", "timeout"]


def test_a_verifier_that_is_not_isolated_runs_here():
    def verify(response, problem):
        if response == "raise":
            raise KeyError("inside")
        return Verdict("right", answer=str(os.getpid()))

    right, error = judge(verify, [("5", PROBLEM), ("raise", PROBLEM)])
    assert right.answer == str(os.getpid())
    assert (error.outcome, error.detail) == ("error", "KeyError: 'inside'")


def test_a_verifier_that_no_worker_can_load_is_one_clear_error(tmp_path):
    path = tmp_path / "brokenlater.py"
    path.write_text(SOURCE.replace("Hostile", "Brokenlater"))
    verify = catalogue.load_file(f"{path}:Brokenlater")()
    path.write_text("raise ImportError('gone')")
    with pytest.raises(VerifierError, match=r"Brokenlater cannot be loaded.*(?s:.*)gone"):
        judge(verify, [("5", PROBLEM), ("6", PROBLEM)])

    class Local:
        isolate = True

        def __call__(self, response, problem): ...

    with pytest.raises(VerifierError, match="top level"):
        judge(Local(), [("5", PROBLEM)])
