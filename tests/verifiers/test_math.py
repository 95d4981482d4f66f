"""The mathematical verifier against real references, against answers worked out by hand, and against hostile ones."""

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest

from strop.records import Problem
from strop.verifiers._pool import JudgePool, judge
from strop.verifiers.math import Math

DATA = Path(__file__).parents[2].parent / "shared" / "data"
EQUAL_NEIGHBOURS = {("5", "x=5")}
"""Neighbouring MATH-500 answers that are written differently and are equal: a value, and an assignment of it."""


def problem(reference):
    return Problem(id="m/test/0", task="m", prompt=(), reference=reference)


def golds(name):
    path = DATA / f"{name}_test.jsonl"
    if not path.exists():
        pytest.skip(f"needs the public data set {path.name} in ../shared/data")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if name == "gsm8k":
        return [row["answer"].rpartition("####")[2].strip() for row in rows]
    return [row["Answer"] if name == "svamp" else row["answer"] for row in rows]


@pytest.mark.parametrize(("name", "rows"), [("gsm8k", 1319), ("svamp", 1000), ("math500", 500)])
def test_every_reference_is_right_against_itself_and_wrong_against_its_neighbour(name, rows):
    references = golds(name)
    assert len(references) == rows
    neighbours = references[1:] + references[:1]
    own = [(f"<think>so</think>\\boxed{{{gold}}}", problem(gold)) for gold in references]
    other = [(f"<think>so</think>{said}", problem(gold)) for gold, said in zip(references, neighbours, strict=True)]
    verdicts = judge(Math(), own + other)
    assert [(gold, v) for gold, v in zip(references, verdicts, strict=False) if v.outcome != "right"] == []
    for gold, said, verdict in zip(references, neighbours, verdicts[rows:], strict=True):
        if name == "math500":
            expected = gold == said or (gold, said) in EQUAL_NEIGHBOURS
        else:
            expected = Fraction(str(gold).replace(",", "")) == Fraction(str(said).replace(",", ""))
        assert verdict.outcome == ("right" if expected else "wrong"), (gold, said, verdict)


def test_whole_worked_solutions_serve_as_reference_and_response():
    path = DATA / "gsm8k_test.jsonl"
    if not path.exists():
        pytest.skip("needs the public data set gsm8k_test.jsonl in ../shared/data")
    solutions = [json.loads(line)["answer"] for line in path.read_text().splitlines()[:100]]
    assert {v.outcome for v in judge(Math(), [(text, problem(text)) for text in solutions])} == {"right"}


RIGHT = [
    ("0.5", "1/2"), ("\\frac12", "0.5"), ("\\dfrac{2}{4}", "0.5"), ("1/sqrt(2)", "\\frac{\\sqrt2}{2}"),
    ("$18", "18"), ("18 dollars", "$18"), ("1,080", 1080), ("\\$32,348", "\\$32,\\!348"), ("18.0", 18),
    ("50%", "50"), ("50\\%", "0.5"), ("0.5", "50%"), ("90 degrees", "90^\\circ"), ("5 cm", "5\\text{ cm}"),
    ("x=5", "5"), ("5", "x=5"), ("2+3=5", "5"), ("(3, pi/2)", "\\left( 3, \\frac{\\pi}{2} \\right)"),
    ("52", "52_8"), ("42_{10}", "52_8"), ("0.333333", "1/3"), ("3.14159265", "\\pi"), ("2.5 million", "2500000"),
    ("East", "\\text{east}"), ("C", "\\text{(C)}"), ("New York", "New York"), ("The answer is New York.", "New York"),
    ("June 20", "June 20"), ("{2,1}", "1,2"), ("p-q", "-q+p"), ("2(x+1)", "2x+2"), ("x**10", "x^{10}"),
    ("(-oo, 0]", "(-\\infty, 0]"), ("x<5", "(-\\infty,5)"), ("6.72e-5", ".0000672"), ("1 4/5", "1\\frac{4}{5}"),
    ("The answer is 18 dollars for 2 days.", "18"), ("**Answer:** 18", "18"), ("12 + 5 = 17 apples", "17"),
    ("Final Answer: \\(\\frac{1}{2}\\)", "1/2"), ("The value is \\frac{1}{2}", "0.5"), ("−5", "-5"),
    ("\\boxed{5} is wrong, so \\boxed{6}", "6"), ("3 apples\n#### 1,080", "1080"), ("\\boxed{7}\n#### 8", "7"),
    ("#### 3\nno, wait\n#### 4", "4"),
]  # fmt: skip
WRONG = [
    ("1,2", "2"), ("1,2,3", "3"), ("5 or 6", "5"), ("(2,1)", "(1,2)"), ("y=5", "x=5"), ("-5", "5"), ("5", "50%"),
    ("52_8", "52_9"), ("0.0000672", "0.0000674"), ("0.33", "1/3"), ("3.14", "\\pi"), ("seat", "\\text{east}"),
    ("D", "C"), ("2.5 million", "2.5"), ("100000001", "100000000"), ("1000000.5", "1000000.4"), ("123456", "123456.4"),
    ("[-2,7)", "x \\in [-2,7]"), ("x<5", "x>5"), ("\\boxed{5} or \\boxed{6}", "5"), ("$x+1$ costs $5", "5"),
]  # fmt: skip
UNPARSABLE = ["", "no idea", "<think>5", "<think>5</think>", "\\boxed{}", "\\boxed{5", "1/0", "{" * 30 + "5", "\\frac{"]


