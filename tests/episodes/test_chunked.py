"""A thought in chunks, against one attempt at a time and one chunk after another."""

import numpy as np
import pytest

from strop.backends.torch.sampler import TorchSampler
from strop.batching import stretches
from strop.episodes.chunked import Chunked
from strop.episodes.single_turn import SingleTurn
from strop.errors import ConfigError
from strop.keys import Key
from strop.records import Request
from strop.tasks.arithmetic import Arithmetic
from tests.episodes.likelihood import likelihoods

TASK = Arithmetic()
PROBLEMS = [TASK.problem("train", i) for i in range(4)]
SMALL = Chunked(max_tokens=40, chunk=10, carry=6, head=2)


def drawn(episode, model, samples=2, problems=PROBLEMS):
    sampler = TorchSampler(model, slots=4, precision="fp32")
    found = episode(problems, sampler=sampler, task=TASK, samples=samples, key=Key.root(3))
    return {(t.problem.id, t.sample): t for t in found}


def loop(sampler, problem, sample):
    """The prompts and the tokens of each chunk of one attempt."""
    question = sampler.tokenizer.prompt(problem.prompt).tolist()
    prompts, chunks, written, finish = [], [], [], "length"
    while finish == "length" and len(written) < 40:
        key = Key.root(3).fold(problem.id, sample)
        if chunks:
            key = key.fold("chunk", len(chunks))
        prompt = question + (written[:2] + written[-4:] if chunks else [])
        room = min(10 - (6 if chunks else 0), 40 - len(written))
        [done] = sampler.generate([Request(prompt=np.array(prompt), seeds=[key.uint64()], max_tokens=room)])
        prompts.append(prompt)
        chunks.append(done.tokens.tolist())
        written, finish = written + done.tokens.tolist(), done.finish
    return prompts, chunks, finish


def test_against_one_chunk_after_another(tiny_model):
    model = tiny_model()
    sampler = TorchSampler(model, slots=1, precision="fp32")
    found = drawn(SMALL, model)
    assert len(found) == 8
    several = 0
    for problem in PROBLEMS:
        for sample in range(2):
            attempt = found[problem.id, sample]
            prompts, chunks, finish = loop(sampler, problem, sample)
            rows = stretches(attempt)
            assert [row.prompt_tokens.tolist() for row in rows] == prompts
            assert [row.tokens.tolist() for row in rows] == chunks
            assert attempt.finish == finish
            assert attempt.text == model.tokenizer.decode(attempt.tokens)
            several += len(rows) > 2
    assert several > 2, "too few attempts have several chunks for this to test anything"


def test_a_thought_of_one_chunk_is_that_of_a_single_turn(tiny_model):
    model = tiny_model()
    found, expected = drawn(Chunked(max_tokens=12, chunk=12, carry=4), model), drawn(SingleTurn(max_tokens=12), model)
    assert found.keys() == expected.keys()
    for name, attempt in found.items():
        assert attempt.tokens.tolist() == expected[name].tokens.tolist()
        assert attempt.logp.tolist() == expected[name].logp.tolist()
        assert (attempt.contexts, attempt.finish) == ((), expected[name].finish)


def test_the_model_never_sees_more_than_the_question_and_a_chunk(tiny_model):
    for attempt in drawn(SMALL, tiny_model()).values():
        for row in stretches(attempt):
            assert len(row.prompt_tokens) + len(row.tokens) <= len(attempt.prompt_tokens) + 10
        assert len(attempt.tokens) <= 40
        assert attempt.mask.all()


def test_each_token_was_as_likely_as_it_says_in_its_own_context(tiny_model):
    model = tiny_model()
    for attempt in drawn(SMALL, model, samples=1).values():
        for row in stretches(attempt):
            assert row.logp.tolist() == pytest.approx(likelihoods(model, row), abs=1e-4)


def test_an_attempt_does_not_depend_on_what_else_was_asked(tiny_model):
    model = tiny_model()
    together, alone = drawn(SMALL, model), drawn(SMALL, model, samples=1, problems=PROBLEMS[2:3])
    name = PROBLEMS[2].id, 0
    assert together[name].tokens.tolist() == alone[name].tokens.tolist()


def test_a_chunk_is_what_the_context_allows(tiny_model):
    """40 positions: the chunk of 90 is cut to what the question leaves, and the thought goes on past the context."""
    model = tiny_model(max_position_embeddings=40)
    attempts = drawn(Chunked(max_tokens=200, chunk=90, carry=6, head=2), model).values()
    assert max(len(t.prompt_tokens) + len(t.tokens) for t in attempts) > 40
    for attempt in attempts:
        assert all(len(row.prompt_tokens) + len(row.tokens) <= 40 for row in stretches(attempt))


def test_a_carry_that_leaves_no_room_is_refused(tiny_model):
    with pytest.raises(ConfigError, match=r"carry of 94 leave nothing .* Lower it: --set stages.0.episode.carry="):
        drawn(Chunked(max_tokens=200, chunk=95, carry=94), tiny_model())


def test_sizes_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="expected head <= carry < chunk"):
        Chunked(chunk=8, carry=8)
