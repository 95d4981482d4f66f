"""Does an answer say what the reference says?"""

from dataclasses import field
from typing import Annotated, Any, ClassVar

from pydantic import Field

from strop.errors import TaskError
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Verdict
from strop.tasks import Style
from strop.tasks._forms import CLASSES, read, rewritten
from strop.tasks._forms import plain as usual
from strop.tasks._misses import made, near_miss, trapped
from strop.tasks.arithmetic import Arithmetic
from strop.text import split_thought
from strop.verifiers import ASK, ask

TRAPS = 0.15
"""Share of the wrong answers that are no answer at all, or two."""
TRIES = 32
"""Pairs that are drawn before a rule that rejects none of them is called useless."""


@piece
class SameAnswer:
    """Question, reference and answer are shown, and the model says `true` or `false`: what verifiers are trained on.

    Questions and references are another task's, or strop's own where the answer is a fraction, a set, an interval or an
    expression. Half of the answers are the reference, half a near miss of it (a digit off, a sign, two numbers swapped,
    another name); both are written in the same forms, so that no form gives the label away. Some wrong answers name the
    reference beside another answer, or are nonsense: what a policy may try on a verifier. Forms come from seven
    classes, equally often, and the difficulty of a problem is the class of its form, 0 where there is none:

        1 formatting   \\boxed{47}, 47 cm, = 47      5 language    forty seven, the answer is 47, x is 47
        2 notation     47.0, 47/1, +47, 2 < x < 5    6 structure   [47], 3; 8; 1, {5, 3} for {3, 5}, x=3 or x=5
        3 expression   38+9, 6+2*x, 2*(x+3)          7 symbols     n = 47, x_0 = 47, XLVII
        4 numeric      141/3, 4.7e1, 1 3/4

    Source: the taxonomy of false negatives and the balanced verifier data of TinyV (arXiv:2505.14625, section 4).
    Departures: variants and wrong answers are written by rules and labelled by how they were made; in the paper models
    write both and two models must agree on the label. 20 forms stand for its 31 leaves: logarithms, trigonometry,
    matrices and rounded decimals are missing.

    >>> task = SameAnswer()
    >>> shown = task.problem("train", 1)
    >>> shown.question.split("\\n")[1:], shown.reference
    (['reference: 175', 'answer: (175)', 'true?'], 'true')
    >>> task.verify("False", shown).outcome, task.verify("maybe", shown).outcome
    ('wrong', 'unparsable')
    """

    task: Any = field(default_factory=Arithmetic)
    """Where questions and references come from: whole numbers, lists of them, words and names."""
    own: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of strop's own questions."""
    rule: Any = None
    """A verifier: only answers it does not call right are shown, as in a cascade. None shows all."""
    form: Annotated[str, Field(pattern=r"\{reference\}[\s\S]*\{answer\}|\{answer\}[\s\S]*\{reference\}")] = ASK
    """How it is asked: {question}, {reference} and {answer} are filled in. A verifier must ask in the same way."""

    name: ClassVar[str] = "same_answer"
    verifier: ClassVar[str] = ""

    def size(self, split: str) -> int | None:
        return self.task.size(split)

    def problem(self, split: str, index: int) -> Problem:
        key = Key.root(0).fold(self.name, split, index)
        for attempt in range(TRIES):
            shown = self._drawn(split, index, key.fold(attempt))
            if shown is not None:
                return shown
        raise TaskError(
            f"{self.task.name} gives no pairs for {self.name}: its references are neither numbers nor words, or "
            f"{type(self.rule).__name__} rejects no other form. Use another task, such as arithmetic."
        )

    def verify(self, response: str, problem: Problem) -> Verdict:
        said = (split_thought(response).answer or "").lower()
        if said not in ("true", "false"):
            return Verdict("unparsable", detail="expected true or false")
        return Verdict("right" if said == problem.reference else "wrong", answer=said)

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str:
        return _other(problem.reference) if key.random().random() < slips else problem.reference

    def corrupt(self, problem: Problem, key: Key) -> str:
        return _other(problem.reference)

    def _drawn(self, split: str, index: int, key: Key) -> Problem | None:
        """One pair; None where it is of no use: no form, or the rule calls it right."""
        random = key.random()
        inner = self.task.problem(split, index)
        question, right = inner.question, read(str(inner.reference))
        if random.random() < self.own:
            question, right = made(random)
        if right is None:
            return None
        same = random.random() < 0.5
        pair = [right, right if same else near_miss(right, random)]
        trap = "" if same or random.random() > TRAPS else trapped(right, pair[1], random)
        # the reference may be what is written strangely, or both
        where = random.choices(((1,), (0,), (0, 1)), (0.4, 0.4, 0.2))[0] if not trap else random.choice(((), (0,)))
        texts = [usual(each) for each in pair]
        group = ""
        for place in where:
            written = rewritten(pair[place], random)
            if written is not None:
                texts[place], group = written[0], written[1].group
        reference, answer = texts[0], trap or texts[1]
        asked = Problem(
            id=f"{self.name}/{split}/{index}",
            task=self.name,
            prompt=ask(question, reference, answer, self.form),
            reference="true" if same else "false",
            difficulty=CLASSES.index(group) + 1 if group else 0,
            data={"question": question, "reference": reference, "answer": answer},
        )
        rejects = self.rule is None or self.rule(answer, _compared(inner, reference)).outcome != "right"
        return asked if (group or trap) and rejects else None


def _compared(inner: Problem, reference: str) -> Problem:
    return Problem(id=inner.id, task=inner.task, prompt=inner.prompt, reference=reference)


def _other(word: str) -> str:
    return "false" if word == "true" else "true"
