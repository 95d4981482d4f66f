"""What a model says."""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from strop.piece import piece
from strop.records import Problem, Verdict
from strop.text import split_thought
from strop.verifiers import ASK, ask
from strop.verifiers._answers import find_answer, read_reference

if TYPE_CHECKING:
    from strop.models.answer_model import AnswerModel


@piece
class ModelJudge:
    r"""Right where a small model holds it likely enough that the answer says what the reference says.

    .. math:: P(\text{right}) = \frac{\pi(w_1 \mid q, r, a)}{\pi(w_1 \mid q, r, a) + \pi(w_0 \mid q, r, a)}

    with the question q, the reference r, the answer a and the first tokens of the two `words`. The model sees the
    answer alone, never the thought before it: the last `\boxed{}`, else what follows the last `####`, else all that
    follows `</think>`. It is a bundled one, a run of `strop run tinyv`, or any causal language model or sequence
    classifier in the Hugging Face format; of a classifier, the probability of the label that is called true, right,
    correct, yes, same or the like, else of the last one. Control tokens and line breaks are taken out of an answer
    before it is shown.

    Source: the verifier of TinyV (arXiv:2505.14625) used alone.
    Departures: a probability instead of a sampled word, so that a threshold can be set and nothing has to be parsed.

    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> ModelJudge()("<think>2+3", problem).outcome, ModelJudge(longest=3)("5" * 4, problem).detail
    ('unparsable', 'the answer has 4 characters, the model is shown at most 3')
    """

    model: str = "tinyv"
    """`tinyv` (bundled), a folder of weights, a run folder, or a name on the hub."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which an answer is right."""
    words: tuple[str, str] = ("true", "false")
    """What a language model says of a right answer and of a wrong one."""
    form: Annotated[str, Field(pattern=r"\{reference\}[\s\S]*\{answer\}|\{answer\}[\s\S]*\{reference\}")] = ASK
    """How it is asked: {question}, {reference} and {answer} are filled in."""
    longest: Annotated[int, Field(ge=1)] = 200
    """Characters of an answer that is shown; a longer one is unparsable."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Answers that go through the model together."""
    seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """Wall-clock limit of one batch, seconds; held by the pool that runs this piece."""

    isolate: ClassVar[bool] = True

    def __call__(self, response: str, problem: Problem) -> Verdict:
        return self.many([(response, problem)])[0]

    def warm(self) -> None:
        """Load the model, so that the first answer does not pay for it."""
        _load(self.model, self.words)

    def many(self, pairs: Sequence[tuple[str, Problem]]) -> list[Verdict]:
        """The verdict of each answer, in order."""
        shown = [_shown(response) for response, _ in pairs]
        asked = [i for i, text in enumerate(shown) if 0 < len(text) <= self.longest]
        known = dict(zip(asked, self._probabilities([(shown[i], pairs[i][1]) for i in asked]), strict=True))
        return [self._verdict(text, known.get(i)) for i, text in enumerate(shown)]

    def _probabilities(self, asked: Sequence[tuple[str, Problem]]) -> list[float]:
        """P(right) of each answer."""
        if not asked:
            return []
        model = _load(self.model, self.words)
        questions = [
            ask(problem.question, read_reference(problem.reference), model.clean(text), self.form)
            for text, problem in asked
        ]
        parts = (questions[i : i + self.batch] for i in range(0, len(questions), self.batch))
        return [probability for part in parts for probability in model(part)]

    def _verdict(self, text: str, probability: float | None) -> Verdict:
        if not text:
            return Verdict("unparsable", detail="no answer after the thought")
        if probability is None:
            why = f"the answer has {len(text)} characters, the model is shown at most {self.longest}"
            return Verdict("unparsable", detail=why)
        if math.isnan(probability):
            return Verdict("unparsable", answer=text, detail="longer than the model's context")
        right = probability >= self.threshold
        return Verdict("right" if right else "wrong", answer=text, detail=f"model {probability:.2f}")


def _shown(response: str) -> str:
    """What of a response is its answer; empty where there is none."""
    said = split_thought(response).answer or ""
    marked = any(mark in said for mark in ("\\boxed", "\\fbox", "####"))
    return ((find_answer(said) if marked else said) or "").strip()


@functools.lru_cache(maxsize=2)
def _load(model: str, words: tuple[str, str]) -> "AnswerModel":
    from strop.models.answer_model import AnswerModel

    return AnswerModel(model, words)
