"""A bonus for right answers that are short enough."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, Trajectory, np
from strop.rewards._loops import loops
from strop.text import split_thought

Target = Annotated[int, Field(ge=1)] | None
Tokens = Annotated[int, Field(ge=0)]


@piece
class LengthTarget:
    r"""Pays right answers within a target length, which may differ for easy, medium and hard problems.

    .. math:: r_i = \alpha \begin{cases} b_\le & \text{right},\ L_i \le L_T \\ b_> & \text{right},\ L_i > L_T \\
              1 & \text{wrong},\ L_i > L_T,\ \text{not repetitive, where } \mathtt{explore} \\
              0 & \text{else} \end{cases}

    Right and wrong mean well-formed and so: any other response has 0. L_T follows from the group's share of right
    answers a: easy from 2/3 on, hard below 1/3. Three equal targets are a fixed one; `controllers/length_targets`
    estimates them anew as the policy changes. With `explore` a wrong answer gains by going on beyond the target, as
    long as it does not go round in circles: a run of `gram` tokens three times over, two of them closer than a third
    of the response, or one of twice that length two times.

    Source: LASER, LASER-D and LASER-DE (`explore`), arXiv:2505.15612; code hkust-nlp/Laser at c9e7c4e, whose "penalty"
    is `within=0, beyond=-1`, "hybrid" `within=1, beyond=-1`. Its base score is `Correctness(wrong=-0.5, unparsable=-1,
    malformed=-1)`.

    Departures: the released code compares token objects that are never equal, so that it finds no repetition and pays
    every long wrong answer; here repetition is what its function finds when given token numbers.

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("right", 30), ("right", 50), ("wrong", 50))  # two of three are right: easy
    >>> attempts = (Trajectory(problem=problem, sample=i, text="<think>t</think>5", tokens=np.arange(length),
    ...     verdict=Verdict(outcome)) for i, (outcome, length) in enumerate(rows))
    >>> group = Group(problem, tuple(attempts))
    >>> LengthTarget(targets=(40, 60, None))(group), LengthTarget(targets=(40, 60, None), explore=True)(group)
    (array([0.5, 0. , 0. ]), array([0.5, 0. , 0.5]))
    """

    targets: tuple[Target, Target, Target] = (40, 40, 40)
    """Tokens a right answer to an easy, a medium, a hard problem may have; None allows any length."""
    weight: FiniteFloat = 0.5
    """What the bonus is worth: the coefficient alpha."""
    within: FiniteFloat = 1.0
    """What a right answer within the target gains, in units of `weight`."""
    beyond: FiniteFloat = 0.0
    """What a right answer beyond it gains, in units of `weight`."""
    explore: bool = False
    """Pay for wrong answers beyond the target, too."""
    gram: Annotated[int, Field(ge=2)] = 4
    """Length of the runs by which repetition is told, tokens; responses of up to twice that never repeat."""
    brief: tuple[Tokens, Tokens, Tokens] = (30, 100, 200)
    """Responses below these lengths, tokens: told by runs of 2; by runs of 3; by two occurrences instead of three."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        formed = np.array([split_thought(t.text).well_formed for t in group.trajectories], dtype=bool)
        right = formed & (group.scores > 0)
        share = right.mean()
        target = self.targets[0 if share >= 2 / 3 else 1 if share >= 1 / 3 else 2]
        lengths = np.array([t.length for t in group.trajectories])
        short = lengths <= (np.inf if target is None else target)
        gains = np.where(right, np.where(short, self.within, self.beyond), 0.0)
        if self.explore:
            answered = np.array(
                [t.verdict is not None and t.verdict.outcome != "unparsable" for t in group.trajectories]
            )
            for i in np.flatnonzero(formed & answered & ~right & ~short):
                gains[i] = not loops(_written(group.trajectories[i]), self.gram, self.brief)
        # + 0.0 turns the -0.0 of a negative weight into 0.0
        return self.weight * gains + 0.0


def _written(attempt: Trajectory) -> list[int]:
    if attempt.tokens is None:
        return []
    return (attempt.tokens if attempt.mask is None else attempt.tokens[attempt.mask]).tolist()
