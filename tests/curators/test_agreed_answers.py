"""Lessons for a verifier: only what was rejected, only where all judges agree, both labels equally often."""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest

from strop.curators.agreed_answers import AgreedAnswers
from strop.keys import Key
from strop.piece import piece
from strop.records import Group, Problem, Trajectory, Turn, Verdict


@piece
class Accepts:
    """Calls some texts right, some wrong, and cannot read the rest."""

    right: str
    wrong: str = "0123456789"
    isolate: ClassVar[bool] = False

    def __call__(self, response: str, problem: Problem) -> Verdict:
        answer = response.rpartition(">")[2]
        return Verdict("right" if answer in self.right else "wrong" if answer in self.wrong else "unparsable")


def groups(*said):
    """A group for each tuple of (text, what the stage's verifier said)."""
    found = []
    for index, each in enumerate(said):
        problem = Problem(id=f"a/train/{index}", task="a", prompt=(Turn("user", "2+3"),), reference="5")
        rows = (
            Trajectory(problem=problem, sample=i, text=text, verdict=None if outcome is None else Verdict(outcome))
            for i, (text, outcome) in enumerate(each)
        )
        found.append(Group(problem, tuple(rows)))
    return found


def marks(curator, given, key=0):
    return [(t.text, t.dropped) for group in curator(given, Key.root(key)) for t in group.trajectories]


@pytest.mark.parametrize(
    ("text", "outcome", "expected"),
    [
        ("<think>x</think>1", "wrong", ("true", "")),
        ("1", "unparsable", ("true", "")),
        ("3", "wrong", ("false", "")),
        ("2", "wrong", ("2", "judges differ")),
        ("?", "wrong", ("?", "judges differ")),  # neither can read it: no label
        ("1", "right", ("1", "accepted")),
        ("1", "timeout", ("1", "no answer")),
        ("1", None, ("1", "no answer")),
        ("<think>1", "unparsable", ("<think>1", "no answer")),
    ],
)
def test_what_becomes_of_an_attempt(text, outcome, expected):
    curator = AgreedAnswers(judges=(Accepts(right="12"), Accepts(right="1")), balanced=False)
    assert marks(curator, groups([(text, outcome)])) == [expected]


def test_a_lesson_shows_the_answer_and_not_the_thought():
    [group] = AgreedAnswers(judges=(Accepts("1"),), balanced=False)(
        groups([("<think>so</think>1", "wrong")]), Key.root(0)
    )
    [lesson] = group.trajectories
    assert lesson.problem.question == "2+3\nreference: 5\nanswer: 1\ntrue?"
    assert (lesson.problem.reference, lesson.problem.id, lesson.tokens) == ("true", "a/train/0", None)


def test_answers_count_once_for_a_problem_and_marks_stay():
    given = groups([("1", "wrong"), ("<think>x</think>1", "wrong"), ("3", "wrong")], [("1", "wrong")])
    given[0] = replace(
        given[0], trajectories=(*given[0].trajectories[:2], replace(given[0].trajectories[2], dropped="x"))
    )
    curator = AgreedAnswers(judges=(Accepts("1"),), balanced=False)
    expected = [("true", ""), ("<think>x</think>1", "duplicate"), ("3", "x"), ("true", "")]
    assert marks(curator, given) == expected


@pytest.mark.parametrize(("right", "wrong"), [(3, 9), (9, 3), (4, 4), (5, 0)])
def test_labels_are_balanced_by_chance(right, wrong):
    given = groups(*[[("1", "wrong")]] * right, *[[("3", "wrong")]] * wrong)
    curator = AgreedAnswers(judges=(Accepts("1"),))
    found = marks(curator, given)
    kept = Counter(text for text, dropped in found if not dropped)
    assert kept["true"] == kept["false"] == min(right, wrong)
    assert [dropped for _, dropped in found].count("unbalanced") == abs(right - wrong)
    assert found == marks(curator, given)
    if right != wrong and wrong:
        assert any(found != marks(curator, given, key) for key in range(1, 6))
