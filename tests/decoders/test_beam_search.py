"""Beam search over steps, against a slow search and with scores that are known."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from strop.decoders.beam_search import BeamSearch
from strop.keys import Key
from strop.records import Problem, Trajectory

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


class Digits:
    """A reward that likes large digits: the mean of those in the text."""

    def __call__(self, group):
        found = [[int(c) for c in t.text if c.isdigit()] for t in group.trajectories]
        return np.array([sum(each) / max(1, len(each)) for each in found])


@dataclass
class Steps:
    """Draws a digit and a blank at each call, from a stream of its own, and ends after four."""

    def __call__(self, text, sample):
        said = text.rpartition(">")[2]
        digit = Key.root(0).fold(said, sample).random().randint(0, 9)
        return f"{digit} 0" if said.count(" ") < 3 else f"{digit}"


def slow(budget, width):
    """The texts of the kept beams, by an obvious search with every candidate written out."""
    beams, first = [("", False)], True
    for _ in range(10):
        found, seen = [], Counter()
        for text, done in beams:
            many = 1 if done else budget if first else width
            for _ in range(many):
                # equal beams are continued as samples of one request
                new = "" if done else Steps()(text, seen[text])
                seen[text] += 1
                ended = done or " " not in new
                found.append((text + new.partition(" ")[0] + ("" if done or ended else " "), ended))
        first = False

        def worth(one):
            digits = [int(c) for c in one[0] if c.isdigit()]
            return sum(digits) / len(digits)

        beams = sorted(found, key=worth, reverse=True)[: max(1, budget // width)]
        if all(done for _, done in beams):
            return [text for text, _ in beams]
    raise AssertionError


@pytest.mark.parametrize(("budget", "width"), [(4, 4), (6, 3), (8, 2), (5, 2)])
def test_against_a_slow_search(scripted, draw, budget, width):
    sampler = scripted(Steps())
    found = draw(BeamSearch(width=width, score=Digits()), sampler, budget=budget)
    texts = [t.text for t in found.attempts]
    assert texts == slow(budget, width)
    assert found.cost.tokens == sampler.drawn


def test_the_finished_attempt_with_the_best_score_is_given():
    rows = (0.9, "length"), (0.2, "stop"), (float("nan"), "stop"), (0.5, "stop")
    attempts = [Trajectory(problem=PROBLEM, sample=i, text="", reward=v, finish=how) for i, (v, how) in enumerate(rows)]
    assert BeamSearch()(attempts) == 3
    assert BeamSearch()(attempts[:1]) == 0
    assert BeamSearch()([]) is None


@pytest.mark.parametrize(("reduce", "expected"), [("last", 0.5), ("min", 0.25), ("product", 0.125)])
def test_what_steps_make_of_an_attempt(reduce, expected):
    assert BeamSearch(reduce=reduce)._worth([1.0, 0.25, 0.5]) == expected


def test_without_a_score_a_step_is_worth_its_likelihood(scripted, draw):
    found = draw(BeamSearch(), scripted(Steps()), budget=4)
    # the sampler claims a log-probability of -0.5 for everything
    assert [t.reward for t in found.attempts] == pytest.approx([np.exp(-0.5)])


def test_diverse_keeps_the_best_of_every_branch(scripted, draw):
    found = draw(BeamSearch(width=2, diverse=True, score=Digits()), scripted(Steps()), budget=6)
    plain = draw(BeamSearch(width=2, score=Digits()), scripted(Steps()), budget=6)
    assert len(found.attempts) == len(plain.attempts) == 3
    firsts = [int(c.text[0]) for c in found.attempts]
    pairs = [[Steps()("", branch * 2 + i) for i in range(2)] for branch in range(3)]
    assert firsts == [max(int(text[0]) for text in pair) for pair in pairs]
