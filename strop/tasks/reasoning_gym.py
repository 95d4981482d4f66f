"""Any data set of reasoning-gym."""

import dataclasses
import functools
import inspect
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from strop.errors import ConfigError, TaskError, did_you_mean
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Turn, Verdict
from strop.tasks import Style
from strop.text import join_thought, split_thought

LONGEST = 10_000
"""Characters of an answer."""
_MATHS = ("sin", "cos", "tan", "exp", "log", "sqrt", "asin", "acos", "atan", "sinh", "cosh", "tanh", "Abs")
_CALL = re.compile(r"([^\W\d]\w*)\s*\(")
_REACH = re.compile(r"__|[@:;#{}\\`]|[)\]'\"]\s*\(|\.\s*[^\W\d]")


@piece
class ReasoningGym:
    """Problems of a reasoning-gym data set, judged by that data set: right where its score is 1.

    Each problem is made from a seed of its own, hashed from (seed, data set, split, index): reasoning-gym itself adds
    the index to the seed, so that two nearby seeds give the same problems one place apart. Seeds have 32 bits, as some
    of its data sets allow no more.

    Several data sets evaluate the answer as Python. There an answer that calls anything but a mathematical function, or
    reaches for an attribute, is unparsable and never evaluated. Judging runs in worker processes.

    Source: Reasoning Gym (arXiv:2505.24760).
    Departures: a partial score counts as wrong.
    """

    dataset: str = "chain_sum"
    """Its name in reasoning-gym."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Its options, such as {"min_terms": 3}; size and seed are set here."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which stream of problems."""
    seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Wall-clock limit of judging one answer, seconds."""

    verifier: ClassVar[str] = ""
    isolate: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"reasoning_gym.{self.dataset}"

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, index: int) -> Problem:
        entry = self._entry(split, index)[1]
        return Problem(
            id=f"{self.name}/{split}/{index}",
            task=self.name,
            prompt=(Turn("user", entry["question"]),),
            reference=None if entry["answer"] is None else str(entry["answer"]),
            data={"split": split, "index": index},
        )

    def verify(self, response: str, problem: Problem) -> Verdict:
        answer = split_thought(response).answer
        if answer is None or len(answer) > LONGEST:
            return Verdict("unparsable", detail=f"expected an answer of at most {LONGEST} characters after </think>")
        dataset, entry = self._entry(problem.data["split"], problem.data["index"])
        if _evaluates(type(dataset)) and not _harmless(answer):
            return Verdict("unparsable", detail="an answer that is evaluated may hold numbers and operators only")
        try:
            score = float(dataset.score_answer(answer, entry))
        except Exception as error:
            return Verdict("error", answer=answer, detail=f"score_answer: {type(error).__name__}: {error}"[:500])
        return Verdict(
            "right" if score >= 1 else "wrong", answer=answer, detail="" if score >= 1 else f"score {score:g}"
        )

    def write(self, problem: Problem, style: Style, key: Key, slips: float = 0.0) -> str | None:
        """The bare answer in the style `direct`; reasoning-gym has no worked solutions."""
        return join_thought("", problem.reference) if style == "direct" and problem.reference else None

    def corrupt(self, problem: Problem, key: Key) -> str:
        """The answer of another problem, or a spoilt one where the data set accepts any answer of its form."""
        random = key.random()
        others = [self.problem("corrupt", random.randrange(10**6)).reference or "none" for _ in range(10)]
        for answer in (*others, f"-{problem.reference}", f"{problem.reference}1", "none"):
            text = join_thought("", answer)
            if self.verify(text, problem).outcome == "wrong":
                return text
        raise TaskError(f"{self.name}: found no answer that is wrong for {problem.id}.")

    def warm(self) -> None:
        """Import reasoning-gym before the first answer is judged."""
        self._entry("train", 0)

    def _entry(self, split: str, index: int) -> tuple[Any, Mapping[str, Any]]:
        seed = Key.root(self.seed).fold(self.name, split, index).uint64() % (2**32 - 1)
        return _make(self.dataset, json.dumps(self.config, sort_keys=True), seed)


@functools.cache
def _evaluates(dataset: type) -> bool:
    """Whether a data set runs the answer as code when it judges."""
    try:
        source = inspect.getsource(dataset.score_answer)  # type: ignore[attr-defined]
    except (OSError, TypeError):
        return True
    return any(call in source for call in ("eval(", "exec(", "parse_expr(", "sympify("))


def _harmless(answer: str) -> bool:
    """Whether evaluating the answer could at most compute something.

    >>> [_harmless(t) for t in ("(3+5)*2", "x**2*sin(x)", "[[1, 2]]", "open('f')", "(open)('f')", "x.real", "f'{1}'")]
    [True, True, True, False, False, False, False]
    """
    return not _REACH.search(answer) and all(name in _MATHS or len(name) == 1 for name in _CALL.findall(answer))


@functools.lru_cache(maxsize=4096)
def _make(name: str, config: str, seed: int) -> tuple[Any, Mapping[str, Any]]:
    try:
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError:
        raise ConfigError("The task reasoning_gym needs an extra. Next: pip install 'strop[tasks]'") from None
    if name not in DATASETS:
        raise ConfigError(f"reasoning-gym has no data set {name!r}. {did_you_mean(name, DATASETS)}")
    options = json.loads(config)
    known = {field.name for field in dataclasses.fields(DATASETS[name][1])} - {"size", "seed"}
    for option in options:
        if option not in known:
            raise ConfigError(
                f"The reasoning-gym data set {name!r} has no option {option!r}. {did_you_mean(option, known)}"
            )
    try:
        dataset = create_dataset(name, size=1, seed=seed, **options)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(f"reasoning-gym refuses the options {options} of {name!r}: {error}") from None
    return dataset, dataset[0]
