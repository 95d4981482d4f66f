"""References that are written in another form than the answers."""

from dataclasses import field, replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Verdict
from strop.tasks import Style
from strop.tasks._forms import NAMES, read, rewritten
from strop.tasks.arithmetic import Arithmetic

FORMS = (
    "unit", "context", "decimal", "ratio", "unreckoned", "expanded", "number_words", "sentence", "brackets", "listed",
    "order", "letter", "roman",
)  # fmt: skip
"""Forms that no string match takes for the usual one."""


@piece
class OtherForms:
    """Another task's problems; the references of a hashed share of them are written in another form.

    A verifier that compares texts misses every right answer to such a problem and no other one, as rules do where the
    authors of a data set wrote an answer in their own way. The task itself judges by the reference as it was, so
    `accuracy` is the truth, whatever verifier a stage learns from. References that are neither numbers, lists of
    numbers nor words stay as they are.

    Source: strop's own, after the false negatives of TinyV (arXiv:2505.14625): 38.5 % of the responses that a rule
    rejected were right. With half of all answers right, that is a `share` of 0.63.

    >>> task = OtherForms(share=1.0, forms=("number_words",))
    >>> problem = task.problem("train", 0)
    >>> problem.reference, problem.data["usual"], task.verify("133", problem).outcome
    ('One hundred thirty three', '133', 'right')
    """

    task: Any = field(default_factory=Arithmetic)
    """Where problems come from; a task that judges itself."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Share of the problems whose reference is rewritten."""
    forms: Annotated[tuple[str, ...], Field(min_length=1)] = FORMS
    """What references are rewritten to: names of `tasks/_forms.py`."""

    name: ClassVar[str] = "other_forms"
    verifier: ClassVar[str] = ""

    def __post_init__(self) -> None:
        unknown = next((name for name in self.forms if name not in NAMES), None)
        if unknown:
            raise ValueError(f"there is no form {unknown!r}; known: {', '.join(NAMES)}")
        if self.task.verifier:
            raise ValueError(f"{self.task.name} is judged by {self.task.verifier}; take a task that judges itself")

    def size(self, split: str) -> int | None:
        return self.task.size(split)

    def problem(self, split: str, index: int) -> Problem:
        inner = self.task.problem(split, index)
        random = Key.root(0).fold(self.name, inner.id).random()
        usual = read(str(inner.reference))
        rewrites = random.random() < self.share and usual is not None
        written = rewritten(usual, random, self.forms) if rewrites and usual else None
        data = {**inner.data, "usual": inner.reference, "of": inner.task, "form": written[1].name if written else ""}
        reference = written[0] if written else inner.reference
        return replace(inner, id=f"{self.name}/{split}/{index}", task=self.name, reference=reference, data=data)

    def verify(self, response: str, problem: Problem) -> Verdict:
        return self.task.verify(response, _usual(problem))

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str | None:
        return self.task.write(_usual(problem), style, key, slips)

    def corrupt(self, problem: Problem, key: Key) -> str:
        return self.task.corrupt(_usual(problem), key)


def _usual(problem: Problem) -> Problem:
    """The problem as its own task knows it."""
    return replace(problem, task=problem.data["of"], reference=problem.data["usual"])
