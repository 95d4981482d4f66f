"""One trace for each prompt, from one of two sources."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from strop.keys import Key
from strop.piece import piece
from strop.records import Group, Trajectory


@piece
class MixSources:
    """Keeps one trace for each prompt: a share of the prompts has that of `first`, all others that of `second`.

    A group holds a prompt's traces, `checkpoint` naming who wrote each. Whatever the share, the set of prompts is the
    same: those for which every source in sight has a trace that is right, not cut off and short enough. The prompts
    with a trace of `first` are drawn by the key, round(share · n) of n, and those of a small share are among those of a
    larger one. Share 1 is the pure arm of `first`, share 0 that of `second`.

    Dropped traces are marked `not right`, `too long`, `another source`, or `no trace of SOURCE` where the prompt is
    left out because SOURCE has none that can be used.

    Source: Mix Distillation (arXiv:2502.12143, section 5): Mix-Long and Mix-Large with a share of 0.2.
    Departures: the paper does not say whether wrong traces were left out; here they are. A trace over the length is
    left out, too, where the released configuration cuts it, which teaches never to end.

    >>> from strop.records import Problem, Verdict
    >>> def traces(i, short="right"):
    ...     problem = Problem(id=f"a/train/{i}", task="a", prompt=(), reference="5")
    ...     each = {"long": "right", "short": short}.items()
    ...     return Group(problem, tuple(Trajectory(problem=problem, sample=0, text="", verdict=Verdict(outcome),
    ...                                            checkpoint=source) for source, outcome in each))
    >>> mixed = MixSources(share=0.5)([*(traces(i) for i in range(4)), traces(4, "wrong")], Key.root(0))
    >>> [[t.checkpoint for t in group.trajectories if not t.dropped] for group in mixed].count(["long"])
    2
    >>> [t.dropped for t in mixed[4].trajectories]
    ['no trace of short', 'not right']
    """

    first: str = "long"
    """The source whose share is given: the stronger or longer-winded teacher."""
    second: str = "short"
    """The other one."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the prompts that have a trace of `first`; paper 0.2."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest trace that is used, where lengths are known; None takes any."""

    def __call__(self, groups: Sequence[Group], key: Key) -> list[Group]:
        sources = {t.checkpoint for group in groups for t in group.trajectories if not t.dropped}
        usable = [self._usable(group) for group in groups]
        whole = [i for i, found in enumerate(usable) if sources and sources <= found.keys()]
        # by hash: which prompt comes first does not depend on the others or on the share
        order = sorted(whole, key=lambda i: (key.fold("mix", groups[i].problem.id).uint64(), i))
        chosen = set(order[: round(self.share * len(order))])
        wanted = {i: usable[i].get(self.first if i in chosen else self.second) for i in order}
        missing = {i: sorted(sources - found.keys()) for i, found in enumerate(usable) if i not in wanted}
        return [
            Group(
                group.problem,
                tuple(
                    replace(t, dropped=t.dropped or self._fault(t) or self._left_out(j, wanted.get(i), missing.get(i)))
                    for j, t in enumerate(group.trajectories)
                ),
            )
            for i, group in enumerate(groups)
        ]

    def _usable(self, group: Group) -> dict[str, int]:
        """The place of each source's first trace that can be used."""
        found: dict[str, int] = {}
        for place, attempt in enumerate(group.trajectories):
            if not attempt.dropped and not self._fault(attempt):
                found.setdefault(attempt.checkpoint, place)
        return found

    def _fault(self, attempt: Trajectory) -> str:
        if attempt.verdict is None or attempt.verdict.outcome != "right":
            return "not right"
        over = self.max_tokens is not None and attempt.length > self.max_tokens
        return "too long" if over or attempt.finish == "length" else ""

    def _left_out(self, place: int, wanted: int | None, missing: Sequence[str] | None) -> str:
        if missing:
            return f"no trace of {missing[0]}"
        return "" if place == wanted else "another source"
