"""A demonstration begun, and finished by the policy."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from strop.episodes import Sampler
from strop.episodes._begun import Drawing, begun
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory
from strop.tasks import Task

Share = Annotated[float, Field(ge=0, le=1)]


@piece
class DemonstrationPrefix:
    r"""The policy goes on from the beginning of a demonstration; the beginning counts as its own words.

    .. math:: L = \lfloor u\,|y^*| \rfloor, \qquad u \sim \mathrm{Uniform}(\mathrm{low}, \mathrm{high}), \qquad
              \mathrm{shortest} \le L \le |y^*| - 1

    The attempt is one response of origin `policy`: every token carries loss, the behaviour log-probabilities of the
    prefix are unknown and filled in with the policy's own. Its signal `prefix` is 1 on the tokens of the prefix.

    Source: Prefix-RFT (arXiv:2507.01679, section 3.1); there `low` falls on a cosine from 0.95 to 0.05.
    Departures: a demonstration longer than `max_tokens` is cut there before its prefix is taken.

    >>> from strop.records import Completion
    >>> class Tokens:
    ...     def prompt(self, turns): return np.array([7])
    ...     def decode(self, tokens): return " ".join(map(str, tokens))
    >>> class Echo:
    ...     tokenizer, context = Tokens(), 99
    ...     def generate(self, requests):
    ...         for i, r in enumerate(requests):
    ...             yield Completion(request=i, sample=0, tokens=np.array([0]), logp=np.zeros(1), finish="stop")
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> def shown(problems, **rest):
    ...     return [Trajectory(problem=p, sample=0, text="", tokens=np.array([1, 2, 3, 4])) for p in problems]
    >>> episode = DemonstrationPrefix(demonstrations=shown, low=0.5, high=0.5)
    >>> [attempt] = episode([problem], sampler=Echo(), task=None, samples=1, key=Key.root(0))
    >>> attempt.text, attempt.signals["prefix"].tolist(), attempt.logp.tolist()
    ('1 2 0', [1.0, 1.0, 0.0], [nan, nan, 0.0])
    """

    demonstrations: Any
    """The episode that gives whole demonstrations, such as `FromData`."""
    low: Share = 0.05
    """Smallest share of a demonstration that is given."""
    high: Share = 0.95
    """Largest share."""
    shortest: Annotated[int, Field(ge=1)] = 1
    """Fewest tokens given, where the demonstration has more."""
    max_tokens: Annotated[int, Field(ge=2)] = 160
    """Tokens a response may have, its prefix and its end-of-turn token included."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the continuation, and of the whole attempt when it is learned from."""

    replays: ClassVar[bool] = False

    @model_validator(mode="after")
    def _check(self) -> "DemonstrationPrefix":
        if self.low > self.high:
            raise ValueError(f"low must not be above high, got {self.low} and {self.high}")
        return self

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]:
        tokenizer = sampler.tokenizer
        starts: list[Trajectory] = []
        for shown in self.demonstrations(problems, sampler=sampler, task=task, samples=samples, key=key):
            prefix = self._prefix(shown, key.fold(shown.problem.id, shown.sample, "prefix"))
            starts.append(
                replace(
                    shown,
                    origin="policy",
                    prompt_tokens=tokenizer.prompt(shown.problem.prompt),
                    tokens=prefix,
                    mask=np.ones(len(prefix), dtype=bool),
                    logp=np.full(len(prefix), np.nan, dtype=np.float32),
                )
            )
        for attempt in begun(starts, sampler, Drawing(self.max_tokens, self.temperature), key):
            # nobody knows how likely the prefix was, and nothing else
            assert attempt.logp is not None
            given = np.isnan(attempt.logp)
            yield replace(attempt, signals={"prefix": given.astype(np.float32)})

    def _prefix(self, shown: Trajectory, key: Key) -> np.ndarray:
        assert shown.tokens is not None
        tokens = shown.tokens[: self.max_tokens]
        share = self.low + (self.high - self.low) * key.random().random()
        # the last token is left to the policy, or there would be nothing to continue
        return tokens[: min(max(int(share * len(tokens)), self.shortest), len(tokens) - 1)]
