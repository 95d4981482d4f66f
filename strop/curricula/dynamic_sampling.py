"""Only problems that are sometimes solved."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from strop.curricula.uniform import Uniform
from strop.keys import Key
from strop.piece import piece
from strop.records import Group, Problem
from strop.tasks import Task


@piece
class DynamicSampling:
    """Draws until the step is full of groups that are neither all right nor all wrong.

    Keep a group iff 0 < #right < G. It looks at accuracy, not at the shaped reward: a length penalty gives a solved
    group spread, but nothing to learn about the problem. Groups of one attempt are kept. Attempts whose verdict is
    `error` have no say, so a failing verifier cannot make a solved group look mixed.

    When `rounds` draws have not filled the step, the loop fills it with dropped groups only if nothing else is left, so
    a model that solves everything still finishes its run. Every dropped group costs generated tokens, which the store
    keeps: compare at equal tokens too.

    Source: DAPO (arXiv:2503.14476, eq. 11); the number of rounds is `max_num_gen_batches` of its code.
    Departures: the code gives up with an error when the rounds run out.

    >>> from strop.records import Trajectory, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> def group(*outcomes):
    ...     rows = (Trajectory(problem=problem, sample=i, text="", verdict=Verdict(o)) for i, o in enumerate(outcomes))
    ...     return Group(problem, tuple(rows))
    >>> drop = DynamicSampling().drop
    >>> drop(group("right", "right")), drop(group("wrong", "timeout")), drop(group("right", "wrong"))
    ('all right', 'all wrong', '')
    """

    rounds: Annotated[int, Field(ge=1, le=1000)] = 10
    """How often the loop may draw to fill one step."""

    def init(self, task: Task) -> dict[str, Any]:
        return Uniform().init(task)

    def pick(self, task: Task, state: dict[str, Any], n: int, key: Key) -> tuple[list[Problem], dict[str, Any]]:
        return Uniform().pick(task, state, n, key)

    def drop(self, group: Group) -> str:
        judged = [t.verdict.score for t in group.trajectories if t.verdict is not None and t.verdict.outcome != "error"]
        if not judged:
            return "not judged"
        if len(group) == 1 or min(judged) != max(judged):
            return ""
        return "all right" if judged[0] else "all wrong"

    def update(self, state: dict[str, Any], groups: Sequence[Group]) -> dict[str, Any]:
        return state
