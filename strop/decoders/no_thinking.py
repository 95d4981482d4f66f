"""Many short answers without a thought, and a vote weighted by how sure the model was."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from strop.decoders import Cost, Drawn, Plain
from strop.decoders._chains import begin, grow, require_hooks, seed_of
from strop.decoders._votes import answers, winner
from strop.episodes import Sampler
from strop.keys import Key
from strop.piece import piece
from strop.records import Problem, Trajectory

if TYPE_CHECKING:
    from strop.tasks import Task


@piece
class NoThinking:
    r"""Opens every answer with a finished thought, draws them in parallel and lets them vote by self-certainty.

    The self-certainty of an attempt of n tokens is the mean divergence from the uniform distribution over the
    vocabulary to the model's,

    .. math:: SC(y) = -\frac{1}{nV} \sum_{i=1}^{n} \sum_{j=1}^{V} \log\bigl(V\,p(j \mid x, y_{<i})\bigr)

    Ranked by it, rank 1 the surest, an attempt has (N - rank + 1)^p votes for its answer (Borda); p = 0 is majority.
    Attempts whose answer could not be read have a rank and no vote. On stored rollouts the ranks are those of `score`.

    Source: Reasoning Models Can Be Effective Without Thinking (arXiv:2504.09858); voting by self-certainty
    (arXiv:2502.18581, section 4) and its code.
    Departures: the inserted thought is empty, as the bundled model knows it, where the paper writes "Okay, I think I
    have finished thinking."; an answer that runs out of tokens is not asked for once more.

    >>> from strop.records import Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> said = ("5", 0.1), ("6", 0.9), ("5", 0.2), ("5", 0.3)
    >>> attempts = [Trajectory(problem=problem, sample=i, text="", verdict=Verdict("wrong", a), reward=v)
    ...             for i, (a, v) in enumerate(said)]
    >>> [NoThinking(power=p)(attempts) for p in (0.5, 3.0)]
    [0, 1]
    """

    prefill: str = "<think></think>"
    """What every answer begins with; empty leaves the thought to the model, which gives plain attempts."""
    select: Literal["voting", "highest"] = "voting"
    """Whose answer is given: the vote's, or that of the surest attempt."""
    power: Annotated[float, Field(ge=0)] = 0.5
    """p, how much more the sure ones weigh; 0.5 in the reference code."""

    needs: ClassVar[tuple[str, ...]] = ("answer", "score")
    plain_at_one: ClassVar[bool] = False

    def __call__(self, attempts: Sequence[Trajectory]) -> int | None:
        said = answers(attempts)
        sure = [-math.inf if math.isnan(t.reward) else t.reward for t in attempts]
        # stable: of equally sure attempts the one that came first has the better rank
        order = sorted(range(len(attempts)), key=lambda i: -sure[i])
        if self.select == "highest":
            return next((i for i in order if said[i] is not None), None)
        weights = [0.0] * len(attempts)
        for rank, i in enumerate(order):
            weights[i] = float(len(attempts) - rank) ** self.power
        return winner(said, weights)

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
        # the hooks are torch's, and choosing among stored rollouts should not import it
        from strop.decoders._hooks import Distributions

        hook = None
        if self.select == "highest" or self.power:
            require_hooks(sampler, self)
            hook = Distributions()
        tokenizer = sampler.tokenizer
        chains = begin(problems, tokenizer, budget)
        for chain in chains:
            chain.read(tokenizer.encode(self.prefill))
        drawn = grow(chains, [episode.max_tokens] * len(chains), sampler=sampler, episode=episode, key=key, hook=hook)
        sure = [
            hook.of(seed_of(chain, key, 0), length)[1] if hook is not None and length else 0.0
            for chain, length in zip(chains, drawn, strict=True)
        ]
        attempts = [
            c.trajectory(tokenizer, episode.temperature, s) for c, s in zip(chains, np.nan_to_num(sure), strict=True)
        ]
        for first in range(0, len(chains), budget):
            own = slice(first, first + budget)
            yield Drawn(chains[first].problem, tuple(attempts[own]), Cost.of(drawn[own]))
