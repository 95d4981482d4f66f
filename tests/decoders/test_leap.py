"""Attempts that read each other's summaries, on a sampler that says what it is told to."""

import itertools

import pytest

from strop.decoders.leap import Leap
from strop.keys import Key

THOUGHTS = ("12+", "34-", "56*")


class Talk:
    """Every attempt thinks of its own numbers; a summary is its number; then all are done."""

    def __init__(self):
        self.turn = itertools.count()

    def __call__(self, text, sample):
        if "</think>" in text:
            return "7"
        if text.endswith("so"):
            return "sum" + text.partition("<think>")[2][:2]
        if "wait" in text:
            return "ok</think>7"
        return "<think>" + THOUGHTS[sample] + " 9" * 20


def test_each_reads_the_summaries_of_the_others(scripted, draw):
    decoder = Leap(stretch=8, summary_tokens=5, peers=2, cue=" so", comment=" check {summary}", answer_tokens=4)
    found = draw(decoder, scripted(Talk()), budget=3, max_tokens=60)
    for i, attempt in enumerate(found.attempts):
        others = {text[:2] for text in THOUGHTS} - {THOUGHTS[i][:2]}
        assert attempt.text.startswith(f"<think>{THOUGHTS[i]} 9 ")
        assert attempt.text.endswith("ok</think>7")
        heard = attempt.text.split(" check ")[1:]
        assert {part[3:5] for part in heard} == others
        assert heard[-1].endswith(" waitok</think>7")


def test_the_unfinished_step_is_dropped_before_a_summary(scripted, draw):
    # seven tokens: <think> 1 2 + blank 9 blank; eight would leave a 9 without a blank after it
    for stretch, kept in ((7, "12+ 9 "), (8, "12+ 9 ")):
        decoder = Leap(stretch=stretch, summary_tokens=5, cue="so", answer_tokens=4)
        found = draw(decoder, scripted(Talk()), budget=3, max_tokens=60)
        assert found.attempts[0].text.startswith(f"<think>{kept}so")


def test_summaries_count_and_no_attempt_writes_more_than_its_tokens(scripted, draw):
    sampler = scripted(Talk())
    found = draw(Leap(stretch=8, summary_tokens=5, answer_tokens=4), sampler, budget=3, max_tokens=60)
    assert found.cost.tokens == sampler.drawn
    # 8 of the stretch, 5 of the summary, then ok</think> and the answer with the end of the turn
    assert found.cost.longest == 8 + 5 + 3 + 2


def test_attempts_that_are_done_think_no_more(scripted, draw):
    sampler = scripted(lambda text, sample: "7" if "</think>" in text else "<think>2</think>7")
    found = draw(Leap(), sampler, budget=2, max_tokens=40)
    assert [t.text for t in found.attempts] == ["<think>2</think>7"] * 2


def test_a_thought_without_end_is_closed(scripted, draw):
    sampler = scripted(lambda text, sample: "7" if "</think>" in text else "1" * 99)
    found = draw(Leap(stretch=4, summary_tokens=2, answer_tokens=3), sampler, budget=2, max_tokens=12)
    for attempt in found.attempts:
        assert attempt.text.endswith("</think>7")
        assert attempt.length <= 12


@pytest.mark.parametrize(("route", "expected"), [("dispersed", {2, 3}), ("clustered", {1, 4}), ("hybrid", {2, 1})])
def test_routes_by_likeness(route, expected):
    texts = ["abcdef", "abcdeg", "zzzz", "yyya", "abcxyz"]
    assert set(Leap(peers=2, route=route).listens(texts, 0)) == expected


def test_a_random_route_depends_on_its_key_alone():
    texts = list("abcdefgh")
    leap = Leap(peers=3, route="random")
    heard = [leap.listens(texts, 2, Key.root(seed)) for seed in range(20)]
    assert heard == [leap.listens(texts, 2, Key.root(seed)) for seed in range(20)]
    assert all(len(set(each)) == 3 and 2 not in each for each in heard)
    assert len({tuple(each) for each in heard}) > 10
