"""Many plans, few executions."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._chains import Chain, begin, grow
from strop.decoders._votes import answers, winner
from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.plan_text import MARKER, similarity, split_plan, tokens_until
from strop.records import Problem, Trajectory, Turn

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class PlanSearch:
    r"""Draws a plan for each attempt of the budget, executes a few of them, and lets their answers vote.

    .. math:: a = \arg\max_a \sum_{c:\ a_c = a} n_c

    `cluster`: the `executions` plans that most others are equal to are executed, every other plan joins the most
    similar of these, and n_c is how many a cluster has. `first`: one plan is executed, the first drawn, which is any.
    `all`: each is executed and counts 1. `judge`: the model reads all plans and writes one, and the most similar one
    is executed. A plan ends with the marker, at the latest after `plan_tokens` or half an attempt; attempts that end
    without one vote, too, and where no attempt comes to one the first goes on. Plans that are not executed stand among
    the attempts and answer nothing. A budget of 1 is a plain attempt.

    Source: the test-time scaling of E2C (arXiv:2509.23946); code yks23/Explore-Execute-Chain.
    Departures: plans are compared by their characters (difflib's ratio), in the code by sentence embeddings and k-means
    and, after the judge, by their longest common subsequence. The prompt of the judge is strop's own.

    >>> PlanSearch(executions=2).clusters(["3*8 47+", "3*8 47-", "9", "3*8 47+", "9", None])
    {0: 3, 2: 2}
    """

    select: Literal["cluster", "first", "all", "judge"] = "cluster"
    """Which plans are executed."""
    executions: Annotated[int, Field(ge=1)] = 1
    """How many, with `cluster`; fewer where fewer plans differ."""
    plan_tokens: Annotated[int, Field(ge=1)] = 64
    """Tokens of a plan, its marker included."""
    marker: Annotated[str, Field(min_length=1)] = MARKER
    """The text where the execution begins; one that is a token by itself ends the drawing of a plan at once."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    plain_at_one: ClassVar[bool] = True

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        plans = [self._plan(t.text) for t in attempts]
        sizes = self.clusters(plans) if self.select == "cluster" else dict.fromkeys(range(len(plans)), 1)
        # a plan that is not executed says nothing
        weights = [float(sizes.get(i, plan is None)) for i, plan in enumerate(plans)]
        said = [a if w else None for a, w in zip(answers(attempts), weights, strict=True)]
        return winner(said, weights)

    def clusters(self, plans: Sequence[str | None]) -> dict[int, int]:
        """Which plans are executed, by place, and how many each stands for; None is no plan."""
        there: dict[str, list[int]] = {}
        for i, plan in enumerate(plans):
            if plan is not None:
                there.setdefault(plan, []).append(i)
        groups = sorted(there.items(), key=lambda item: -len(item[1]))
        leaders = groups[: self.executions]
        sizes = {members[0]: len(members) for _, members in leaders}
        for plan, members in groups[self.executions :]:
            likeness = [similarity(plan, other) for other, _ in leaders]
            sizes[leaders[likeness.index(max(likeness))][1][0]] += len(members)
        return dict(sorted(sizes.items()))

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
        most = episode.max_tokens
        chains = begin(problems, sampler.tokenizer, budget)
        by_problem = [chains[i : i + budget] for i in range(0, len(chains), budget)]
        room = most if budget == 1 else max(1, min(self.plan_tokens, most // 2))
        ids = sampler.tokenizer.encode(self.marker).tolist()
        stop = (ids[0],) if len(ids) == 1 and budget > 1 else ()
        drawn = grow(chains, [room] * len(chains), sampler=sampler, episode=episode, key=key, stop=stop)
        costs = [Cost.of(drawn[i : i + budget]) for i in range(0, len(chains), budget)]
        if budget > 1:
            self._cut_to_plans(chains, sampler)
            chosen, judged = self._chosen(by_problem, room, sampler, episode, key)
            going = [own[i] for own, places in zip(by_problem, chosen, strict=True) for i in places]
            rooms = [most - chain.spent for chain in going]
            rest = iter(grow(going, rooms, sampler=sampler, episode=episode, key=key, piece="execute"))
            costs = [
                cost.then(Cost.of([extra])).then(Cost.of([next(rest) for _ in places]))
                for cost, extra, places in zip(costs, judged, chosen, strict=True)
            ]
        for own, cost in zip(by_problem, costs, strict=True):
            attempts = tuple(c.trajectory(sampler.tokenizer, episode.temperature) for c in own)
            yield Drawn(own[0].problem, attempts, cost)

    def _cut_to_plans(self, chains: Sequence[Chain], sampler: Sampler) -> None:
        for chain in chains:  # a marker of several tokens has not stopped the drawing
            size = tokens_until(np.array(chain.tokens, dtype=np.int64), sampler.tokenizer.decode, self.marker)
            if size is not None and size < len(chain.tokens):
                chain.cut(size)
                chain.finish = None

    def _chosen(
        self, by_problem: Sequence[Sequence[Chain]], room: int, sampler: Sampler, episode: Plain, key: Key
    ) -> tuple[list[list[int]], list[int]]:
        # of each problem, and how many tokens it took to say so
        plans = [[self._plan(_text(chain, sampler)) for chain in own] for own in by_problem]
        if self.select == "judge":
            return self._judged(by_problem, plans, room, sampler, episode, key)
        found = [list(self.clusters(each)) for each in plans]
        if self.select != "cluster":
            found = [[i for i, plan in enumerate(each) if plan is not None] for each in plans]
            found = [there[:1] for there in found] if self.select == "first" else found
        return [places or [0] for places in found], [0] * len(plans)

    def _judged(
        self, by_problem: Sequence[Sequence[Chain]], plans: Sequence[Sequence[str | None]], room: int,
        sampler: Sampler, episode: Plain, key: Key,
    ) -> tuple[list[list[int]], list[int]]:  # fmt: skip
        judges: list[Chain] = []
        for own, each in zip(by_problem, plans, strict=True):
            shown = "\n".join(f"Plan {number}: {plan}" for number, plan in enumerate(each, 1) if plan)
            asked = Turn("user", f"{shown}\nWrite down the best of these plans, and nothing else.")
            judges.append(Chain(own[0].problem, 0, sampler.tokenizer.prompt([*own[0].problem.prompt, asked])))
        rooms = [room if len(judge.prompt) < sampler.context else 0 for judge in judges]
        drawn = grow(judges, rooms, sampler=sampler, episode=episode, key=key, piece="judge", greedy=True)
        said = [_text(judge, sampler) for judge in judges]
        likest = [[0 if p is None else 1 + similarity(p, s) for p in each] for each, s in zip(plans, said, strict=True)]
        return [[each.index(max(each))] for each in likest], drawn

    def _plan(self, text: str) -> str | None:
        parts = split_plan(text, self.marker)
        return parts and " ".join(parts.plan.split())


def _text(chain: Chain, sampler: Sampler) -> str:
    return sampler.tokenizer.decode(np.array(chain.tokens, dtype=np.int64))
