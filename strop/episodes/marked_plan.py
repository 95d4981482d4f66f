"""Attempts whose plan is marked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.plan_text import MARKER, tokens_until
from strop.records import Problem, Trajectory
from strop.tasks import Task


@piece
class MarkedPlan:
    """Another episode's attempts, with the signal `plan`: 1 on every token up to and with the marker, 0 after it.

    An attempt without the marker has no plan: it is 0 everywhere. What is drawn is the other episode's, token for
    token.

    Source: E2C (arXiv:2509.23946), whose loss weighs the exploration by itself (`SegmentWeight`).

    >>> class Letters:
    ...     class tokenizer:
    ...         def decode(tokens): return "".join(map(chr, tokens))
    >>> def said(problems, **rest):
    ...     texts = "ab so 1", "ab 1"
    ...     return [Trajectory(problem=p, sample=i, text=t, tokens=np.array([ord(c) for c in t]))
    ...             for p in problems for i, t in enumerate(texts)]
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="1")
    >>> marked = MarkedPlan(base=said, marker=" so")
    >>> drawn = marked([problem], sampler=Letters(), task=None, samples=2, key=Key.root(0))
    >>> [t.signals["plan"].astype(int).tolist() for t in drawn]
    [[1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0]]
    """

    base: Any
    """The episode that draws."""
    marker: Annotated[str, Field(min_length=1)] = MARKER
    """The text where the execution begins."""

    replays: ClassVar[bool] = False

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]:
        for attempt in self.base(problems, sampler=sampler, task=task, samples=samples, key=key):
            if attempt.tokens is None:
                yield attempt
                continue
            size = tokens_until(attempt.tokens, sampler.tokenizer.decode, self.marker) or 0
            plan = (np.arange(len(attempt.tokens)) < size).astype(np.float32)
            yield replace(attempt, signals={**attempt.signals, "plan": plan})
