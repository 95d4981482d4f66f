"""Several tasks as one."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from strop.errors import TaskError
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Verdict
from strop.tasks import Style


@piece
class Mixture:
    """Problems of several tasks, drawn by weight.

    Source: strop's own. Problem `i` of the mixture is problem `i` of the task it falls to, so ids stay unique and a
    problem can be made again without the mixture.

    >>> from strop.tasks.arithmetic import Arithmetic
    >>> both = Mixture(tasks=(Arithmetic(levels=(1,)), Arithmetic(levels=(9,))), weights=(3.0, 1.0))
    >>> [both.problem("train", i).difficulty for i in range(200)].count(1) > 100
    True
    """

    tasks: Annotated[tuple[Any, ...], Field(min_length=1)]
    """The tasks mixed."""
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """How often each is drawn, in proportion; empty draws all alike."""

    name: ClassVar[str] = "mixture"
    verifier: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.tasks):
            raise ValueError(f"expected {len(self.tasks)} weights, one for each task, got {len(self.weights)}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, index: int) -> Problem:
        random = Key.root(0).fold(self.name, split, index).random()
        task = random.choices(self.tasks, self.weights or None)[0]
        rows = task.size(split)
        return task.problem(split, index if rows is None else index % rows)

    def verify(self, response: str, problem: Problem) -> Verdict:
        return self._of(problem).verify(response, problem)

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str | None:
        return self._of(problem).write(problem, style, key, slips)

    def corrupt(self, problem: Problem, key: Key) -> str:
        return self._of(problem).corrupt(problem, key)

    def _of(self, problem: Problem) -> Any:
        for task in self.tasks:
            if task.name == problem.task:
                return task
        raise TaskError(f"Problem {problem.id} is of no task in this mixture: {[t.name for t in self.tasks]}.")
