"""Diversity by hand and by its properties."""

import math
import random

import numpy as np
import pytest

from strop.errors import ConfigError
from strop.probes.diversity import Diversity
from strop.records import Group, Problem, Trajectory, Verdict


def group(name, texts, answers=None, tokens=None):
    problem = Problem(id=name, task="a", prompt=(), reference="5")
    answers = answers or [None] * len(texts)
    return Group(
        problem,
        tuple(
            Trajectory(
                problem=problem,
                sample=i,
                text=text,
                verdict=Verdict("wrong", answer) if answer else Verdict("unparsable"),
                tokens=None if tokens is None else np.array(tokens[i]),
            )
            for i, (text, answer) in enumerate(zip(texts, answers, strict=True))
        ),
    )


def test_ead_is_the_formula():
    # unigrams: a b a c, 3 of 4 distinct; bigrams: "a b" and "a c", 2 of 2; V = 10
    expected = (3 / (10 * (1 - 0.9**4)) + 2 / (10 * (1 - 0.9**2))) / 2
    actual = Diversity(orders=2, vocabulary=10)([group("p", ["a b", "a c"])])
    assert actual["ead_per_problem"] == pytest.approx(expected)
    # across problems: only the first text, a b
    assert actual["ead_across_problems"] == pytest.approx((2 / (10 * (1 - 0.9**2)) + 1 / (10 * (1 - 0.9))) / 2)


def test_ead_does_not_fall_with_length_where_plain_distinct_n_does():
    draw = random.Random(0)
    words = [" ".join(str(draw.randrange(100)) for _ in range(length)) for length in (50, 2000)]
    short, long = (Diversity(orders=1, vocabulary=100)([group("p", [text])])["ead_per_problem"] for text in words)
    assert short == pytest.approx(long, rel=0.1)
    plain = [len(set(text.split())) / len(text.split()) for text in words]
    assert plain[1] < 0.2 * plain[0]


def test_token_ids_count_where_they_are_known():
    same_text = group("p", ["x", "x"], tokens=[[1, 2], [3, 4]])
    actual = Diversity(orders=1, vocabulary=10)([same_text])["ead_per_problem"]
    assert actual == pytest.approx(4 / (10 * (1 - 0.9**4)))


def test_answers():
    groups = [group("p", ["", "", "", ""], ["5", "5", "6", None]), group("q", [""] * 4, ["7"] * 4)]
    actual = Diversity()(groups)
    entropy = -(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3)
    assert actual["distinct_answers"] == pytest.approx((2 + 1) / 2)
    assert actual["answer_entropy"] == pytest.approx((entropy + 0) / 2)
    assert actual["ci"]["distinct_answers"] == [1.0, 2.0]


def test_problems_are_compared_at_equal_numbers_of_attempts():
    groups = [group("p", ["a", "b", "c", "d"], ["1", "2", "3", "4"]), group("q", ["a", "a"], ["1", "1"])]
    actual = Diversity()(groups)
    assert actual["samples"] == 2
    assert actual["distinct_answers"] == pytest.approx((2 + 1) / 2)


def test_texts_without_words():
    actual = Diversity()([group("p", ["", " "])])
    assert (actual["ead_per_problem"], actual["answer_entropy"], actual["distinct_answers"]) == (0, 0, 0)
    with pytest.raises(ConfigError, match="at least one problem"):
        Diversity()([])