def test_answers_worked_out_by_hand():
    cases = [(*pair, "right") for pair in RIGHT] + [(*pair, "wrong") for pair in WRONG]
    cases += [(said, "5", "unparsable") for said in UNPARSABLE]
    verdicts = judge(Math(), [(said, problem(gold)) for said, gold, _ in cases])
    assert [(case, v) for case, v in zip(cases, verdicts, strict=True) if v.outcome != case[2]] == []


def test_equal_numbers_vote_together():
    said = ["0.5", "\\frac{1}{2}", "\\boxed{2/4}", "The answer is .50", "$0.5"]
    assert {v.answer for v in judge(Math(), [(text, problem("7")) for text in said])} == {"1/2"}


def test_a_reference_that_cannot_be_read_is_an_error_not_a_zero():
    [verdict] = judge(Math(), [("5", problem("\\frac{"))])
    assert verdict.outcome == "error"
    assert "reference" in verdict.detail


HOSTILE = [
    "9**9**9**9", "9^{9^{9^{9}}}", "10^{10^{10}}", "\\boxed{10^{10^{10}}}", "99999999!", "(x+y+z)^{300}", "1e999",
    "(" * 5000 + ")" * 5000, "\\frac{1}{" * 150 + "1" + "}" * 150, "{" * 400 + "}" * 400, "9" * 1_000_000,
    "\\boxed{" * 100_000, "\\(" * 300_000, "$a" * 300_000, "111," * 300_000, "answer " * 150_000, "<think>" * 100_000,
    "</think>" * 100_000, "x" * 1_000_000, "\\text{" * 300, "\\boxed{\x00}", "\ud800", "\\infty-\\infty", "-" * 100_000,
]  # fmt: skip


def test_a_hostile_answer_costs_its_own_row_only():
    seconds, workers = 1.0, 2
    started = time.monotonic()
    with JudgePool(Math(seconds=seconds), workers=workers) as pool:
        for i, text in enumerate(HOSTILE):
            pool.submit(("hostile", i), text, problem("5"))
            pool.submit(("neighbour", i), "<think>2+3</think>5", problem("5"))
        verdicts = dict(pool.results())
    hostile = [verdicts["hostile", i] for i in range(len(HOSTILE))]
    allowed = {"wrong", "unparsable", "timeout"}
    assert [(t[:30], v) for t, v in zip(HOSTILE, hostile, strict=True) if v.outcome not in allowed] == []
    assert {verdicts["neighbour", i].outcome for i in range(len(HOSTILE))} == {"right"}
    hung = sum(v.outcome == "timeout" for v in hostile)
    assert hung >= 2
    # each hang costs its limit and the start of a new worker, shared among the workers
    assert time.monotonic() - started < 30 + hung * (seconds + 5)
