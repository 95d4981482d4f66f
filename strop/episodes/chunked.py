"""Long thoughts in a short context."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from strop.episodes import Sampler
from strop.episodes._trace import Trace
from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import piece
from strop.records import Int, Problem, Request, Trajectory
from strop.tasks import Task


@piece
class Chunked:
    r"""The model thinks in chunks: each begins anew with the question and the end of what was written so far.

    .. math:: \mathrm{prompt}_1 = q, \qquad \mathrm{prompt}_k = (q,\ y_{1:h},\ y_{T-(m-h)+1:T}), \qquad
              |y^{(1)}| \le C, \qquad |y^{(k)}| \le C - m

    T is what is written by then, C the chunk, m the carry, h the head. The context never has more than |q| + C tokens,
    however long the thought: memory stays what it is, and time grows with the length, not with its square. An attempt
    has all written tokens, once; what a chunk reads of them again is its prompt and carries no loss. A thought that
    fits into one chunk is that of `SingleTurn`, token for token.

    Source: Delethink (arXiv:2510.06557), C = 8192, m = 4096, h = 100.

    Departures: the budget is a number of tokens, not of chunks: C + (I - 1)(C - m) tokens are I chunks. Where question
    and chunk do not fit into the model's context together, the chunk is what fits. The answer is read from the whole
    text, not from the last context; the two differ only where an answer is longer than the carry.

    >>> from strop.records import Completion
    >>> class Words:
    ...     def prompt(self, turns): return np.array([90, 91])
    ...     def decode(self, tokens): return " ".join(map(str, tokens))
    >>> class Counts:
    ...     tokenizer, context = Words(), 99
    ...     def generate(self, requests):  # the number after the last one, and so on; 7 ends
    ...         for i, r in enumerate(requests):
    ...             first = r.prompt[-1] + 1 if r.prompt[-1] < 90 else 0
    ...             tokens = np.arange(first, 8)[: r.max_tokens]
    ...             finish = "stop" if tokens[-1] == 7 else "length"
    ...             yield Completion(request=i, sample=0, tokens=tokens, logp=np.zeros(len(tokens)), finish=finish)
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> chunked = Chunked(max_tokens=20, chunk=4, carry=2, head=1)
    >>> [attempt] = chunked([problem], sampler=Counts(), task=None, samples=1, key=Key.root(0))
    >>> attempt.text, attempt.finish, [(c.start, c.prompt.tolist()) for c in attempt.contexts]
    ('0 1 2 3 4 5 6 7', 'stop', [(4, [90, 91, 0, 3]), (6, [90, 91, 0, 5])])
    """

    max_tokens: Annotated[int, Field(ge=1)] = 160
    """Tokens a response may have in all its chunks, its end-of-turn token included."""
    chunk: Annotated[int, Field(ge=1)] = 48
    """C: tokens of a response that are in the context at most."""
    carry: Annotated[int, Field(ge=0)] = 24
    """m: how many of these a later chunk begins with."""
    head: Annotated[int, Field(ge=0)] = 4
    """h: how many of the carried ones are the first of the response, the others are its last."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """What logits are divided by."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Smallest set of tokens with this probability; below 1 the policy's own distribution is not the one drawn from."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Most likely tokens kept; 0 keeps all."""

    @model_validator(mode="after")
    def _fits(self) -> "Chunked":
        if not self.head <= self.carry < self.chunk:
            raise ValueError(f"expected head <= carry < chunk, got {self.head}, {self.carry} and {self.chunk}")
        return self

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]:
        asked = [(problem, self._prompt(problem, sampler)) for problem in problems]
        traces = [[Trace(problem, sample, prompt) for sample in range(samples)] for problem, prompt in asked]
        # the samples of a problem share their first prompt, so it is read once
        waiting = traces
        number = 0
        while waiting:
            unfinished: list[list[Trace]] = []
            requests = [self._request(together, number, sampler.context, key) for together in waiting]
            for done in sampler.generate(requests):
                trace = waiting[done.request][done.sample]
                trace.add(done, requests[done.request].prompt)
                if done.finish == "stop" or trace.size >= self.max_tokens:
                    yield trace.attempt(sampler, self.temperature, done.finish)
                else:
                    unfinished.append([trace])
            waiting = unfinished
            number += 1

    def _prompt(self, problem: Problem, sampler: Sampler) -> Int[np.ndarray, " S"]:
        prompt = sampler.tokenizer.prompt(problem.prompt)
        room = sampler.context - len(prompt)
        if self.carry >= room and self.max_tokens > room:
            raise ConfigError(
                f"Problem {problem.id}: its prompt of {len(prompt)} tokens and the carry of {self.carry} leave nothing "
                f"of the model's context of {sampler.context} to write in. Lower it: --set stages.0.episode.carry="
                f"{max(0, room // 2)}."
            )
        return prompt

    def _request(self, together: Sequence[Trace], number: int, context: int, key: Key) -> Request:
        trace = together[0]
        seeds = [key.fold(each.problem.id, each.sample) for each in together]
        prompt = trace.prompt
        if number:
            prompt = np.concatenate([prompt, trace.carried(self.head, self.carry)])
            seeds = [seed.fold("chunk", number) for seed in seeds]
        most = min(self.chunk, context - len(trace.prompt)) - (self.carry if number else 0)
        return Request(
            prompt=prompt,
            seeds=[seed.uint64() for seed in seeds],
            max_tokens=min(most, self.max_tokens - trace.size),
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
        )
