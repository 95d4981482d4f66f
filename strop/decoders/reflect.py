"""An answer that is judged by principles, criticised and written anew."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._chains import Chain, grow
from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory, Turn
from strop.text import split_thought

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class Reflect:
    """Answers, scores the answer on every principle, and where one is broken criticises it and answers again.

    Of the principles p_1 to p_m the answer gets scores s_i of 1 to 5; where all are above `threshold` it stands. Else
    the model writes a critique on those that are not, and a new answer with both in view, up to `rounds` times and as
    far as the budget goes. The last answer is given; what was drawn in between is counted. A score that cannot be read
    flags nothing. Attempts are the answers in order: the pair (last, first) is preference data.

    Source: Reflect (arXiv:2601.18730, section 3).
    Departures: the prompts are strop's own; the threshold is not stated where it was read, 3 is the best reading.
    Models as small as the bundled one follow no instructions: let rules judge in their place (`judge`).

    >>> Reflect(principles=("short", "polite")).flagged("1: 5, 2: 3"), Reflect().flagged("fine")
    ([1], [])
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> Reflect()([Trajectory(problem=problem, sample=i, text=text) for i, text in enumerate(("no.", "5"))])
    1
    """

    principles: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "The answer follows from what was asked.", "The answer is in the form that was asked for."
    )  # fmt: skip
    """The constitution."""
    threshold: Annotated[int, Field(ge=1, le=5)] = 3
    """The highest score that counts as a breach."""
    rounds: Annotated[int, Field(ge=1)] = 1
    """Most new answers; 1 in the paper."""
    judge_tokens: Annotated[int, Field(ge=1)] = 64
    """Tokens of the scores, and of a critique."""
    judge: Any = None
    """Who scores in place of the model: `judge(response, problem)` gives a number of 1 to 5 for each principle."""

    needs: ClassVar[tuple[str, ...]] = ()
    plain_at_one: ClassVar[bool] = False

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        return len(attempts) - 1 if attempts else None

    def draw(
        self,
        problems: Sequence[Problem],
        *,
        sampler: Sampler,
        task: "Task",
        budget: int,
        episode: Plain,
        key: Key,
    ) -> Iterator[Drawn]:
        tokenizer, total = sampler.tokenizer, budget * episode.max_tokens
        left = dict.fromkeys((problem.id for problem in problems), total)
        answers: dict[str, list[Trajectory]] = {problem.id: [] for problem in problems}

        def ask(asked: Sequence[Problem], turns: Sequence[Sequence[Turn]], what: str, most: int) -> list[str]:
            chains = [Chain(p, 0, tokenizer.prompt([*p.prompt, *more])) for p, more in zip(asked, turns, strict=True)]
            rooms = [min(most, left[p.id]) if len(c.prompt) < sampler.context else 0
                     for p, c in zip(asked, chains, strict=True)]  # fmt: skip
            name = 0 if what == "answer 0" else what
            for chain, drawn in zip(
                chains, grow(chains, rooms, sampler=sampler, episode=episode, key=key, piece=name), strict=True
            ):
                left[chain.problem.id] -= drawn
                if what.startswith("answer") and drawn:
                    attempts = answers[chain.problem.id]
                    chain.sample = len(attempts)
                    attempts.append(chain.trajectory(tokenizer, episode.temperature))
            return [chain.trajectory(tokenizer, episode.temperature).text for chain in chains]

        by_rule = "\n".join(f"{n}. {principle}" for n, principle in enumerate(self.principles, 1))
        creed = Turn("system", f"Keep to these principles:\n{by_rule}")
        based = {p.id: p if self.judge is not None else _with(p, creed) for p in problems}
        ask([based[p.id] for p in problems], [()] * len(problems), "answer 0", episode.max_tokens)
        open_ = [p for p in problems if answers[p.id]]
        for turn in range(self.rounds):
            # no answer follows a judgement that takes the last tokens
            open_ = [p for p in open_ if left[p.id] > 2 * self.judge_tokens]
            said = {p.id: Turn("assistant", _plain(answers[p.id][-1].text)) for p in open_}
            rate = Turn("user", f"Rate that answer from 1 to 5 on each principle, as `number: score`.\n{by_rule}")
            if self.judge is None:
                asked = [based[p.id] for p in open_]
                found = ask(asked, [(said[p.id], rate) for p in open_], f"scores {turn}", self.judge_tokens)
                bad = {p.id: self.flagged(_plain(text)) for p, text in zip(open_, found, strict=True)}
            else:
                bad = {p.id: self._breaches(self.judge(answers[p.id][-1].text, p)) for p in open_}
            open_ = [p for p in open_ if bad[p.id]]
            asked = [based[p.id] for p in open_]
            broken = ["; ".join(self.principles[i] for i in bad[p.id]) for p in open_]
            talk = [(said[p.id], Turn("user", f"What in that answer goes against this? {what}"))
                    for p, what in zip(open_, broken, strict=True)]  # fmt: skip
            critiques = ask(asked, talk, f"critique {turn}", self.judge_tokens)
            talk = [(*turns, Turn("assistant", _plain(critique)), Turn("user", "Now answer again, with that mended."))
                    for turns, critique in zip(talk, critiques, strict=True)]  # fmt: skip
            ask(asked, talk, f"answer {turn + 1}", episode.max_tokens)
        for problem in problems:
            spent = total - left[problem.id]
            yield Drawn(problem, tuple(answers[problem.id]), Cost.of([spent]))

    def flagged(self, text: str) -> list[int]:
        """The principles that a judgement finds broken: `number: score`, or scores alone in order."""
        # digits by class, not by \d, which also takes other scripts'
        named = {int(n) - 1: int(s) for n, s in re.findall(r"\b([0-9]{1,3})\s*[:=.)]\s*([1-5])\b", text)}
        if not named:
            named = dict(enumerate(int(s) for s in re.findall(r"\b[1-5]\b", text)))
        return [i for i in range(len(self.principles)) if named.get(i, 5) <= self.threshold]

    def _breaches(self, scores: Sequence[float]) -> list[int]:
        return [i for i, score in enumerate(scores) if score <= self.threshold and i < len(self.principles)]


def _with(problem: Problem, creed: Turn) -> Problem:
    return replace(problem, prompt=(creed, *problem.prompt))


def _plain(text: str) -> str:
    """What a later turn sees of a response: the answer, not the thought."""
    return split_thought(text).answer or ""
