from dataclasses import replace
from typing import Any

from strop.episodes.chunked import Chunked
from strop.objectives.policy_gradient.clip_higher import ClipHigher
from strop.objectives.policy_gradient.truncated_importance import TruncatedImportance
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.rewards.correctness import Correctness


def delethink(
    task: Any = "arithmetic",
    *,
    model: str = "nano",
    data: str | None = None,
    steps: int = 100,
    seed: int = 0,
    max_tokens: int = 160,
    chunk: int | None = None,
    carry: int | None = None,
    head: int | None = None,
) -> Recipe:
    """GRPO on thoughts in chunks: each begins anew with the question and the end of what was written, so that memory
    stays what it is however long the thought.

    Source: Delethink, arXiv:2510.06557; code McGill-NLP/the-markovian-thinker. A chunk is a third of the token budget,
    half of it is carried over, and of that an eightieth (100 of 8,192 tokens) from the beginning of the thought. Each
    attempt counts once, with all its tokens. Held-out problems are answered in chunks, too.

    Departures: at the bundled model's lengths an eightieth is nothing, and 4 tokens are carried from the beginning. The
    baseline is GRPO in the whole context, the paper's LongCoT-RL.
    """
    size = max(2, max_tokens // 3) if chunk is None else chunk
    carried = size // 2 if carry is None else carry
    base = grpo(task, model=model, data=data, steps=steps, seed=seed, max_tokens=max_tokens)
    episode = Chunked(
        max_tokens=max_tokens,
        chunk=size,
        carry=carried,
        head=min(carried, max(4, size // 80)) if head is None else head,
    )
    stage = replace(
        base.stages[0],
        episode=episode,
        rewards=(Correctness(),),
        objective=TruncatedImportance(objective=ClipHigher(low=0.2, high=0.26)),
        minibatches=2,
    )
    return replace(
        base,
        name="delethink",
        source="arXiv:2510.06557",
        baseline="grpo",
        claim="As accurate as GRPO in the whole context, with no more than a third of the thought in view.",
        direction="equal",
        heldout=replace(base.heldout, episode=episode),
        stages=(stage,),
    )
