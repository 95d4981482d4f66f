"""Samplers to draw with: one that says what it is told to, and one of a tiny model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from strop.episodes.single_turn import SingleTurn
from strop.keys import Key
from strop.records import Completion, Problem, Turn


def problem(index: int = 0, question: str = "2+3") -> Problem:
    return Problem(id=f"a/heldout/{index}", task="a", prompt=(Turn("user", question),), reference="5")


@dataclass
class Scripted:
    """Says `say(text so far, sample)` and ends its turn; counts tokens and remembers what it was asked."""

    tokenizer: Any
    say: Callable[[str, int], str]
    context: int = 400
    teacher: Any = None
    asked: list[tuple[str, int]] = field(default_factory=list)
    drawn: int = 0

    def generate(self, requests):
        for number, request in enumerate(requests):
            text = self.tokenizer.hf.decode(request.prompt.tolist())
            for sample in range(len(request.seeds)):
                self.asked.append((text, request.max_tokens))
                tokens = [*self.tokenizer.encode(self.say(text, sample)).tolist(), self.tokenizer.end_id]
                ends = [i + 1 for i, token in enumerate(tokens) if token in request.stop]
                tokens = tokens[: min([request.max_tokens, self.context - len(request.prompt), *ends])]
                ended = tokens[-1] in (*request.stop, self.tokenizer.end_id)
                self.drawn += len(tokens)
                yield Completion(
                    request=number, sample=sample, tokens=np.array(tokens), finish="stop" if ended else "length",
                    logp=np.full(len(tokens), -0.5, dtype=np.float32),
                )  # fmt: skip


@pytest.fixture
def scripted(tokenizer):
    """`scripted(say)`: a sampler without a model."""
    return lambda say, **more: Scripted(tokenizer, say, **more)


@pytest.fixture
def tiny(tiny_model):
    """`tiny(seed)`: the torch sampler of a tiny model with random weights."""
    from strop.backends.torch.sampler import TorchSampler

    return lambda seed=0, **more: TorchSampler(tiny_model("qwen3", seed=seed), precision="fp32", slots=8, **more)


@pytest.fixture
def draw():
    """`draw(decoder, sampler, budget, max_tokens=..)`: what it drew for one problem, or for several."""

    def run(decoder, sampler, budget=1, problems=None, **how):
        episode = SingleTurn(**({"max_tokens": 30} | how))
        found = list(
            decoder.draw(
                problems or [problem()], sampler=sampler, task=None, budget=budget, episode=episode, key=Key.root(1)
            )
        )
        return found[0] if problems is None else found

    return run
