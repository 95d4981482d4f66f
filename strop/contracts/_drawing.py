"""The contract of decoders that draw attempts in a way of their own, tried on a tiny model of random weights."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from strop import catalogue
from strop.contracts._examples import HOSTILE
from strop.contracts._finding import ensure
from strop.decoders import Drawn
from strop.episodes.single_turn import SingleTurn
from strop.errors import BackendError
from strop.keys import Key
from strop.records import Completion, Problem, Request
from strop.tasks.arithmetic import Arithmetic

BUDGETS = (1, 2, 5)
PLAIN = SingleTurn(max_tokens=24)
KEY = Key.root(3)
TASK: Any = Arithmetic()


@functools.cache
def sampler() -> Any:
    """Two layers of random weights with the bundled tokenizer, and another such model as its teacher.

    What it writes is noise, tags of thoughts and ends of turns included.
    """
    from strop.backends.torch.sampler import TorchSampler
    from strop.models.chat_tokenizer import load_tokenizer
    from strop.models.language_model import initialise

    tokenizer = load_tokenizer(catalogue.ROOT / "assets" / "nano")
    shape = {
        "model_type": "qwen3", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 16, "max_position_embeddings": 160,
        "initializer_range": 0.5, "tie_word_embeddings": True,
    }  # fmt: skip
    teacher, model = (TorchSampler(initialise(shape, seed, tokenizer), slots=16, precision="fp32") for seed in (1, 0))
    return TorchSampler(model.model, slots=16, precision="fp32", teacher=teacher)


class _Counting:
    """A sampler that counts the tokens it draws."""

    hooks = True

    def __init__(self, inner: Any) -> None:
        self.inner, self.drawn = inner, 0
        self.tokenizer, self.context, self.teacher, self.model = (
            inner.tokenizer, inner.context, inner.teacher, inner.model
        )  # fmt: skip

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for done in self.inner.generate(requests):
            self.drawn += len(done.tokens)
            yield done


class _Scripted(_Counting):
    """A sampler without hooks that says one hostile thing after the other."""

    hooks = False

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for number, request in enumerate(requests):
            ensure(request.hook is None, "a hook was given to a sampler that takes none")
            for sample in range(len(request.seeds)):
                text = HOSTILE[self.drawn % len(HOSTILE)].encode("utf-8", "replace").decode()
                self.drawn += 1
                tokens = [*self.tokenizer.encode(text).tolist(), self.tokenizer.end_id]
                ends = [i for i, token in enumerate(tokens) if token in request.stop]
                tokens = tokens[: min([request.max_tokens, *(i + 1 for i in ends)])]
                ended = tokens[-1] in (*request.stop, self.tokenizer.end_id)
                yield Completion(
                    request=number, sample=sample, tokens=np.array(tokens), finish="stop" if ended else "length",
                    logp=np.full(len(tokens), -1.0, dtype=np.float32),
                )  # fmt: skip


def _problems(count: int) -> list[Problem]:
    return [TASK.problem("heldout", i) for i in range(count)]


def _ready(decoder: Any) -> Any:
    if not hasattr(decoder, "prepare"):
        return decoder
    return decoder.prepare(sampler=sampler(), task=TASK, episode=PLAIN, key=KEY)


def _draw(decoder: Any, problems: Sequence[Problem], budget: int, on: Any = None) -> list[Drawn]:
    drawn = decoder.draw(problems, sampler=on or sampler(), task=TASK, budget=budget, episode=PLAIN, key=KEY)
    return list(drawn)


def _tokens(drawn: Drawn) -> list[list[int]]:
    return [[] if t.tokens is None else t.tokens.tolist() for t in drawn.attempts]


def spends_no_more_than_its_budget(decoder: Any) -> None:
    ready = _ready(decoder)
    for budget in BUDGETS:
        for problem in _problems(3):
            counting = _Counting(sampler())
            (drawn,) = _draw(ready, [problem], budget, counting)
            most, cost = budget * PLAIN.max_tokens, drawn.cost
            ensure(counting.drawn <= most, f"of {most} tokens that a budget of {budget} allows, drew {counting.drawn}")
            written = sum(t.length for t in drawn.attempts)
            counted = cost.tokens in (counting.drawn, written)
            ensure(counted, f"drew {counting.drawn} tokens ({written} in attempts) and reports {cost.tokens}")
            ensure(cost.tokens >= written, f"attempts hold {written} tokens and {cost.tokens} are reported")
            chain = max((t.length for t in drawn.attempts), default=0)
            ensure(chain <= cost.longest <= cost.tokens <= cost.passes, f"no chain of {chain} tokens costs {cost}")


def draws_the_plain_attempt_with_a_budget_of_one(decoder: Any) -> None:
    if decoder.plain_at_one:
        problems = _problems(4)
        plain = PLAIN(problems, sampler=sampler(), task=TASK, samples=1, key=KEY)
        expected = {t.problem.id: [[] if t.tokens is None else t.tokens.tolist()] for t in plain}
        actual = {drawn.problem.id: _tokens(drawn) for drawn in _draw(decoder, problems, 1)}
        ensure(actual == expected, f"expected the attempts of plain sampling {expected}, got {actual}")


def draws_for_every_problem_once(decoder: Any) -> None:
    problems = _problems(3)
    drawn = _draw(_ready(decoder), problems, 3)
    names = sorted(each.problem.id for each in drawn)
    ensure(names == sorted(p.id for p in problems), f"problems {[p.id for p in problems]} came back as {names}")
    for each in drawn:
        ensure({t.problem.id for t in each.attempts} <= {each.problem.id}, "attempts at another problem")
        index = decoder(each.attempts)
        ensure(index is None or 0 <= index < len(each.attempts), f"of {len(each.attempts)} attempts it chose {index}")


def draws_for_a_problem_whatever_else_is_asked(decoder: Any) -> None:
    ready, problems = _ready(decoder), _problems(3)
    together = {each.problem.id: _tokens(each) for each in _draw(ready, problems, 3)}
    (alone,) = _draw(ready, problems[1:2], 3)
    expected, actual = _tokens(alone), together[alone.problem.id]
    ensure(actual == expected, f"asked alone it drew {expected}, beside others {actual}")


def survives_hostile_text_or_refuses_a_sampler_without_hooks(decoder: Any) -> None:
    try:
        ready = _ready(decoder)
        for start in range(len(HOSTILE)):
            scripted = _Scripted(sampler())
            scripted.drawn = start
            for each in _draw(ready, _problems(2), 3, scripted):
                ready([replace(t, verdict=TASK.verify(t.text, each.problem)) for t in each.attempts])
    except BackendError as refused:
        ensure("torch sampler" in str(refused), f"a refusal should say which sampler can: {refused}")


DRAWING = (
    spends_no_more_than_its_budget,
    draws_the_plain_attempt_with_a_budget_of_one,
    draws_for_every_problem_once,
    draws_for_a_problem_whatever_else_is_asked,
    survives_hostile_text_or_refuses_a_sampler_without_hooks,
)
"""Of decoders that have a `draw`; beside what every decoder keeps when it chooses."""
