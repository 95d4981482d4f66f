"""Answers that attempts give, and votes for them."""

from collections.abc import Sequence

from strop.records import Trajectory


def answers(attempts: Sequence[Trajectory]) -> list[str | None]:
    """What each attempt answers, as the verifier wrote it down; None where that could not be read."""
    return [None if t.verdict is None or t.verdict.outcome == "unparsable" else t.verdict.answer for t in attempts]


def winner(said: Sequence[str | None], weights: Sequence[float]) -> int | None:
    """The first attempt that gives the answer with the largest sum of weights; among equals the first one seen.

    >>> winner(["6", "5", None, "5"], [1.5, 1.0, 9.0, 1.0])
    1
    """
    votes: dict[str, float] = {}
    for answer, weight in zip(said, weights, strict=True):
        if answer is not None:
            votes[answer] = votes.get(answer, 0.0) + weight
    # max takes the first of equals, and a dictionary keeps the order of first sight
    return list(said).index(max(votes, key=votes.__getitem__)) if votes else None
