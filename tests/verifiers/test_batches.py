"""Judging many answers at once: the same verdicts as one by one, and a lost batch hurts only who lost it."""

import time

import pytest

from strop import catalogue
from strop.records import Problem, Verdict
from strop.verifiers import JudgePool, judge

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")
SOURCE = """
import os, time
from typing import ClassVar
from strop.piece import piece
from strop.records import Verdict

@piece
class Together:
    batch: int = 4
    short: bool = False
    isolate: ClassVar[bool] = True

    def __call__(self, response, problem):
        return self.many([(response, problem)])[0]

    def many(self, pairs):
        for response, _ in pairs:
            if response == "hang":
                while True: pass
            if response == "exit":
                os._exit(3)
            if response == "raise":
                raise RuntimeError("from inside")
        time.sleep(0.05)
        found = [Verdict("right" if text == "5" else "wrong", text, str(len(pairs))) for text, _ in pairs]
        return found[:-1] if self.short and len(pairs) > 1 else found
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    path = tmp_path_factory.mktemp("user") / "together.py"
    path.write_text(SOURCE)
    return catalogue.load_file(f"{path}:Together")


def sizes(verdicts):
    return [int(verdict.detail) for verdict in verdicts]


def test_answers_that_wait_are_judged_together_and_each_gets_its_own_verdict(together):
    said = [str(i % 7) for i in range(30)]
    actual = judge(together(), [(text, PROBLEM) for text in said], workers=1, seconds=20.0)
    assert [(v.outcome, v.answer) for v in actual] == [("right" if t == "5" else "wrong", t) for t in said]
    assert max(sizes(actual)) == 4
    assert sizes(actual).count(4) >= 20


def test_a_verifier_that_says_no_batch_is_given_one_at_a_time(together):
    actual = judge(together(batch=1), [("5", PROBLEM)] * 5, workers=1, seconds=20.0)
    assert sizes(actual) == [1] * 5


@pytest.mark.parametrize(
    ("fault", "outcome", "says"),
    [("hang", "timeout", "within 3 s"), ("exit", "error", "code 3"), ("raise", "error", "from inside")],
)
def test_a_lost_batch_is_judged_again_one_by_one(together, fault, outcome, says):
    said = ["5", "6", fault, "5", "5", "6"]
    actual = judge(together(batch=6), [(text, PROBLEM) for text in said], workers=1, seconds=3.0)
    expected = ["right", "wrong", outcome, "right", "right", "wrong"]
    assert [verdict.outcome for verdict in actual] == expected
    assert says in actual[2].detail


def test_verdicts_that_are_missing_are_asked_for_again(together):
    actual = judge(together(short=True), [("5", PROBLEM)] * 8, workers=1, seconds=20.0)
    assert [verdict.outcome for verdict in actual] == ["right"] * 8
    assert sizes(actual) == [1] * 8


def test_closing_in_the_middle_of_a_batch_waits_for_nothing(together):
    with JudgePool(together(), workers=1, seconds=60.0) as pool:
        pool.submit("warm", "5", PROBLEM)
        assert len(list(pool.results())) == 1
        for tag in range(6):
            pool.submit(tag, "hang", PROBLEM)
        time.sleep(0.3)
        started = time.monotonic()
    assert time.monotonic() - started < 10.0


def test_verdicts_need_no_batch_in_process():
    class Plain:
        isolate = False

        def __call__(self, response, problem):
            return Verdict("right", answer=response)

    assert [v.answer for v in judge(Plain(), [("a", PROBLEM), ("b", PROBLEM)])] == ["a", "b"]
