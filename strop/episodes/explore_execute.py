"""Worked responses with a plan before them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from strop.episodes import Sampler, replays
from strop.episodes._begun import Drawing, begun
from strop.keys import Key
from strop.piece import piece
from strop.plan_text import distil
from strop.records import Problem, Request, Trajectory, Turn
from strop.tasks import Task
from strop.text import split_thought

FORM = "<EXPLORATION>\n{plan}\n</EXPLORATION>\n<EXECUTION>\n{execution}\n</EXECUTION>"


@piece
class ExploreExecute:
    """Responses that say what they will do, and then do it: a plan distilled from a solution, and its execution.

    A solution comes from another episode. Its plan is its numbered headings or the operations of its equations, or what
    the model makes of it where it is asked to (`ask`). With `execute` the model then works by the plan anew, so that
    what it says follows from the plan and not the plan from it; wrong ones are for a curator to drop (`KeepCorrect`).
    The model is the recipe's teacher where it has one, else the policy. A solution without a plan is marked `no plan`.

    Source: the causal data of E2C (arXiv:2509.23946): a solution, its plan, an execution that follows the plan.
    Departures: without `execute` the execution is the solution itself. Where a rule distils the plan of a task's own
    worked response the two agree by construction, and the bundled model cannot follow a plan before it has seen one.

    >>> from strop.tasks.arithmetic import Arithmetic
    >>> from strop.episodes.from_data import FromData
    >>> class Letters:
    ...     end_id = 0
    ...     def prompt(self, turns): return np.array([ord(c) for c in turns[-1].content])
    ...     def encode(self, text): return np.array([ord(c) for c in text])
    >>> class Source:
    ...     tokenizer, teacher = Letters(), None
    >>> planned = ExploreExecute(base=FromData(), form="<think>{plan} so {execution}</think>{answer}")
    >>> problem = Arithmetic(levels=(2,)).problem("train", 0)
    >>> told = planned([problem], sampler=Source(), task=Arithmetic(), samples=1, key=Key.root(0))
    >>> next(told).text
    '<think>42+50 +41 so 42+50=92 92+41=133</think>133'
    """

    base: Any
    """The episode that gives whole solutions."""
    form: Annotated[str, Field(pattern=r"\{plan\}[\s\S]*\{execution\}")] = FORM
    """How a response is put together. With {answer} the execution is the solution's thought and the answer what follows
    it; without, the execution is everything after the thought."""
    ask: str | None = None
    """What asks the model for the plan of the solution that it is shown; None distils by rule."""
    execute: bool = False
    """Whether the model works by the plan anew."""
    plan_tokens: Annotated[int, Field(ge=1)] = 256
    """Tokens of a plan that the model writes."""
    max_tokens: Annotated[int, Field(ge=2)] = 384
    """Tokens of a response; what is longer is cut and ends without an end-of-turn token."""

    @property
    def replays(self) -> bool:
        """Whether no model is asked."""
        return replays(self.base) and self.ask is None and not self.execute

    def __call__(
        self, problems: Sequence[Problem], *, sampler: Sampler, task: Task, samples: int, key: Key
    ) -> Iterator[Trajectory]:
        solved = list(self.base(problems, sampler=sampler, task=task, samples=samples, key=key.fold("solve")))
        parts = [self._parts(attempt.text) for attempt in solved]
        if self.ask is None:
            plans = [distil(execution) for execution, _ in parts]
        else:
            plans = self._asked(solved, [execution for execution, _ in parts], sampler, key.fold("plan"))
        texts = [
            _filled(self.form, plan=plan, execution=execution, answer=answer)
            for plan, (execution, answer) in zip(plans, parts, strict=True)
        ]
        told = [replace(self._told(a, text, sampler), dropped="" if plan else "no plan")
                for a, text, plan in zip(solved, texts, plans, strict=True)]  # fmt: skip
        yield from self._executed(told, plans, sampler, key.fold("execute")) if self.execute else told

    def _parts(self, text: str) -> tuple[str, str]:
        thought, answer, _ = split_thought(text)
        return (thought, answer or "") if "{answer}" in self.form else (answer or "", "")

    def _asked(self, solved: Sequence[Trajectory], shown: Sequence[str], sampler: Sampler, key: Key) -> list[str]:
        model, plans = sampler.teacher or sampler, [""] * len(solved)
        asked = [
            Request(
                prompt=model.tokenizer.prompt(
                    [*attempt.problem.prompt, Turn("assistant", solution), Turn("user", self.ask or "")]
                ),
                seeds=[key.fold(attempt.problem.id, attempt.sample).uint64()],
                max_tokens=self.plan_tokens,
            )
            for attempt, solution in zip(solved, shown, strict=True)
        ]
        fit = [i for i, request in enumerate(asked) if len(request.prompt) < model.context]
        for done in model.generate([asked[i] for i in fit]) if fit else ():
            plans[fit[done.request]] = (split_thought(model.tokenizer.decode(done.tokens)).answer or "").strip()
        return plans

    def _executed(
        self, told: Sequence[Trajectory], plans: Sequence[str], sampler: Sampler, key: Key
    ) -> Iterator[Trajectory]:
        model = sampler.teacher or sampler
        begin = self.form.partition("{execution}")[0]
        starts: list[Trajectory] = []
        for attempt, plan in zip(told, plans, strict=True):
            if attempt.dropped:
                yield attempt
                continue
            tokens = np.asarray(model.tokenizer.encode(_filled(begin, plan=plan)), dtype=np.int64)
            prompt = model.tokenizer.prompt(attempt.problem.prompt)
            known = np.full(len(tokens), np.nan, dtype=np.float32)
            starts.append(replace(attempt, prompt_tokens=prompt, tokens=tokens, mask=tokens >= 0, logp=known))
        for done in begun(starts, model, Drawing(self.max_tokens), key):
            yield self._told(done, done.text, sampler, cut=done.finish == "length")

    def _told(self, attempt: Trajectory, text: str, sampler: Sampler, cut: bool = False) -> Trajectory:
        tokenizer = sampler.tokenizer
        tokens = np.asarray(tokenizer.encode(text), dtype=np.int32)
        tokens = tokens if cut else np.append(tokens, tokenizer.end_id).astype(np.int32)
        cut, tokens = cut or len(tokens) > self.max_tokens, tokens[: self.max_tokens]
        prompt, written = tokenizer.prompt(attempt.problem.prompt), np.ones(len(tokens), dtype=bool)
        return replace(
            attempt, text=text, finish="length" if cut else "stop", prompt_tokens=prompt, tokens=tokens, mask=written,
            logp=np.full(len(tokens), np.nan, dtype=np.float32),
        )  # fmt: skip


def _filled(form: str, **parts: str) -> str:
    # one pass, so that what is filled in cannot name a place that is filled in later
    return re.sub(r"\{(plan|execution|answer)\}", lambda found: parts.get(found[1], ""), form)
