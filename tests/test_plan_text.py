"""Plans: how a response is taken apart, what of a plan is taken up, and what is distilled from a solution."""

import itertools
import random
import time

import numpy as np
import pytest

from strop.keys import Key
from strop.plan_text import (
    MARKER,
    MOST,
    adherence,
    common_words,
    distil,
    headings,
    similarity,
    split_plan,
    tokens_until,
)
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.countdown import Countdown

TAGGED = "<EXPLORATION>\n1. Factor\n2. Solve both\n</EXPLORATION>\n<EXECUTION>\n1. Factor it\nx=1\n</EXECUTION>"


@pytest.mark.parametrize(
    ("text", "marker", "expected"),
    [
        (TAGGED, MARKER, ("1. Factor\n2. Solve both", "1. Factor it\nx=1\n</EXECUTION>")),
        ("<think>2+3 so 2+3=5</think>5", " so", ("2+3", "2+3=5</think>5")),
        (" so 2", " so", ("", "2")),
        ("<think>2+3 so a so b", " so", ("2+3", "a so b")),
        ("<think>2+3=5</think>5", " so", None),
        ("", " so", None),
    ],
)
def test_the_two_parts(text, marker, expected):
    assert split_plan(text, marker) == expected


def slow_common(one, other):
    """The longest list of words that both have in the same order, found by trying all of the shorter text's."""
    a, b = sorted((one.split(), other.split()), key=len)
    for size in range(len(a), 0, -1):
        for picked in itertools.combinations(a, size):
            rest = iter(b)
            if all(word in rest for word in picked):
                return size / len(a)
    return 0.0


def test_common_words_against_trying_all():
    draw = random.Random(0)
    seen = set()
    for _ in range(300):
        one, other = (" ".join(draw.choices("abc", k=draw.randint(0, 6))) for _ in range(2))
        actual, expected = common_words(one, other), slow_common(one, other)
        assert actual == pytest.approx(expected)
        assert common_words(other, one) == actual
        seen.add(expected)
    assert len(seen) > 6


@pytest.mark.parametrize(
    ("plan", "execution", "expected"),
    [
        ("1. Factor\n2. Solve both\n3. Check", "1. Factor it\nx\n2. Now solve both roots\n", 2 / 3),
        # one of three words is more than 0.3 of the shorter one
        ("1. add the numbers", "1. multiply the rest\n", 1.0),
        # `of the` and `the last of` have one word in the same order: one of five
        ("1. add all of the numbers", "1. multiply by the last of them\n", 0.0),
        ("1. add", "add without a number", 1.0),
        ("1. add", "1. 5\n2. 6\n", 0.0),
        ("", "1. add", 0.0),
        ("1. add", "", 0.0),
    ],
)
def test_what_is_taken_up(plan, execution, expected):
    assert adherence(plan, execution) == pytest.approx(expected)


def test_numbers_within_a_line_make_no_heading():
    assert headings("1. Half of 2.5 is 1. 25\nso 3. no") == ["Half of 2.5 is 1. 25"]
    assert headings("## 2. Two") == ["Two"]


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        ("42+50=92 92+41=133", "42+50 +41"),
        ("2*8=16 5+12=17 16+17=33", "2*8 5+12 +"),
        ("7*7=49 49-7=42", "7*7 -7"),
        ("12-5=7 2*7=14", "12-5 2*"),
        ("2+3=5 check 2+3=5 ok", "2+3 2+3"),
        # what has been used once is a number like any other
        ("2+3=5 5+1=6 5*2=10", "2+3 +1 5*2"),
        ("12 x 3", ""),
    ],
)
def test_a_plan_knows_no_result(solution, expected):
    assert distil(solution) == expected


@pytest.mark.parametrize("task", [Arithmetic(levels=(2, 3, 4, 6)), Countdown(levels=(3, 4, 5))])
def test_a_worked_response_keeps_to_its_own_plan(task):
    for i in range(100):
        problem = task.problem("train", i)
        thought = task.write(problem, "short", Key.root(i)).split("</think>")[0].removeprefix("<think>")
        plan = distil(thought)
        assert adherence(plan, thought) == 1.0
        assert len(plan.split()) == len(thought.split())
        assert len(plan) < len(thought)


def test_the_marker_is_found_at_the_first_token_that_completes_it():
    draw = random.Random(1)
    vocabulary = ["s", "o", " ", " s", "so", "x", " so", "os"]
    for _ in range(300):
        ids = np.array(draw.choices(range(len(vocabulary)), k=draw.randint(0, 9)), dtype=np.int64)

        def decode(tokens):
            return "".join(vocabulary[i] for i in tokens)

        expected = next((n for n in range(1, len(ids) + 1) if " so" in decode(ids[:n])), None)
        assert tokens_until(ids, decode, " so") == expected


def test_hostile_text_takes_no_long_time():
    started = time.monotonic()
    for text in ("<a>" * 200_000, "1. a\n" * 100_000, "1+1=2 " * 100_000, "\n" * 300_000, "9" * 300_000):
        split_plan(text + " so", " so")
        assert len(headings(text)) <= MOST
        adherence(text, text)
        distil(text)
    assert time.monotonic() - started < 20
    assert similarity("", "") == 1.0
