"""Answers judged by principles, on a sampler that says what it is told to."""

import pytest

from strop.decoders.reflect import Reflect


def talk(scores):
    """Says 6 at first, `scores` when asked to rate, and 5 after a critique."""

    def say(text, sample):
        if text.endswith("that mended.<|end|><|assistant|>"):
            return "<think>hm</think>5"
        if "<|user|>" in text and "goes against this" in text.rpartition("<|user|>")[2]:
            return "too long"
        return scores if "ate that answer" in text else "<think>2+3</think>6"

    return say


TWO = ("is short", "is even")


@pytest.mark.parametrize(
    ("scores", "expected"),
    [("1=5 2=4", ["6"]), ("1=5 2=3", ["6", "5"]), ("1 1", ["6", "5"]), ("no", ["6"])],
)
def test_a_low_score_brings_a_new_answer(scripted, draw, scores, expected):
    sampler = scripted(talk(scores))
    decoder = Reflect(principles=TWO, judge_tokens=12)
    found = draw(decoder, sampler, budget=3)
    assert [t.text.rpartition(">")[2] for t in found.attempts] == expected
    assert decoder(found.attempts) == len(expected) - 1
    assert found.cost.tokens == sampler.drawn
    assert [t.sample for t in found.attempts] == list(range(len(expected)))


def test_a_critique_is_about_what_was_broken_only(scripted, draw):
    sampler = scripted(talk("1=5 2=1"))
    draw(Reflect(principles=TWO, judge_tokens=12), sampler, budget=3)
    asked = [text.rpartition("<|user|>")[2] for text, _ in sampler.asked]
    critique = next(text for text in asked if "goes against this" in text)
    assert "is even" in critique
    assert "is short" not in critique


def test_later_turns_see_the_answer_and_not_the_thought(scripted, draw):
    sampler = scripted(talk("1=1"))
    draw(Reflect(principles=TWO, judge_tokens=12), sampler, budget=3)
    assert all("<think>" not in text for text, _ in sampler.asked)
    assert any("<|assistant|>6<|end|>" in text for text, _ in sampler.asked)


def test_a_budget_of_one_is_one_answer_that_fits(scripted, draw):
    sampler = scripted(talk("1=1"))
    found = draw(Reflect(principles=TWO, judge_tokens=12), sampler, budget=1, max_tokens=20)
    assert len(found.attempts) == 1


def test_rules_judge_in_place_of_the_model_and_leave_the_prompt_alone(scripted, draw):
    sampler = scripted(talk("1=5"))

    def judge(response, problem):
        return (1.0,) if response.endswith("6") else (5.0,)

    found = draw(Reflect(principles=("is odd",), judge=judge, rounds=3, judge_tokens=12), sampler, budget=4)
    assert [t.text.rpartition(">")[2] for t in found.attempts] == ["6", "5"]
    assert sampler.asked[0][0] == "<|user|>2+3<|end|><|assistant|>"


def test_a_prompt_beyond_the_context_gives_no_attempt(scripted, draw):
    found = draw(Reflect(principles=("x" * 60,)), scripted(talk("1=5"), context=40))
    assert found.attempts == ()
    assert Reflect()(found.attempts) is None
