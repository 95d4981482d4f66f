"""The same text."""

import unicodedata
from typing import ClassVar

from strop.piece import piece
from strop.records import Problem, Verdict
from strop.text import split_thought


@piece
class Exact:
    """Right where the answer and the reference are the same text after normalisation.

    The answer is what follows `</think>`, or the whole response where there are no tags. Normalisation, in order:
    Unicode NFKC, blanks at the ends removed and others made one space, one pair of enclosing quotation marks or `$`
    removed, a final full stop removed, and lower case unless `case` is set. An empty answer is unparsable.

    Source: string match as in the SQuAD evaluation (arXiv:1606.05250, section 5).
    Departures: articles and inner punctuation stay, so that `(a)` is not `a` and `1.5` is not `15`.

    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="Mount Everest")
    >>> Exact()("<think>the highest one</think> mount  everest.", problem)
    Verdict(outcome='right', answer='mount everest', detail='')
    """

    case: bool = False
    """Whether upper and lower case differ."""

    isolate: ClassVar[bool] = False

    def __call__(self, response: str, problem: Problem) -> Verdict:
        answer = self._normalise(split_thought(response).answer or "")
        if not answer:
            return Verdict("unparsable", detail="no answer after the thought")
        return Verdict("right" if answer == self._normalise(str(problem.reference)) else "wrong", answer=answer)

    def _normalise(self, text: str) -> str:
        text = " ".join(unicodedata.normalize("NFKC", text).split())
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`$":
            text = text[1:-1].strip()
        text = text.removesuffix(".").rstrip()
        return text if self.case else text.lower()
