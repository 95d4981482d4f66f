"""Neither thinking nor answering at once may die out."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, FiniteFloat

from strop.piece import piece
from strop.records import Float, Group, Trajectory, np
from strop.rewards._thought import skipped
from strop.text import CLOSE, split_thought

Values = tuple[FiniteFloat, FiniteFloat]


@piece
class ThoughtBalance:
    r"""Values for right and wrong answers with a thought and without one, which fall for whichever is too frequent.

    .. math:: r_i = w\big[(1 - d_k)\, v_{k,c} + d_k\, u_{k,c}\big], \qquad
              d_k = \mathrm{clip}\big(s\,(p_k - \gamma), 0, 1\big)

    k says whether attempt i thinks, c whether it is right; p_k is the share of the step's attempts that do as it does,
    over all problems together. Without the second values u, a policy soon does one of the two and nothing else: the
    higher pay for a right answer without a thought draws it there, wrong answers drive it back. A thought of nothing
    but dots is none.

    Source: AutoThink, arXiv:2505.10832, and its code (ScienceOne-AI/AutoThink): gamma is 0.5 in its first stage and 1,
    no balance, in the later ones. An unreadable answer is worth 0 instead of v, and a wrong one without a thought
    `stuck` where it goes round in circles: ten times the same up to 30 words, or a word of 120 characters.

    Departures: the code looks for circles in the prompt too, and only where they begin at a multiple of their length.
    Its length term comes between v and u; here it is a reward of its own (`LengthScore`), which is the same since its
    stages never have both.

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = (("2+3", "right"), ("2+2", "wrong"), ("2*3", "wrong"), ("", "right"))
    >>> attempts = (Trajectory(problem=problem, sample=i, text=f"<think>{thought}</think>5", verdict=Verdict(outcome))
    ...     for i, (thought, outcome) in enumerate(rows))
    >>> group, balance = Group(problem, tuple(attempts)), ThoughtBalance()
    >>> balance.update(balance.init(), [group])
    {'thinking': 0.75}
    >>> balance(group, {"thinking": 0.75}).tolist()  # d is 0.5 with a thought, 0 without
    [0.5, -0.5, -0.5, 2.0]
    """

    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """gamma: how frequent either may be for nothing; 1 leaves the values what they are."""
    slope: Annotated[float, Field(ge=0)] = 2.0
    """s: how fast the second values take over above it."""
    thinking: Values = (1.0, 0.0)
    """v of a right and of a wrong answer after a thought."""
    silent: Values = (2.0, -1.0)
    """v of a right and of a wrong answer without one."""
    often_thinking: Values = (0.0, -1.0)
    """u of the former."""
    often_silent: Values = (1.0, -2.0)
    """u of the latter."""
    stuck: FiniteFloat = -2.0
    """What stands for v of a wrong answer without a thought that goes round in circles."""
    weight: FiniteFloat = 1.0
    """What all values are multiplied by."""

    whole_step: ClassVar[bool] = True

    def init(self) -> dict[str, Any]:
        """`thinking`: the share of attempts with a thought, of the step; unknown before there was one."""
        return {"thinking": None}

    def update(self, state: Mapping[str, Any], groups: Sequence[Group]) -> dict[str, Any]:
        silent = [skipped(t.text) for group in groups for t in group.trajectories if t.origin == "policy"]
        return {"thinking": 1 - sum(silent) / len(silent)} if silent else dict(state)

    def __call__(self, group: Group, state: Mapping[str, Any]) -> Float[np.ndarray, " G"]:
        often = state["thinking"]
        excess = (0.0, 0.0) if often is None else (self._excess(often), self._excess(1 - often))
        return self.weight * np.array([self._value(attempt, *excess) for attempt in group.trajectories])

    def _excess(self, share: float) -> float:
        return min(max(self.slope * (share - self.share), 0.0), 1.0)

    def _value(self, attempt: Trajectory, thinking: float, silent: float) -> float:
        is_silent = skipped(attempt.text)
        wrong = attempt.verdict is None or attempt.verdict.score == 0
        value = (self.silent if is_silent else self.thinking)[wrong]
        if wrong and (CLOSE not in attempt.text or split_thought(attempt.text).answer is None):
            value = 0.0
        elif wrong and is_silent and _circles(attempt.text):
            value = self.stuck
        excess = silent if is_silent else thinking
        return (1 - excess) * value + excess * (self.often_silent if is_silent else self.often_thinking)[wrong]


def _circles(text: str, times: int = 10, longest: int = 30, word: int = 120) -> bool:
    """Whether some run of words comes so many times in a row, or a word is that long.

    >>> _circles("so " * 9), _circles("a b c " * 10), _circles("x" * 120)
    (False, True, True)
    """
    words = text.split()
    if any(len(each) >= word for each in words):
        return True
    for size in range(1, longest + 1):
        same = 0
        for now, before in zip(words[size:], words, strict=False):
            same = same + 1 if now == before else 0
            if same >= (times - 1) * size:
                return True
    return False
