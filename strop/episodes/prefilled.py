"""Responses that begin with given text."""

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from strop.episodes import Sampler
from strop.episodes._begun import Drawing, begun
from strop.keys import Key
from strop.piece import piece
from strop.records import Int, Problem, Trajectory
from strop.tasks import Task


@piece
class Prefilled:
    r"""The policy goes on from text that is put into its mouth: an empty thought, an ellipsis, a flawed first step.

    .. math:: y = (\mathrm{opening},\ \mathrm{start}(x),\ \mathrm{choice}_{i \bmod n},\ y_1, y_2, \ldots), \qquad
              y_t \sim \pi

    What the policy did not choose carries no loss: the opening, and the start, a text of its own for each problem.
    Where there are `choices`, the samples of a problem take them in turn, and they count as drawn: each carries loss,
    its first token with the behaviour probability 1/n with which it was taken, its others with 1. A policy gradient
    then corrects for what was forced by the importance ratio.

    Source: NoThinking (arXiv:2504.09858), whose empty thought is the default opening; the ellipsis of AutoThink
    (arXiv:2505.10832); AdaptThink (arXiv:2506.13417), whose two first tokens are `choices`; Mixed-CoT-RL
    (arXiv:2512.17079), whose flawed steps are `starts`.

    Departures: NoThinking's thought says that it is finished; here nothing stands in it.

    >>> from strop.records import Completion
    >>> class Letters:
    ...     def prompt(self, turns): return np.array([0])
    ...     def encode(self, text): return np.array([ord(c) for c in text], dtype=np.int64)
    ...     def decode(self, tokens): return "".join(map(chr, tokens))
    >>> class Echo:
    ...     tokenizer, context = Letters(), 99
    ...     def generate(self, requests):
    ...         for i, r in enumerate(requests):
    ...             for s, _ in enumerate(r.seeds):
    ...                 yield Completion(request=i, sample=s, tokens=np.array([33]), logp=np.zeros(1), finish="stop")
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> forced = Prefilled(opening="(", choices=(")", "so"))
    >>> drawn = forced([problem], sampler=Echo(), task=None, samples=2, key=Key.root(0))
    >>> [(t.text, t.mask.tolist(), t.logp.round(2).tolist()[1:]) for t in drawn]  # -log 2
    [('()!', [False, True, True], [-0.69, 0.0]), ('(so!', [False, True, True, True], [-0.69, 0.0, 0.0])]
    """

    opening: str = "<think></think>"
    """What every response begins with."""
    choices: tuple[str, ...] = ()
    """What follows it, in turn over the samples of a problem; none may be the beginning of another."""
    starts: Any = None
    """An episode whose first attempt at a problem stands after the opening in all samples of it; None has none."""
    max_tokens: Annotated[int, Field(ge=2)] = 160
    """Tokens a response may have, what is given and its end-of-turn token included."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """What logits are divided by."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Smallest set of tokens with this probability; below 1 the policy's own distribution is not the one drawn from."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Most likely tokens kept; 0 keeps all."""

    replays: ClassVar[bool] = False

    @model_validator(mode="after")
    def _choices_differ(self) -> "Prefilled":
        if any(one.startswith(other) for one, other in permutations(self.choices, 2)):
            raise ValueError(f"no choice may be the beginning of another one, got {self.choices}")
        return self

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]:
        starts: dict[str, str] = {}
        if self.starts is not None:
            for told in self.starts(problems, sampler=sampler, task=task, samples=1, key=key.fold("start")):
                starts.setdefault(told.problem.id, told.text)
        choices = [_encoded(choice, sampler) for choice in self.choices or ("",)]
        opening = _encoded(self.opening, sampler)
        beginnings: list[Trajectory] = []
        for problem in problems:
            given = np.concatenate([opening, _encoded(starts.get(problem.id, ""), sampler)])
            prompt = sampler.tokenizer.prompt(problem.prompt)
            beginnings += [
                _beginning(problem, sample, prompt, given, choices[sample % len(choices)], len(choices))
                for sample in range(samples)
            ]
        yield from begun(beginnings, sampler, Drawing(self.max_tokens, self.temperature, self.top_p, self.top_k), key)


def _beginning(
    problem: Problem, sample: int, prompt: np.ndarray, given: np.ndarray, choice: np.ndarray, choices: int
) -> Trajectory:
    tokens = np.concatenate([given, choice])
    taken = np.arange(len(tokens)) >= len(given)
    logp = np.where(taken, 0.0, np.nan).astype(np.float32)
    logp[len(given) : len(given) + 1] = -np.log(choices)
    return Trajectory(
        problem=problem, sample=sample, text="", prompt_tokens=prompt, tokens=tokens, mask=taken, logp=logp
    )


def _encoded(text: str, sampler: Sampler) -> Int[np.ndarray, " T"]:
    return np.asarray(sampler.tokenizer.encode(text), dtype=np.int64)
