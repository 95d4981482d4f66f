"""Rejected answers that several judges agree on, as lessons for a verifier."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Group, Trajectory, Verdict
from strop.text import split_thought
from strop.verifiers import ASK, ask, judge, named, rule_of


@piece
class AgreedAnswers:
    """Mines false negatives: of the attempts that the stage's verifier rejected, those on which all judges agree.

    Each becomes a lesson: the prompt shows question, reference and answer, the response is `true` where all judges call
    the answer right and `false` where all call it wrong. Where they differ, or one of them cannot read the answer, the
    attempt is marked `judges differ`; what the stage's verifier accepts is marked `accepted`, and an answer that a
    problem has had before `duplicate`. With `balanced`, the label that is there more often is cut to the number of the
    other one, by chance (`unbalanced`).

    Source: TinyV (arXiv:2505.14625, section 3): a false negative is what a rule rejects and two models, independent of
    each other, call right.
    Departures: judges are verifiers of any kind.

    >>> from strop.records import Problem
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="Yes")
    >>> said, wrong = ("yes", "no", "yes", "maybe"), Verdict("wrong")
    >>> rows = (Trajectory(problem=problem, sample=i, text=text, verdict=wrong) for i, text in enumerate(said))
    >>> [group] = AgreedAnswers(judges=("exact",), balanced=False)([Group(problem, tuple(rows))], Key.root(0))
    >>> [(t.text, t.dropped) for t in group.trajectories]
    [('true', ''), ('false', ''), ('yes', 'duplicate'), ('false', '')]
    """

    judges: Annotated[tuple[Any, ...], Field(min_length=1)] = ("math",)
    """Verifiers or their names, or tasks that judge themselves; the paper has two."""
    balanced: bool = True
    """Whether both labels are to be there equally often in a step."""
    form: Annotated[str, Field(pattern=r"\{reference\}[\s\S]*\{answer\}|\{answer\}[\s\S]*\{reference\}")] = ASK
    """How it is asked: {question}, {reference} and {answer} are filled in."""

    def __call__(self, groups: Sequence[Group], key: Key) -> list[Group]:
        rows = [t for group in groups for t in group.trajectories]
        marks = [_mark(t) for t in rows]
        seen: set[tuple[str, str]] = set()
        for i, attempt in enumerate(rows):
            said = (attempt.problem.id, _answer(attempt))
            if not marks[i] and said in seen:
                marks[i] = "duplicate"
            if not marks[i]:
                seen.add(said)
        labels = self._labels(rows, [i for i, mark in enumerate(marks) if not mark])
        marks = [mark or ("" if i in labels else "judges differ") for i, mark in enumerate(marks)]
        if self.balanced:
            for i in _surplus(labels, key):
                marks[i] = "unbalanced"
        lessons = iter(
            self._lesson(t, labels[i]) if not marks[i] else replace(t, dropped=marks[i]) for i, t in enumerate(rows)
        )
        return [replace(group, trajectories=tuple(next(lessons) for _ in group.trajectories)) for group in groups]

    def _labels(self, rows: Sequence[Trajectory], wanted: Sequence[int]) -> dict[int, bool]:
        """Whether the judges call an attempt right, where they agree."""
        pairs = [(rows[i].text, rows[i].problem) for i in wanted]
        said = [judge(rule_of(named(each)), pairs) for each in self.judges]
        votes = {
            i: {verdict.outcome for verdict in each} for i, each in zip(wanted, zip(*said, strict=True), strict=True)
        }
        return {i: vote == {"right"} for i, vote in votes.items() if vote in ({"right"}, {"wrong"})}

    def _lesson(self, attempt: Trajectory, label: bool) -> Trajectory:
        problem = attempt.problem
        prompt = ask(problem.question, str(problem.reference), _answer(attempt), self.form)
        word = "true" if label else "false"
        return Trajectory(
            problem=replace(problem, prompt=prompt, reference=word),
            sample=attempt.sample,
            text=word,
            origin=attempt.origin,
            verdict=Verdict("right", answer=word),
        )


def _mark(attempt: Trajectory) -> str:
    """Why an attempt is no candidate; empty where it is one."""
    if attempt.dropped:
        return attempt.dropped
    outcome = "" if attempt.verdict is None else attempt.verdict.outcome
    if outcome == "right":
        return "accepted"
    return "" if outcome in ("wrong", "unparsable") and _answer(attempt) else "no answer"


def _answer(attempt: Trajectory) -> str:
    return split_thought(attempt.text).answer or ""


def _surplus(labels: dict[int, bool], key: Key) -> list[int]:
    """What the more frequent label has too many of."""
    sides = [[i for i, label in labels.items() if label == which] for which in (True, False)]
    fewer, more = sorted(sides, key=len)
    return key.fold("balance").random().sample(more, len(more) - len(fewer))
