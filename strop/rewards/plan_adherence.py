"""Right, and by the plan."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from strop.piece import piece
from strop.plan_text import MARKER, adherence, split_plan
from strop.records import Float, Group, Trajectory, np


@piece
class PlanAdherence:
    r"""Pays a right answer for how much of its plan the execution takes up; everything else gets nothing.

    .. math:: r_i = w\,\mathbf{1}[y_i\ \mathrm{right}]\;
              \frac{\#\{\text{headings of the plan that the execution takes up}\}}{\#\{\text{headings of the plan}\}}

    A heading is a numbered line, or a word where no line has a number. It is taken up where a heading of the execution
    holds it, or shares more than 0.3 of the shorter one's words with it, in order. A response without the marker has no
    plan and gets nothing.

    Source: E2C (arXiv:2509.23946), second stage of reinforcement learning; code yks23/Explore-Execute-Chain.
    Departures: where the marker is missing the code looks for the plan elsewhere; here that pays nothing. At most 64
    headings of a part are read. Headings without numbers are the bundled model's.

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="71")
    >>> texts = ("<think>3*8 47+ so 3*8=24 47+24=71</think>71", "<think>3*8 9- so 3*8=24</think>71", "71")
    >>> rows = (Trajectory(problem=problem, sample=i, text=t, verdict=Verdict("right")) for i, t in enumerate(texts))
    >>> PlanAdherence(marker=" so")(Group(problem, tuple(rows)))
    array([1. , 0.5, 0. ])
    """

    marker: Annotated[str, Field(min_length=1)] = MARKER
    """The text where the execution begins."""
    weight: FiniteFloat = 1.0
    """What a right answer is worth whose whole plan is taken up."""

    def __call__(self, group: Group) -> Float[np.ndarray, " G"]:
        return self.weight * np.array([t.verdict.score * self._share(t) if t.verdict else 0.0
                                       for t in group.trajectories])  # fmt: skip

    def _share(self, attempt: Trajectory) -> float:
        parts = split_plan(attempt.text, self.marker)
        return 0.0 if parts is None else adherence(parts.plan, parts.execution)
